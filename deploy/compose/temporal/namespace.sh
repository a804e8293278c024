#!/bin/sh
# The namespace that the workers are in. What is retained, and for how long, is decided here.
set -eu

if temporal operator namespace describe --namespace "$TEMPORAL_NAMESPACE" >/dev/null 2>&1; then
    temporal operator namespace update --namespace "$TEMPORAL_NAMESPACE" --retention "$RETENTION"
else
    temporal operator namespace create --namespace "$TEMPORAL_NAMESPACE" --retention "$RETENTION"
fi
# The server's other parts hear of a new namespace with a delay: wait until it can be used.
until temporal workflow list --namespace "$TEMPORAL_NAMESPACE" --limit 1 >/dev/null 2>&1; do
    echo "namespace: waiting for $TEMPORAL_NAMESPACE"
    sleep 1
done
echo "namespace: $TEMPORAL_NAMESPACE is there, closed workflows are kept for $RETENTION"
