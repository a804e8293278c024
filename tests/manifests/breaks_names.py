"""What can be broken in names, and in who may talk to whom."""

from .breaks import POLICIES, SCALERS, SHIPPING, Break

BROKEN = {
    # Queues
    "queue": Break(
        SCALERS,
        "taskQueue: shipping",
        "taskQueue: shiping",
        "production: ScaledObject/shipping triggers.temporal.taskQueue:",
        "production",
    ),
    "queue-of-another": Break(
        SCALERS,
        "taskQueue: payments",
        "taskQueue: orchestrator",
        "production: ScaledObject/payments triggers.temporal.taskQueue:",
        "production",
    ),
    "queue-types": Break(
        SCALERS,
        "queueTypes: workflow,activity",
        "queueTypes: workflow",
        "production: ScaledObject/orchestrator triggers.temporal.queueTypes:",
        "production",
    ),
    "queue-of-a-version": Break(
        "components/worker-versioning/copy/scaledobjects.yaml",
        "taskQueue: inventory",
        "taskQueue: stock",
        "versioned: WorkerResourceTemplate/inventory triggers.temporal.taskQueue:",
        "versioned",
    ),
    # Ports
    "container-port": Break(
        SHIPPING, "containerPort: 8080", "containerPort: 8004", "local: Deployment/shipping shipping.ports:"
    ),
    "service-port": Break(
        SHIPPING, "port: 8080, targetPort", "port: 80, targetPort", "local: Service/shipping spec.ports.http:"
    ),
    "target-port": Break(SHIPPING, "targetPort: http", "targetPort: web", "local: Service/shipping spec.ports.http:"),
    "port-of-an-address": Break(
        "overlays/local/kustomization.yaml",
        "http://sandbox:8080/gateway",
        "http://sandbox:9000/gateway",
        "local: Deployment/payments payments PAYMENTS_GATEWAY_URL:",
    ),
    "port-of-temporal": Break(
        "base/inventory.yaml",
        "temporal:7233",
        "temporal:7234",
        "local: Deployment/inventory inventory TEMPORAL_ADDRESS:",
    ),
    # Variables and Secrets
    "variable": Break(
        "overlays/local/kustomization.yaml",
        "SHIPPING_CARRIERS_URL",
        "SHIPPING_CARRIER_URL",
        "local: Deployment/shipping migrate SHIPPING_CARRIER_URL:",
    ),
    "variable-that-is-missing": Break(
        "overlays/local/kustomization.yaml",
        "SHIPPING_CARRIERS_URL",
        "SHIPPING_CARRIER_URL",
        "local: Deployment/shipping SHIPPING_CARRIERS_URL: Field required",
    ),
    "value": Break(
        "overlays/local/kustomization.yaml",
        'ORCHESTRATOR_REVIEW_SECONDS: "60"',
        'ORCHESTRATOR_REVIEW_SECONDS: "a minute"',
        "local: Deployment/orchestrator ORCHESTRATOR_REVIEW_SECONDS:",
    ),
    "value-unlike-compose": Break(
        "overlays/local/kustomization.yaml",
        'ORCHESTRATOR_REVIEW_SECONDS: "60"',
        'ORCHESTRATOR_REVIEW_SECONDS: "61"',
        "local: Deployment/orchestrator ORCHESTRATOR_REVIEW_SECONDS:",
    ),
    "secret": Break(
        SHIPPING,
        "secretName: shipping",
        "secretName: payments",
        "local: Deployment/shipping volumes.secrets: mounts the Secret of payments",
    ),
    "secret-key": Break(
        "overlays/local/tools.yaml",
        "/run/secrets/operator_token",
        "/run/secrets/token",
        "local: Deployment/tools tools WAYBILL_OPERATOR_TOKEN_FILE:",
    ),
    "secret-key-of-the-cloud": Break(
        "components/temporal-cloud/kustomization.yaml",
        "key: api_key",
        "key: apiKey",
        "production: Deployment/inventory inventory TEMPORAL_API_KEY:",
        "production",
    ),
    "where-secrets-are": Break(
        SHIPPING,
        "mountPath: /run/secrets",
        "mountPath: /etc/secrets",
        "local: Deployment/shipping migrate WAYBILL_SECRETS_DIR:",
    ),
    # Labels
    "label": Break(
        SHIPPING,
        "        app.kubernetes.io/name: shipping\n        app.kubernetes.io/part-of",
        "        app.kubernetes.io/name: shipper\n        app.kubernetes.io/part-of",
        "local: Deployment/shipping labels app.kubernetes.io/name:",
    ),
    "label-that-is-scraped": Break(
        SHIPPING,
        'waybill.example/scraped: "true"',
        'waybill.example/scraped: "yes"',
        "production: PodMonitor/waybill spec.selector:",
        "production",
    ),
    "label-of-a-client": Break(
        "overlays/local/tools.yaml",
        "client-of-payments",
        "client-of-payment",
        "local: NetworkPolicy: tools cannot talk to payments:8080",
    ),
    # Policies
    "service-calls-service": Break(
        f"{POLICIES}/clients.yaml",
        'matchLabels: {waybill.example/client-of-inventory: "true"}',
        "matchLabels: {}",
        "local: NetworkPolicy: payments may talk to inventory:8080",
    ),
    "way-out": Break(
        f"{POLICIES}/inside/policies.yaml",
        "values: [orchestrator, payments, shipping]",
        "values: [orchestrator, payments, shipping, inventory]",
        "local: NetworkPolicy: inventory may talk to sandbox:8080",
    ),
    "webhook-closed": Break(
        f"{POLICIES}/outside/policies.yaml",
        "name: webhook-from-outside\nspec:\n  podSelector:\n    matchLabels: {app.kubernetes.io/name: shipping}",
        "name: webhook-from-outside\nspec:\n  podSelector:\n    matchLabels: {app.kubernetes.io/name: carriers}",
        "production: NetworkPolicy: ingress cannot talk to shipping:8080",
        "production",
    ),
    "database-of-another": Break(
        f"{POLICIES}/outside/policies.yaml",
        "192.0.2.13/32",
        "192.0.2.0/24",
        "production: NetworkPolicy: payments may talk to shipping's database:5432",
        "production",
    ),
    "open-by-default": Break(
        f"{POLICIES}/everyone.yaml",
        "policyTypes: [Ingress, Egress]",
        "policyTypes: [Ingress]",
        "local: NetworkPolicy: nothing denies what is not allowed",
    ),
    # Images, and the ways in
    "image": Break(
        SHIPPING,
        "image: ghcr.io/waybill/shipping:0.1.0\n          args",
        "image: ghcr.io/waybill/shipping:latest\n          args",
        "local: Deployment/shipping migrate:",
    ),
    "image-unlike-compose": Break(
        "components/postgres/postgres.yaml",
        "image: postgres:17",
        "image: postgres:16",
        "local: StatefulSet/postgres image:",
    ),
    "books-for-outsiders": Break(
        "overlays/production/ingress.yaml",
        "path: /imports",
        "path: /",
        "production: Ingress/orders: / lets outsiders reach",
        "production",
    ),
}
FOR_SCHEMAS = {
    "field-of-kubernetes": Break(
        SHIPPING,
        "failureThreshold: 60",
        "failureTreshold: 60",
        "local: Deployment/shipping: spec.template.spec.containers.0.startupProbe:",
    ),
    "field-of-keda": Break(
        SCALERS, "maxReplicaCount: 6", "maxReplicas: 6", "production: ScaledObject/inventory: spec:", "production"
    ),
    "trigger-of-keda": Break(
        SCALERS,
        'targetQueueSize: "25"',
        'targetQueueLength: "25"',
        "production: ScaledObject/orchestrator: spec.triggers.0:",
        "production",
    ),
    "field-of-the-operator": Break(
        "components/monitoring/podmonitor.yaml",
        "honorLabels",
        "honourLabels",
        "production: PodMonitor/waybill: spec.podMetricsEndpoints.0:",
        "production",
    ),
    "field-of-the-controller": Break(
        "components/worker-versioning/copy/workerdeployments.yaml",
        "pauseDuration: 5m",
        "pauseDuration: 5s",
        "versioned: WorkerDeployment/orchestrator: spec.rollout.steps.0.pauseDuration:",
        "versioned",
    ),
    "field-within-a-template": Break(
        "components/worker-versioning/copy/scaledobjects.yaml",
        "minReplicaCount: 1",
        "minReplicas: 1",
        "versioned: WorkerResourceTemplate/orchestrator: spec.template, as a ScaledObject:",
        "versioned",
    ),
}
