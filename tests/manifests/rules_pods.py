"""What holds for every pod: guarded as Pod Security's "restricted" and beyond, asked for its health, drained."""

from collections.abc import Iterator

from . import facts
from .pods import Finding, Pod, environment, found, pods, services
from .rendering import Rendered

GUARDED_POD = {
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}
GUARDED_CONTAINER = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}
RESTRICTED = "pod-security.kubernetes.io/enforce"
SLEEPS = {"tools"}
"""Answers nothing, so nobody asks."""


def namespace(rendered: Rendered) -> Iterator[Finding]:
    """The cluster itself refuses what is not guarded."""
    for manifest in rendered.of("Namespace"):
        if manifest["metadata"].get("labels", {}).get(RESTRICTED) != "restricted":
            yield found(rendered, manifest, "is not restricted", f"labels {RESTRICTED}")
    if len(rendered.of("Namespace")) != 1:
        yield Finding(rendered.name, "Namespace", "there is not exactly one")


def users(rendered: Rendered) -> Iterator[Finding]:
    """Nobody is root, has a token of the cluster, or shares the node's own."""
    for pod in pods(rendered):
        context = pod.spec.get("securityContext", {})
        for field, value in GUARDED_POD.items():
            if context.get(field) != value:
                yield pod.finds(f"is {context.get(field)!r}, not {value!r}", f"securityContext.{field}")
        user = context.get("runAsUser")
        if not isinstance(user, int) or user == 0:
            yield pod.finds("is no number of a user, or root's", "securityContext.runAsUser")
        elif pod.is_service and user != facts.USER:
            yield pod.finds(f"is not the image's user, {facts.USER}", "securityContext.runAsUser")
        if pod.spec.get("automountServiceAccountToken") is not False:
            yield pod.finds("the pod gets a token of the cluster's API", "automountServiceAccountToken")
        for shared in ("hostNetwork", "hostPID", "hostIPC"):
            if pod.spec.get(shared):
                yield pod.finds("it shares the node's", shared)


def containers(rendered: Rendered) -> Iterator[Finding]:
    """No container writes where it must not, or may become more than it is."""
    for pod in pods(rendered):
        for container in pod.containers:
            own = container.get("securityContext", {})
            for field, wanted in GUARDED_CONTAINER.items():
                if own.get(field) != wanted:
                    where = f"{container['name']}.securityContext.{field}"
                    yield pod.finds(f"is {own.get(field)!r}, not {wanted!r}", where)


def writable(rendered: Rendered) -> Iterator[Finding]:
    """What can be written has a limit, and /tmp is there."""
    for pod in pods(rendered):
        for volume in pod.spec.get("volumes", []):
            if "emptyDir" in volume and "sizeLimit" not in volume["emptyDir"]:
                yield pod.finds("has no sizeLimit", f"volumes.{volume['name']}")
            if "hostPath" in volume:
                yield pod.finds("is the node's", f"volumes.{volume['name']}")
        for container in pod.containers:
            if "/tmp" not in {mount["mountPath"] for mount in container.get("volumeMounts", [])}:
                yield pod.finds("has no /tmp to write to", container["name"])


def resources(rendered: Rendered) -> Iterator[Finding]:
    """Every container says what it needs, and how much memory it may take."""
    for pod in pods(rendered):
        for container in pod.containers:
            asked = container.get("resources", {})
            if not {"cpu", "memory"} <= set(asked.get("requests", {})) or "memory" not in asked.get("limits", {}):
                yield pod.finds("lacks a request, or a limit of memory", f"{container['name']}.resources")


def probes(rendered: Rendered) -> Iterator[Finding]:
    """Probes ask for what programs answer, at a port that they have."""
    expected = {"startupProbe": "/livez", "livenessProbe": "/livez", "readinessProbe": "/readyz"}
    for pod in pods(rendered):
        for kind, path in expected.items():
            probe = pod.main.get(kind)
            where = f"{pod.main['name']}.{kind}"
            if probe is None:
                if pod.name not in SLEEPS:
                    yield pod.finds("is missing", where)
                continue
            if pod.is_service and probe.get("httpGet", {}).get("path") != path:
                yield pod.finds(f"asks for {probe.get('httpGet', {}).get('path')}, not {path}", where)
            if "httpGet" in probe:
                if probe["httpGet"]["path"] not in facts.PROBES:
                    yield pod.finds(f"asks for {probe['httpGet']['path']}, which no program answers", where)
                if probe["httpGet"]["port"] not in {*pod.ports, *pod.ports.values()}:
                    yield pod.finds(f"asks at {probe['httpGet']['port']}, which is no port of the container", where)


