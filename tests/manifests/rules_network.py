"""Who may talk to whom: the policies read as a cluster does, against the calls in real traces."""

import ipaddress
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from . import facts
from .pods import Finding, Pod, pods, selects
from .rendering import Manifest, Rendered

NAME = "app.kubernetes.io/name"
NAMESPACE = "kubernetes.io/metadata.name"
HTTP, TEMPORAL, POSTGRES, OTLP, DNS, TLS = 8080, 7233, 5432, 4318, 53, 443
PORTS = (HTTP, TEMPORAL, POSTGRES, OTLP, DNS, TLS, 22, 80, 8233, 9090, 10250)
"""Those that anybody needs, and some that nobody does."""


@dataclass(frozen=True)
class Peer:
    """Somebody that a pod may talk to: a pod in some namespace, or an address elsewhere.

    Attributes:
        name: For the reader.
        namespace: Its namespace, or nothing.
        labels: Of the pod.
        address: Its address, where it is elsewhere.
    """

    name: str
    namespace: str = ""
    labels: Mapping[str, str] | None = None
    address: str = ""


STRANGERS = (
    Peer("kube-dns", "kube-system", {"k8s-app": "kube-dns"}),
    Peer("prometheus", "monitoring", {NAME: "prometheus"}),
    Peer("grafana", "monitoring", {NAME: "grafana"}),
    Peer("otel-collector", "observability", {NAME: "otel-collector"}),
    Peer("ingress", "ingress-nginx", {NAME: "ingress-nginx"}),
    Peer("somebody else's pod", "elsewhere", {NAME: "prometheus"}),
    Peer("the internet", address="203.0.113.7"),
    Peer("a private network", address="10.1.2.3"),
    Peer("the cloud's metadata", address="169.254.169.254"),
    *(Peer(f"{name}'s database", address=f"192.0.2.{number}") for number, name in enumerate(facts.SERVICES, 11)),
)

Way = tuple[str, str, int]
"""From, to, port."""


def policies(rendered: Rendered) -> list[Manifest]:
    """All NetworkPolicies."""
    return rendered.of("NetworkPolicy")


def ways(rendered: Rendered) -> set[Way]:
    """Everything that is allowed, among the pods in here and between them and strangers."""
    [namespace] = [manifest["metadata"]["name"] for manifest in rendered.of("Namespace")]
    inside = [Peer(pod.name, namespace, pod.labels) for pod in pods(rendered)]
    allowed: set[Way] = set()
    for port in PORTS:
        for source in inside:
            for target in (*inside, *STRANGERS):
                out = _allows(rendered, "Egress", source, target, port)
                if (
                    source != target
                    and out
                    and (target in STRANGERS or _allows(rendered, "Ingress", target, source, port))
                ):
                    allowed.add((source.name, target.name, port))
        for stranger in STRANGERS:
            for target in inside:
                if _allows(rendered, "Ingress", target, stranger, port):
                    allowed.add((stranger.name, target.name, port))
    return allowed


def _allows(rendered: Rendered, direction: str, pod: Peer, other: Peer, port: int) -> bool:
    """Whether the policies of a pod let it talk to another, or be talked to."""
    of_pod = [
        policy["spec"]
        for policy in policies(rendered)
        if direction in policy["spec"]["policyTypes"] and selects(policy["spec"]["podSelector"], pod.labels or {})
    ]
    if not of_pod:
        return True
    key, peers = ("egress", "to") if direction == "Egress" else ("ingress", "from")
    return any(
        any(entry["port"] == port for entry in rule["ports"])
        and any(_is(peer, other, pod.namespace) for peer in rule[peers])
        for spec in of_pod
        for rule in spec.get(key, [])
    )


def _is(peer: Mapping[str, Any], other: Peer, namespace: str) -> bool:
    if "ipBlock" in peer:
        if not other.address:
            return False
        address = ipaddress.ip_address(other.address)
        excepted = [ipaddress.ip_network(part) for part in peer["ipBlock"].get("except", [])]
        within = address in ipaddress.ip_network(peer["ipBlock"]["cidr"])
        return within and not any(address in part for part in excepted)
    if other.labels is None:
        return False
    where = peer.get("namespaceSelector")
    same = other.namespace == namespace if where is None else selects(where, {NAMESPACE: other.namespace})
    return same and selects(peer.get("podSelector", {}), other.labels)


def expected(rendered: Rendered) -> set[Way]:
    """What is needed, and no more: by the traces, and by what each service has."""
    here = {pod.name: pod for pod in pods(rendered)}
    every = {(name, "kube-dns", DNS) for name in here}
    wanted = every | {(name, "otel-collector", OTLP) for name in facts.SERVICES}
    wanted |= {("prometheus", name, HTTP) for name in here if name in {*facts.SERVICES, "audit"}}
    callers = {caller for caller, callee in facts.direct_calls() if callee == "sandbox"}
    if "sandbox" in here:
        wanted |= {(caller, callee, HTTP) for caller, callee in facts.direct_calls()}
        wanted |= {(name, "temporal", TEMPORAL) for name in facts.SERVICES}
        wanted |= {(name, "postgres", POSTGRES) for name in facts.SERVICES}
    else:
        # Providers that are not in here are on the internet, and what they may call is behind an ingress.
        wanted |= {(caller, "the internet", TLS) for caller in callers}
        wanted |= {("ingress", callee, HTTP) for caller, callee in facts.direct_calls() if caller == "sandbox"}
        wanted |= {("ingress", "orchestrator", HTTP)}
        wanted |= {(name, f"{name}'s database", POSTGRES) for name in facts.SERVICES}
        for name in facts.SERVICES:
            wanted |= {(name, "the internet", TEMPORAL)}
    wanted |= set(_of_tools(here))
    return wanted


def _of_tools(here: Mapping[str, Pod]) -> Iterator[Way]:
    """What people, and the audit, do from inside."""
    for name in {"tools", "audit"} & set(here):
        for service in facts.SERVICES:
            yield name, service, HTTP
    if "tools" in here:
        yield "tools", "sandbox", HTTP
        yield "tools", "temporal", TEMPORAL


def edges(rendered: Rendered) -> Iterator[Finding]:
    """Exactly what is needed is allowed."""
    if not policies(rendered):
        return
    # Example addresses count as the internet too: they are in no private network.
    examples = {f"{name}'s database" for name in facts.SERVICES}
    allowed = {way for way in ways(rendered) if way[1] not in examples or way[2] == POSTGRES}
    wanted = expected(rendered)
    for source, target, port in sorted(allowed - wanted):
        yield Finding(rendered.name, "NetworkPolicy", f"{source} may talk to {target}:{port}, and nobody needs it")
    for source, target, port in sorted(wanted - allowed):
        yield Finding(rendered.name, "NetworkPolicy", f"{source} cannot talk to {target}:{port}, and has to")
    denied = [policy for policy in policies(rendered) if policy["spec"]["podSelector"] == {}]
    if not any(set(policy["spec"]["policyTypes"]) == {"Ingress", "Egress"} for policy in denied):
        yield Finding(rendered.name, "NetworkPolicy", "nothing denies what is not allowed")


RULES = (edges,)
