"""What services, images, compose and telemetry say of themselves; the manifests are held against it."""

import ast
import importlib
import re
from collections.abc import Iterator
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from opentelemetry.sdk import environment_variables as sdk_variables
from tests.telemetry.test_graph import DELIVERED, ORDERED, SENT, UNDONE

from chassis import gate as gates
from chassis import health, serving, tracing
from chassis.settings import SECRETS_DIR, ServiceSettings
from waybill.cli.common import TOKEN_FILE
from waybill.cluster import secrets
from waybill.stack.plan import SERVICES

from .rendering import ROOT

__all__ = ["SERVICES"]

PROBES = health.UNGUARDED
USER = 10001
HTTP_SECONDS = 5
"""Requests in flight get so long after the drain (chassis.serving)."""
CLOSE_SECONDS = 5
"""Clients and database are closed in no more."""
METHODS = re.compile(r"^(GET|POST|PUT) ")

TEMPORAL = {
    "TEMPORAL_ADDRESS",
    "TEMPORAL_NAMESPACE",
    "TEMPORAL_API_KEY",
    "TEMPORAL_TLS",
    "TEMPORAL_TLS_CLIENT_CERT_PATH",
    "TEMPORAL_TLS_CLIENT_KEY_PATH",
    "TEMPORAL_TLS_SERVER_CA_CERT_PATH",
}
"""Variables that Temporal's clients read."""
OTEL = {name for name in dir(sdk_variables) if name.startswith("OTEL_")} | {"OTEL_TRACES_EXPORTER"}
TOOLS = {"WAYBILL_URL", TOKEN_FILE}

SECRETS: dict[str, set[str]] = {name: set(keys) for name, keys in secrets.values().items()} | {
    "temporal": {"api_key"},
    "temporal-tls": {"tls.crt", "tls.key"},
}
"""Secrets and their keys: those that a try-out makes, and those of temporal-cloud."""


def settings(service: str) -> type[ServiceSettings]:
    """The settings class of a service."""
    found: type[ServiceSettings] = importlib.import_module(f"{service}.settings").Settings
    return found


def variables(service: str) -> set[str]:
    """Every variable that a service reads."""
    own = {f"{service}_{field}".upper() for field in settings(service).model_fields}
    return own | TEMPORAL | OTEL | {SECRETS_DIR}


def queue(service: str) -> str:
    """The task queue of a service."""
    return str(importlib.import_module(f"{service}.contract").TASK_QUEUE)


def image_port(folder: Path) -> int:
    """The port that a Dockerfile exposes, which is the one that it tells its program.

    Raises:
        LookupError: If it does not, or tells another.
    """
    text = (folder / "Dockerfile").read_text()
    exposed = re.findall(r"^EXPOSE (\d+)$", text, re.MULTILINE)
    told = re.findall(r"\b[A-Z]+_PORT=(\d+)", text)
    if len(exposed) != 1 or exposed != told:
        raise LookupError(f"{folder.name}: exposes {exposed}, and tells {told}")
    return int(exposed[0])


def image_folder(name: str) -> Path:
    """Where an image of ours is built."""
    return ROOT / "services" / name if name in SERVICES else ROOT / name


def version() -> str:
    """Of all images."""
    text = (ROOT / "pyproject.toml").read_text()
    [found] = re.findall(r'^version = "(.+)"$', text, re.MULTILINE)
    return str(found)


@cache
def compose() -> dict[str, Any]:
    """``docker-compose.yml``, with the defaults of its variables put in."""
    text = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", (ROOT / "docker-compose.yml").read_text())
    services: dict[str, Any] = yaml.safe_load(text)["services"]
    return services


def compose_secrets() -> dict[str, set[str]]:
    """Files that each part of compose's secrets gets."""
    given: dict[str, set[str]] = {}
    text = (ROOT / "deploy" / "compose" / "secrets.sh").read_text()
    for part, name in re.findall(r'^ *give "?([\w$-]+)"? "\$\w+" "?([\w${}]+)"?', text, re.MULTILINE):
        for service in SERVICES if "$" in part else (part,):
            given.setdefault(part.replace("$name", service), set()).add(name.replace("${name}", service))
    return given


def direct_calls() -> set[tuple[str, str]]:
    """Who calls whom over HTTP, in the traces that tests/telemetry expects; all else goes through Temporal's queues."""
    edges = ORDERED | SENT | DELIVERED | UNDONE
    return {(caller, callee) for caller, callee, what in edges if METHODS.match(what)}


def through_temporal() -> set[tuple[str, str]]:
    """Who calls whom through Temporal's queues, in the same traces."""
    edges = ORDERED | SENT | DELIVERED | UNDONE
    return {(caller, callee) for caller, callee, what in edges if not METHODS.match(what)}


def gate() -> str:
    """The workflow that a new version must complete before it gets anything."""
    return gates.GATE


def drain_margin() -> float:
    """What comes after a service's drain, before its process has ended."""
    return serving.DRAIN_MARGIN + HTTP_SECONDS + tracing.FLUSH_SECONDS + CLOSE_SECONDS


@cache
def longest_activity() -> tuple[float, str]:
    """Seconds that an activity without heartbeats may take, and where that stands in the code.

    One that heartbeats and resumes may take longer: it goes on elsewhere where it was.
    """
    return max(_time_outs())


def _time_outs() -> Iterator[tuple[float, str]]:
    for service in SERVICES:
        for path in sorted((ROOT / "services" / service / "src" / service / "workflows").glob("*.py")):
            for call in ast.walk(ast.parse(path.read_text())):
                if not isinstance(call, ast.Call):
                    continue
                options = {keyword.arg: keyword.value for keyword in call.keywords}
                limit = options.get("start_to_close_timeout")
                if limit is not None and "heartbeat_timeout" not in options:
                    yield _seconds(service, path, limit), f"{path.relative_to(ROOT)}:{limit.lineno}"


def _seconds(service: str, path: Path, limit: ast.expr) -> float:
    module = importlib.import_module(f"{service}.workflows.{path.stem}")
    names = dict(vars(module))
    if any(isinstance(node, ast.Name) and node.id == "seconds" for node in ast.walk(limit)):
        # The one that a setting chooses: how long a carrier may take for its quotes, at most.
        [bound] = [part.le for part in settings(service).model_fields["quote_seconds"].metadata if hasattr(part, "le")]
        names["seconds"] = bound
    value = eval(compile(ast.Expression(limit), str(path), "eval"), names)  # our own source
    if not isinstance(value, timedelta):
        raise TypeError(f"{path}:{limit.lineno}: {value!r} is no duration")
    return value.total_seconds()