def drain(rendered: Rendered) -> Iterator[Finding]:
    """What was begun is finished: grace > preStop + drain + what comes after it, and drain > the longest activity."""
    longest, place = facts.longest_activity()
    for pod in services(rendered):
        seconds = drain_seconds(rendered, pod)
        stop = pod.main.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
        grace = pod.spec.get("terminationGracePeriodSeconds", 30)
        needed = stop + seconds + facts.drain_margin()
        if stop <= 0:
            yield pod.finds("there is no pause before the drain: requests still come", "lifecycle.preStop.sleep")
        if grace <= needed:
            sum_ = f"{stop} s preStop + {seconds:g} s drain + {facts.drain_margin():g} s after it"
            yield pod.finds(f"is {grace} s, not more than {sum_} = {needed:g} s", "terminationGracePeriodSeconds")
        if seconds <= longest:
            what = f"the drain is {seconds:g} s, not longer than the longest activity, {longest:g} s ({place})"
            yield pod.finds(what, f"{pod.name.upper()}_DRAIN_SECONDS")


def drain_seconds(rendered: Rendered, pod: Pod) -> float:
    """How long a service's activities may take to finish."""
    told = dict(environment(rendered, pod.main)).get(f"{pod.name.upper()}_DRAIN_SECONDS")
    return float(facts.settings(pod.name).model_fields["drain_seconds"].default if told is None else told)


def rollouts(rendered: Rendered) -> Iterator[Finding]:
    """A new pod is ready before an old one goes; pods are spread, and may be moved one at a time."""
    for pod in services(rendered):
        if pod.owner["kind"] == "Deployment":
            rolling = pod.owner["spec"].get("strategy", {}).get("rollingUpdate", {})
            if rolling.get("maxUnavailable") != 0:
                yield pod.finds("is not 0", "strategy.rollingUpdate.maxUnavailable")
        keys = {part["topologyKey"] for part in pod.spec.get("topologySpreadConstraints", [])}
        if keys != {"topology.kubernetes.io/zone", "kubernetes.io/hostname"}:
            yield pod.finds("is not over zones and nodes", "topologySpreadConstraints")
        budget = rendered.get("PodDisruptionBudget", pod.name)
        if budget is None or budget["spec"].get("maxUnavailable") != 1 or "minAvailable" in budget["spec"]:
            yield pod.finds("has no PodDisruptionBudget of its name with maxUnavailable: 1")


def migrations(rendered: Rendered) -> Iterator[Finding]:
    """An init container migrates, which any number of replicas may do at once, and the process itself does not."""
    for pod in services(rendered):
        first = [container for container in pod.spec.get("initContainers", []) if container.get("args") == ["migrate"]]
        if [container["image"] for container in first] != [pod.main["image"]]:
            yield pod.finds("no init container of the same image runs migrate", "initContainers")
        if dict(environment(rendered, pod.main)).get(f"{pod.name.upper()}_MIGRATE_AT_START") != "false":
            yield pod.finds("the process migrates too", f"{pod.name.upper()}_MIGRATE_AT_START")


def images(rendered: Rendered) -> Iterator[Finding]:
    """Images are named by a tag that says what they are; ours are of one version."""
    for pod in pods(rendered):
        for container in pod.containers:
            name, _, tag = container["image"].rpartition(":")
            if not name or tag == "latest":
                yield pod.finds(f"{container['image']} has no tag", container["name"])
            if name.startswith("ghcr.io/waybill/"):
                if tag != facts.version():
                    yield pod.finds(f"{container['image']} is not of version {facts.version()}", container["name"])
                if not (facts.image_folder(name.rpartition("/")[2]) / "Dockerfile").is_file():
                    yield pod.finds(f"{container['image']} is built nowhere", container["name"])


RULES = (namespace, users, containers, writable, resources, probes, drain, rollouts, migrations, images)
