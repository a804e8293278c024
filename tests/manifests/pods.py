"""Pods, as the objects that make them say, and what a check finds."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .facts import SERVICES
from .rendering import Manifest, Rendered

WORKLOADS = ("Deployment", "StatefulSet", "WorkerDeployment", "Job", "CronJob", "DaemonSet")


@dataclass(frozen=True)
class Finding:
    """Something that is not as it should be.

    Attributes:
        rendering: Name of what was rendered.
        where: The object, and where in it.
        what: What is wrong.
    """

    rendering: str
    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.rendering}: {self.where}: {self.what}"


@dataclass(frozen=True)
class Pod:
    """What one workload makes.

    Attributes:
        rendering: Name of what was rendered.
        owner: The workload.
        template: Of its pods.
    """

    rendering: str
    owner: Manifest
    template: Manifest

    @property
    def name(self) -> str:
        """Of the workload."""
        return str(self.owner["metadata"]["name"])

    @property
    def labels(self) -> dict[str, str]:
        """Of the pods."""
        labels: dict[str, str] = self.template["metadata"]["labels"]
        return labels

    @property
    def spec(self) -> dict[str, Any]:
        """Of the pods."""
        spec: dict[str, Any] = self.template["spec"]
        return spec

    @property
    def containers(self) -> list[dict[str, Any]]:
        """All of them, those that run first included."""
        return [*self.spec.get("initContainers", []), *self.spec["containers"]]

    @property
    def main(self) -> dict[str, Any]:
        """The one that stays."""
        [container] = self.spec["containers"]
        return dict(container)

    @property
    def ports(self) -> dict[str, int]:
        """By name."""
        return {port["name"]: port["containerPort"] for port in self.main.get("ports", [])}

    @property
    def is_service(self) -> bool:
        """Whether it is one of the four."""
        return self.name in SERVICES

    def finds(self, what: str, where: str = "") -> Finding:
        """A finding in here."""
        place = f"{self.owner['kind']}/{self.name}" + (f" {where}" if where else "")
        return Finding(self.rendering, place, what)


def pods(rendered: Rendered) -> list[Pod]:
    """All pods."""
    return [
        Pod(rendered.name, owner, owner["spec"]["template"])
        for owner in rendered.of(*WORKLOADS)
        if "containers" in owner["spec"]["template"].get("spec", {})
    ]


def services(rendered: Rendered) -> list[Pod]:
    """Pods of the four services."""
    return [pod for pod in pods(rendered) if pod.is_service]


def found(rendered: Rendered, manifest: Manifest, what: str, where: str = "") -> Finding:
    """A finding in an object."""
    place = f"{manifest['kind']}/{manifest['metadata']['name']}" + (f" {where}" if where else "")
    return Finding(rendered.name, place, what)


def selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Whether a label selector fits; an empty one fits everything.

    Raises:
        ValueError: If it uses what is not known here.
    """
    if not all(labels.get(key) == value for key, value in selector.get("matchLabels", {}).items()):
        return False
    for expression in selector.get("matchExpressions", []):
        if expression["operator"] != "In":
            raise ValueError(f"the operator {expression['operator']} is not known here")
        if labels.get(expression["key"]) not in expression["values"]:
            return False
    return True


def environment(rendered: Rendered, container: Mapping[str, Any]) -> Iterator[tuple[str, str | None]]:
    """Variables of a container, with their values; None for one that comes from a Secret."""
    for source in container.get("envFrom", []):
        config = rendered.get("ConfigMap", source["configMapRef"]["name"])
        if config is not None:
            yield from config["data"].items()
    for variable in container.get("env", []):
        yield variable["name"], variable.get("value")
