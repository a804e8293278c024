"""What compose and a try-out cluster say of the same thing is the same."""

from collections.abc import Iterator

from . import facts
from .pods import Finding, environment, pods
from .rendering import Rendered

DIFFERENT = {
    "OTEL_TRACES_EXPORTER",  # a try-out cluster has no collector
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_TRACES_SAMPLER_ARG",  # empty, in compose
    "OTEL_TRACES_SAMPLER",  # the sandbox of a try-out traces nothing
    "OTEL_RESOURCE_ATTRIBUTES",
    "POSTGRES_PASSWORD_FILE",
    "PGDATA",  # the volume's root is the kubelet's
}
SAME = (*facts.SERVICES, "sandbox", "tools", "temporal", "postgres")


def agreement(rendered: Rendered) -> Iterator[Finding]:
    """Images, variables, commands and memory of the same programs."""
    if rendered.name != "local":
        return
    compose = facts.compose()
    for pod in pods(rendered):
        if pod.name not in SAME:
            continue
        other = compose[pod.name]
        if pod.main["image"] != other["image"]:
            yield pod.finds(f"is {pod.main['image']}, and compose has {other['image']}", "image")
        told = {name: value for name, value in environment(rendered, pod.main) if not name.endswith("MIGRATE_AT_START")}
        theirs = {name: str(value) for name, value in other.get("environment", {}).items()}
        for name in sorted((set(told) | set(theirs)) - DIFFERENT):
            if told.get(name) != theirs.get(name):
                yield pod.finds(f"is {told.get(name)!r}, and in compose {theirs.get(name)!r}", name)
        if pod.name in {"temporal", "postgres"}:
            command = [part for part in other["command"] if part != pod.name]
            if pod.main["args"] != command:
                yield pod.finds(f"are {pod.main['args']}, and in compose {command}", "args")
        elif f"{other['deploy']['resources']['limits']['memory']}i".upper() != _memory(pod.main):
            yield pod.finds(f"is {_memory(pod.main)}, and compose has another", "resources.limits.memory")


def _memory(container: dict[str, dict[str, dict[str, str]]]) -> str:
    return container["resources"]["limits"]["memory"].upper()


def secrets(rendered: Rendered) -> Iterator[Finding]:
    """A Secret has the files that compose gives to the same program."""
    if rendered.name != "local":
        return
    theirs = facts.compose_secrets()
    for name in (*facts.SERVICES, "sandbox", "tools"):
        if facts.SECRETS[name] != theirs[name]:
            what = f"has {sorted(facts.SECRETS[name])}, and in compose {sorted(theirs[name])}"
            yield Finding(rendered.name, f"Secret/{name}", what)


RULES = (agreement, secrets)
