"""How pools scale: each by its own queue, within what its database and its providers take."""

from collections.abc import Iterator
from typing import Any

from . import facts
from .pods import Finding, found, pods
from .rendering import Manifest, Rendered

USED = 0.7
"""Share of a replica's slots at which the pool grows."""
CONNECTIONS = 100
"""What a PostgreSQL takes unless it is told otherwise; some are left for people, and for a rollout's surge."""
SPARE = 10


def scalers(rendered: Rendered) -> Iterator[tuple[Manifest, str, dict[str, Any]]]:
    """Every autoscaler: the object, the name of its pool, and the ScaledObject's spec."""
    for manifest in rendered.of("ScaledObject"):
        yield manifest, manifest["spec"]["scaleTargetRef"]["name"], manifest["spec"]
    for manifest in rendered.of("WorkerResourceTemplate"):
        yield manifest, manifest["spec"]["workerDeploymentRef"]["name"], manifest["spec"]["template"]["spec"]


def replicas(rendered: Rendered) -> Iterator[Finding]:
    """Nobody but the autoscaler says how many replicas there are; each pool has one autoscaler."""
    scaled = [pool for _, pool, _ in scalers(rendered)]
    if scaled and sorted(scaled) != sorted(facts.SERVICES):
        yield Finding(rendered.name, "ScaledObject", f"scale {sorted(scaled)}")
    owners = {pod.name: pod.owner for pod in pods(rendered)}
    for manifest, pool, _ in scalers(rendered):
        owner = owners.get(pool)
        if owner is None:
            yield found(rendered, manifest, f"there is no workload {pool}", "scaleTargetRef")
        elif "replicas" in owner["spec"]:
            yield found(rendered, owner, f"an autoscaler owns it ({manifest['kind']}/{pool})", "spec.replicas")


def queues(rendered: Rendered) -> Iterator[Finding]:
    """Each pool grows by the backlog of its own queue, in the Temporal that it works for."""
    for manifest, pool, spec in scalers(rendered):
        config = rendered.get("ConfigMap", pool)
        triggers = [trigger for trigger in spec["triggers"] if trigger["type"] == "temporal"]
        if len(triggers) != 1 or config is None:
            yield found(rendered, manifest, "has not exactly one trigger of type temporal", "triggers")
            continue
        told = triggers[0]["metadata"]
        versioned = manifest["kind"] == "WorkerResourceTemplate"
        expected = {
            "taskQueue": facts.queue(pool),
            "queueTypes": "workflow,activity",
            "endpoint": config["data"]["TEMPORAL_ADDRESS"],
            # What is empty the controller puts in.
            "namespace": "" if versioned else config["data"]["TEMPORAL_NAMESPACE"],
            **({"workerDeploymentName": "", "workerDeploymentBuildId": ""} if versioned else {}),
        }
        for key, value in expected.items():
            if told.get(key) != value:
                yield found(rendered, manifest, f"is {told.get(key)!r}, not {value!r}", f"triggers.temporal.{key}")


def slots(rendered: Rendered) -> Iterator[Finding]:
    """A busy pool that keeps up has no backlog: it grows by its own slots too."""
    for manifest, pool, spec in scalers(rendered):
        if manifest["kind"] == "WorkerResourceTemplate":
            continue  # the metric does not say the version
        [trigger] = [trigger for trigger in spec["triggers"] if trigger["type"] == "prometheus"]
        fields = facts.settings(pool).model_fields
        lowest = min(fields["activity_slots"].default, fields["workflow_slots"].default)
        if float(trigger["metadata"]["threshold"]) != USED * lowest:
            yield found(rendered, manifest, f"is not {USED:.0%} of {lowest} slots", "triggers.prometheus.threshold")
        if f'service="{pool}"' not in trigger["metadata"]["query"]:
            yield found(rendered, manifest, "counts the slots of others", "triggers.prometheus.query")


def limits(rendered: Rendered) -> Iterator[Finding]:
    """Never to zero on the path of orders, and never to more than the database has connections for."""
    for manifest, pool, spec in scalers(rendered):
        pool_size = facts.settings(pool).model_fields["database_pool"].default
        most = spec["maxReplicaCount"] * pool_size
        if spec["minReplicaCount"] < 1:
            yield found(rendered, manifest, "orders would wait for a start", "minReplicaCount")
        if most + SPARE > CONNECTIONS:
            what = f"{spec['maxReplicaCount']} replicas want {most} of {CONNECTIONS} connections"
            yield found(rendered, manifest, what, "maxReplicaCount")


def behaviour(rendered: Rendered) -> Iterator[Finding]:
    """Up at once, down one pod at a time, each with time for its whole drain."""
    for manifest, pool, spec in scalers(rendered):
        told = spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
        if told["scaleUp"]["stabilizationWindowSeconds"] != 0:
            yield found(rendered, manifest, "does not grow at once", "behavior.scaleUp")
        down = told["scaleDown"]
        [grace] = {
            pod.spec["terminationGracePeriodSeconds"] for pod in pods(rendered) if pod.name == pool and pod.is_service
        } or {0}
        if [(policy["type"], policy["value"]) for policy in down["policies"]] != [("Pods", 1)]:
            yield found(rendered, manifest, "shrinks by more than one pod at a time", "behavior.scaleDown.policies")
        elif down["policies"][0]["periodSeconds"] < grace:
            yield found(rendered, manifest, f"shrinks again before a drain of {grace} s is over", "behavior.scaleDown")


def versions(rendered: Rendered) -> Iterator[Finding]:
    """With versions the controller makes the Deployments: none of the base is left. It works for the same Temporal."""
    workers = rendered.of("WorkerDeployment")
    if not workers:
        return
    for worker in workers:
        name = worker["metadata"]["name"]
        if rendered.get("Deployment", name) is not None:
            yield found(rendered, worker, "the base Deployment works beside it")
        connection = rendered.get("Connection", worker["spec"]["workerOptions"]["connectionRef"]["name"])
        config = rendered.get("ConfigMap", name)
        if connection is None or config is None:
            yield found(rendered, worker, "has no Connection", "workerOptions.connectionRef")
            continue
        if connection["spec"]["hostPort"] != config["data"]["TEMPORAL_ADDRESS"]:
            yield found(rendered, connection, "is another Temporal than that of the services", "spec.hostPort")
        if worker["spec"]["workerOptions"]["temporalNamespace"] != config["data"]["TEMPORAL_NAMESPACE"]:
            yield found(rendered, worker, "is another than that of the services", "workerOptions.temporalNamespace")
        if worker["spec"]["rollout"]["gate"]["workflowType"] != facts.gate():
            yield found(rendered, worker, f"is not {facts.gate()}", "rollout.gate.workflowType")


RULES = (replicas, queues, slots, limits, behaviour, versions)
