"""Names: queues, ports, variables, Secrets, labels. Each is what somebody else says it is."""

import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast
from unittest.mock import patch
from urllib.parse import urlsplit

from pydantic import ValidationError
from pydantic_settings import BaseSettings

from chassis.settings import SECRETS_DIR

from . import facts
from .pods import Finding, Pod, environment, found, pods, selects, services
from .rendering import Manifest, Rendered

ADDRESS = re.compile(r"^[a-z0-9.-]+:[0-9]{1,5}$")
DATABASE = "postgresql://user:password@database:5432/name"


def ports(rendered: Rendered) -> Iterator[Finding]:
    """Containers have the ports of their images, and Services lead to them."""
    for pod in pods(rendered):
        name = pod.main["image"].rpartition(":")[0]
        if name.startswith("ghcr.io/waybill/") and pod.ports:
            built = name.rpartition("/")[2]
            expected = 8080 if built == "tools" else facts.image_port(facts.image_folder(built))
            if list(pod.ports.values()) != [expected]:
                yield pod.finds(f"{pod.ports} is not the image's port, {expected}", f"{pod.main['name']}.ports")
    for service in rendered.of("Service"):
        chosen = [pod for pod in pods(rendered) if selects({"matchLabels": service["spec"]["selector"]}, pod.labels)]
        if [pod.name for pod in chosen] != [service["metadata"]["name"]]:
            yield found(rendered, service, f"leads to {[pod.name for pod in chosen]}", "spec.selector")
        for port in service["spec"]["ports"]:
            for pod in chosen:
                if pod.ports.get(port["targetPort"]) != port["port"]:
                    where = f"spec.ports.{port['name']}"
                    yield found(rendered, service, f"{port['port']} leads to {pod.ports}, {port['targetPort']}", where)


def addresses(rendered: Rendered) -> Iterator[Finding]:
    """Every URL and address leads to a port of a Service in here, or out of the namespace."""
    for pod in pods(rendered):
        for container in pod.containers:
            for name, value in environment(rendered, container):
                for host, port in _targets(name, value or ""):
                    if "." in host:
                        continue
                    service = rendered.get("Service", host)
                    open_ports = [] if service is None else [entry["port"] for entry in service["spec"]["ports"]]
                    outside = rendered.get("Namespace", "waybill") is not None and host == "temporal"
                    if port not in open_ports and not outside:
                        yield pod.finds(f"{value} leads to no port of a Service", f"{container['name']} {name}")


def _targets(name: str, value: str) -> Iterator[tuple[str, int]]:
    for url in re.findall(r"https?://\S+", value):
        parts = urlsplit(url)
        yield parts.hostname or "", parts.port or {"http": 80, "https": 443}[parts.scheme]
    if name.endswith("_ADDRESS") and ADDRESS.match(value):
        host, _, port = value.rpartition(":")
        yield host, int(port)


def variables(rendered: Rendered) -> Iterator[Finding]:
    """A container is told what its program reads, and nothing else; no secret is told so."""
    for pod in pods(rendered):
        for container in pod.containers:
            for name, value in environment(rendered, container):
                where = f"{container['name']} {name}"
                if pod.is_service and name not in facts.variables(pod.name):
                    yield pod.finds("is no variable that the service reads", where)
                if pod.main["image"].startswith("ghcr.io/waybill/tools:") and name not in facts.TOOLS | facts.TEMPORAL:
                    yield pod.finds("is no variable that the tools read", where)
                if name == "TEMPORAL_ADDRESS" and not ADDRESS.match(value or ""):
                    yield pod.finds(f"{value} is not of the form host:port", where)
                if value is not None and re.search(r"://[^/\s]*:[^/\s]*@", value):
                    yield pod.finds("has a password in it", where)


def settings(rendered: Rendered) -> Iterator[Finding]:
    """The settings class of each service takes what its pod gets. The base says nothing of providers: overlays do."""
    if rendered.name not in {"local", "production"}:
        return
    for pod in services(rendered):
        told = {name: value for name, value in environment(rendered, pod.main) if value is not None}
        with tempfile.TemporaryDirectory() as folder:
            for key in facts.SECRETS[pod.name]:
                (Path(folder) / key).write_text(DATABASE if key.endswith("_database_url") else "x" * 16)
            with patch.dict(os.environ, told, clear=True):
                try:
                    cast(type[BaseSettings], facts.settings(pod.name))(_secrets_dir=folder)
                except ValidationError as error:
                    for problem in error.errors(include_url=False, include_input=False):
                        field = ".".join(map(str, problem["loc"]))
                        yield pod.finds(problem["msg"], f"{pod.name.upper()}_{field.upper()}")


def secrets(rendered: Rendered) -> Iterator[Finding]:
    """Secrets and their keys are those that are made, and are read where they are mounted."""
    for pod in pods(rendered):
        for volume in pod.spec.get("volumes", []):
            name = volume.get("secret", {}).get("secretName")
            if name is None:
                continue
            if name not in facts.SECRETS:
                yield pod.finds(f"nobody makes a Secret {name}", f"volumes.{volume['name']}")
            if volume["name"] == "secrets" and name != (pod.name if pod.name != "audit" else "tools"):
                yield pod.finds(f"mounts the Secret of {name}", f"volumes.{volume['name']}")
        for container in pod.containers:
            yield from _of_container(rendered, pod, container)


