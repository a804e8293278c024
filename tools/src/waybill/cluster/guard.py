"""Which clusters may be touched: only those that somebody marked as there to be tried."""

import os

from waybill.cluster.kubectl import ClusterError, Kubectl, call

NAMESPACE = "waybill-tryout"
"""That of overlays/local. A production has another."""
LABEL = "waybill.example/tryout"
"""Of a namespace that may be deleted with all that is in it."""
TRYOUT = "WAYBILL_K8S_TRYOUT"
"""Variable that names a context which is there to be tried."""
MADE_TO_BE_TRIED = ("kind-", "k3d-")
"""What the contexts of clusters on one's own machine begin with."""


class Refused(ClusterError):  # noqa: N818 - it names what was done
    """It is not certain that nobody lives from this cluster."""


def marked(context: str) -> bool:
    """Whether a context is marked as there to be tried."""
    return context.startswith(MADE_TO_BE_TRIED) or context == "minikube" or context == os.environ.get(TRYOUT)


async def tryout() -> Kubectl:
    """The current context, if it may be touched.

    Raises:
        Refused: If it may not.
    """
    done = await call("kubectl", "config", "current-context")
    context = done.output.strip()
    if done.code != 0 or not context:
        raise Refused("kubectl has no current context: kind create cluster --name waybill")
    if not marked(context):
        raise Refused(
            f"the current context, {context}, is not marked as one to try things on: "
            f"its name begins with neither {' nor '.join(MADE_TO_BE_TRIED)}, and {TRYOUT} does not say {context}"
        )
    return Kubectl(context, NAMESPACE)


async def there(kubectl: Kubectl) -> bool:
    """Whether our namespace exists, and is one that may be deleted.

    Raises:
        Refused: If it exists and is not ours to delete.
        ClusterError: If the cluster does not answer.
    """
    if NAMESPACE not in await kubectl.names("namespaces"):
        return False
    labels = (await kubectl.get("namespace", NAMESPACE))["metadata"].get("labels", {})
    if labels.get(LABEL) != "true":
        raise Refused(
            f"the namespace {NAMESPACE} of {kubectl.context} has no label {LABEL}=true: somebody else made it"
        )
    return True
