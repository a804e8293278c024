"""One change to a copy of the manifests, and what must be said of it."""

from dataclasses import dataclass

SHIPPING = "base/shipping.yaml"
SCALERS = "components/autoscaling-keda/scaledobjects.yaml"
POLICIES = "components/network-policies"


@dataclass(frozen=True)
class Break:
    """One change, and what must be said of it.

    Attributes:
        file: In ``deploy/k8s``.
        old: Text that is there.
        new: What takes its place.
        said: Begins a line that is said.
        name: What is rendered.
    """

    file: str
    old: str
    new: str
    said: str
    name: str = "local"