def _of_container(rendered: Rendered, pod: Pod, container: dict[str, Any]) -> Iterator[Finding]:
    mounts = {mount["name"]: mount["mountPath"] for mount in container.get("volumeMounts", [])}
    told = dict(environment(rendered, container))
    if pod.is_service and told.get(SECRETS_DIR) != mounts.get("secrets"):
        where = f"{container['name']} {SECRETS_DIR}"
        yield pod.finds(f"is {told.get(SECRETS_DIR)}, and the Secret is at {mounts.get('secrets')}", where)
    for variable in container.get("env", []):
        source = variable.get("valueFrom", {}).get("secretKeyRef")
        if source is not None and source["key"] not in facts.SECRETS.get(source["name"], set()):
            where = f"{container['name']} {variable['name']}"
            yield pod.finds(f"nobody makes a key {source['key']} of a Secret {source['name']}", where)
        value = variable.get("value", "")
        if value.startswith("/run/secrets/") and value.rpartition("/")[2] not in facts.SECRETS[_secret(pod)]:
            yield pod.finds(f"there is no {value}", f"{container['name']} {variable['name']}")


def _secret(pod: Pod) -> str:
    [name] = [volume["secret"]["secretName"] for volume in pod.spec["volumes"] if volume["name"] == "secrets"]
    return str(name)


def selectors(rendered: Rendered) -> Iterator[Finding]:
    """Selectors choose the pods of their own name."""
    for pod in pods(rendered):
        selector = pod.owner["spec"].get("selector")
        if selector is not None and not selects(selector, pod.labels):
            yield pod.finds("does not select its own pods", "spec.selector")
        if pod.labels.get("app.kubernetes.io/name") != pod.name:
            yield pod.finds("is not the workload's name", "labels app.kubernetes.io/name")
        for constraint in pod.spec.get("topologySpreadConstraints", []):
            if not selects(constraint["labelSelector"], pod.labels):
                yield pod.finds("does not count its own pods", f"topologySpreadConstraints {constraint['topologyKey']}")
        account = pod.spec.get("serviceAccountName")
        if account is not None and rendered.get("ServiceAccount", account) is None:
            yield pod.finds(f"there is no ServiceAccount {account}", "serviceAccountName")
        if pod.is_service and account != pod.name:
            yield pod.finds("is not its own", "serviceAccountName")
    for budget in rendered.of("PodDisruptionBudget"):
        yield from _own(rendered, budget)


def _own(rendered: Rendered, manifest: Manifest) -> Iterator[Finding]:
    chosen = {pod.name for pod in pods(rendered) if selects(manifest["spec"]["selector"], pod.labels)}
    if chosen != {manifest["metadata"]["name"]}:
        yield found(rendered, manifest, f"selects {sorted(chosen)}", "spec.selector")


def scraped(rendered: Rendered) -> Iterator[Finding]:
    """The PodMonitor finds every pod with metrics, at its port, and calls the job as alerts and dashboards do."""
    for monitor in rendered.of("PodMonitor"):
        spec = monitor["spec"]
        chosen = {pod.name for pod in pods(rendered) if selects(spec["selector"], pod.labels)}
        if chosen != {*facts.SERVICES, "audit"}:
            yield found(rendered, monitor, f"selects {sorted(chosen)}", "spec.selector")
        for endpoint in spec["podMetricsEndpoints"]:
            for pod in pods(rendered):
                if pod.name in chosen and endpoint["port"] not in pod.ports:
                    yield found(rendered, monitor, f"{pod.name} has no port {endpoint['port']}", "podMetricsEndpoints")
            if endpoint["path"] not in facts.PROBES or not endpoint.get("honorLabels"):
                what = "asks for no metrics, or renames the SDK's labels"
                yield found(rendered, monitor, what, "podMetricsEndpoints")
        if spec.get("jobLabel") != "app.kubernetes.io/name":
            yield found(rendered, monitor, "jobs are not called like services", "jobLabel")


def ways_in(rendered: Rendered) -> Iterator[Finding]:
    """What outsiders reach leads to a service, and to nothing that is for those inside."""
    for ingress in rendered.of("Ingress"):
        for rule in ingress["spec"]["rules"]:
            for path in rule["http"]["paths"]:
                backend = path["backend"]["service"]
                service = rendered.get("Service", backend["name"])
                names = [] if service is None else [port["name"] for port in service["spec"]["ports"]]
                if backend["port"]["name"] not in names:
                    yield found(rendered, ingress, f"{path['path']} leads to no port of a Service")
                inner = [inside for inside in (*facts.PROBES, "/audit") if inside.startswith(path["path"])]
                if inner:
                    yield found(rendered, ingress, f"{path['path']} lets outsiders reach {', '.join(inner)}")


RULES = (ports, addresses, variables, settings, secrets, selectors, scraped, ways_in)
