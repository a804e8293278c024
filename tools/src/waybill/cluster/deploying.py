"""From an empty cluster to a Waybill that is ready, and back."""

import json
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

from waybill.cluster import guard, secrets
from waybill.cluster.kubectl import ClusterError, Kubectl, call
from waybill.stack.plan import SERVICES

OVERLAY = Path("deploy/k8s/overlays/local")
IMAGES = tuple(f"ghcr.io/waybill/{name}:{version('waybill-tools')}" for name in (*SERVICES, "sandbox", "tools"))
WORKLOADS = (
    "statefulset/postgres",
    "statefulset/temporal",
    "statefulset/sandbox",
    *(f"deployment/{name}" for name in SERVICES),
    "deployment/tools",
)
"""In the order in which they become ready."""
READY_SECONDS = 600
"""For images that come from far away."""
GONE_SECONDS = 300
LINES = 12
"""Of what the cluster says, when something does not become ready."""

Say = Callable[[str], None]


async def up(say: Say) -> None:
    """Deploy overlays/local, and wait until all of it is ready.

    Raises:
        ClusterError: If it does not become so, or the cluster may not be touched.
    """
    if not OVERLAY.is_dir():  # noqa: ASYNC240 - once, at the start
        raise ClusterError(f"there is no {OVERLAY} here: run this in Waybill's own folder")
    kubectl = await guard.tryout()
    if not await guard.there(kubectl):
        label = {"metadata": {"name": guard.NAMESPACE, "labels": {guard.LABEL: "true"}}}
        await kubectl.do(
            "apply", "--filename", "-", given=json.dumps({"apiVersion": "v1", "kind": "Namespace", **label})
        )
        say(f"made the namespace {guard.NAMESPACE} on {kubectl.context}")
    if made := await secrets.ensure(kubectl):
        say(f"made the Secrets {', '.join(made)}")
    await _load(kubectl, say)
    await kubectl.do("apply", "--kustomize", str(OVERLAY))
    say("applied; waiting until all is ready")
    await wait(kubectl, say, *WORKLOADS)


async def wait(kubectl: Kubectl, say: Say, *workloads: str) -> None:
    """Wait until every pod of workloads is new and ready.

    Raises:
        ClusterError: If they do not become so; with what the cluster says of it.
    """
    for workload in workloads:
        done = await kubectl.run("rollout", "status", workload, f"--timeout={READY_SECONDS}s")
        if done.code != 0:
            for line in await _troubles(kubectl):
                say(line)
            raise ClusterError(f"{workload} does not become ready: {(done.errors or done.output).strip()}")
        say(f"{workload} is ready")


async def down(say: Say) -> None:
    """Delete the namespace with all that is in it.

    Raises:
        ClusterError: If it does not go, or may not be touched.
    """
    kubectl = await guard.tryout()
    if not await guard.there(kubectl):
        say(f"there is no namespace {guard.NAMESPACE} on {kubectl.context}")
        return
    await kubectl.do("delete", "namespace", guard.NAMESPACE, "--wait", f"--timeout={GONE_SECONDS}s")
    say(f"deleted the namespace {guard.NAMESPACE} on {kubectl.context}, with all orders")


async def _load(kubectl: Kubectl, say: Say) -> None:
    """Bring images that this machine has into the nodes of a kind cluster; others come from their registry."""
    if not kubectl.context.startswith("kind-"):
        return
    here = []
    for image in IMAGES:
        try:
            if (await call("docker", "image", "inspect", image)).code == 0:
                here.append(image)
        except ClusterError:  # no docker: then no image either
            break
    if not here:
        say("this machine has none of the images: the nodes fetch them (docker compose build makes them)")
        return
    done = await call("kind", "load", "docker-image", *here, "--name", kubectl.context.removeprefix("kind-"))
    if done.code != 0:
        raise ClusterError(f"kind does not take the images: {done.errors.strip()}")
    say(f"loaded {len(here)} of {len(IMAGES)} images into the nodes")


async def _troubles(kubectl: Kubectl) -> list[str]:
    pods = (await kubectl.run("get", "pods", "--output", "wide")).output.splitlines()
    events = await kubectl.run("get", "events", "--field-selector", "type=Warning", "--sort-by", ".lastTimestamp")
    return [*pods, *events.output.splitlines()[-LINES:]]
