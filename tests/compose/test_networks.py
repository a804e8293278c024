"""Who reaches whom, and what can be reached from outside."""

import re

import pytest

from waybill.audit.reading import KEEPERS
from waybill.stack.plan import SERVICES, USUAL_PORTS

from .files import (
    BASE,
    COMPOSITIONS,
    ON_POSTGRES,
    ROOT,
    TEMPORAL_ON_POSTGRES,
    USUALLY,
    Composition,
    Container,
    read,
    read_yaml,
)

PUBLISHED = {
    "edge": {"WAYBILL_PORT": "orchestrator"},
    "temporal": {"WAYBILL_TEMPORAL_PORT": "temporal", "WAYBILL_TEMPORAL_UI_PORT": "temporal-ui"},
    "jaeger": {"WAYBILL_JAEGER_PORT": None},
    "prometheus": {"WAYBILL_PROMETHEUS_PORT": None},
    "grafana": {"WAYBILL_GRAFANA_PORT": None},
}
"""Whose ports are published, by which variables, and which of the demo's ports each is."""
ON_POSTGRES_PUBLISHED = {
    **PUBLISHED,
    "temporal": {"WAYBILL_TEMPORAL_PORT": "temporal"},
    "temporal-ui": {"WAYBILL_TEMPORAL_UI_PORT": "temporal-ui"},
}
PORT = re.compile(r"127\.0\.0\.1:\$\{(?P<variable>WAYBILL_(?:[A-Z_]+_)?PORT):-(?P<default>\d+)\}:\d+")
ADDRESS = re.compile(r"(?<![\w.-])(?P<host>[a-z][a-z-]*):(?P<port>\d{4,5})\b")

every_composition = pytest.mark.parametrize("composition", COMPOSITIONS, ids=["usually", "on_postgres"])


@every_composition
@pytest.mark.parametrize("service", SERVICES)
def test_a_service_is_in_its_own_network_and_in_no_other(composition: Composition, service: str) -> None:
    assert composition[service].networks == {service}


@every_composition
def test_only_the_network_of_published_ports_leads_outside(composition: Composition) -> None:
    assert {name for name, said in composition.networks.items() if not said.get("internal")} == {"published"}


@every_composition
def test_only_who_publishes_a_port_is_in_the_network_that_leads_outside(composition: Composition) -> None:
    assert {each.name for each in composition if "published" in each.networks} == {
        each.name for each in composition if each.published
    }


@every_composition
def test_every_network_is_used_and_everybody_but_the_maker_of_secrets_is_in_one(composition: Composition) -> None:
    assert {name for each in composition for name in each.networks} == set(composition.networks)
    assert [each.name for each in composition if not each.networks] == ["secrets"]
    assert composition["secrets"].said["network_mode"] == "none"


@pytest.mark.parametrize(
    ("composition", "published"),
    [
        (read(BASE, given=None), PUBLISHED),
        (read(BASE, TEMPORAL_ON_POSTGRES, given=None), ON_POSTGRES_PUBLISHED),
    ],
    ids=["usually", "on_postgres"],
)
def test_ports_are_published_on_loopback_only_and_each_can_be_moved(
    composition: Composition, published: dict[str, dict[str, str | None]]
) -> None:
    said = {
        each.name: [PORT.fullmatch(port) for port in each.said["ports"]] for each in composition if "ports" in each.said
    }
    assert {name: {match["variable"] for match in matches if match is not None} for name, matches in said.items()} == {
        name: set(named) for name, named in published.items()
    }
    assert all(match is not None for matches in said.values() for match in matches)


@every_composition
def test_the_usual_ports_are_those_of_the_demo_and_none_is_taken_twice(composition: Composition) -> None:
    outside = {each.name: [port for _, port, _ in each.published] for each in composition}
    assert outside["edge"] == [USUAL_PORTS["orchestrator"]]
    interface = outside.get("temporal-ui", [])
    assert outside["temporal"] + interface == [USUAL_PORTS["temporal"], USUAL_PORTS["temporal-ui"]]
    every = [port for ports in outside.values() for port in ports]
    assert len(set(every)) == len(every)


@every_composition
def test_nobody_has_a_fixed_name_or_address_so_that_whoever_publishes_nothing_can_be_scaled(
    composition: Composition,
) -> None:
    fixed = {"container_name", "hostname", "mac_address", "external_links", "links"}
    assert [str(each) for each in composition if fixed & set(each.said)] == []
    assert [str(each) for each in composition if not isinstance(each.said.get("networks", []), list)] == []
    assert [name for name in SERVICES if composition[name].published] == []


@every_composition
def test_whoever_is_named_by_an_address_can_be_reached_at_it(composition: Composition) -> None:
    named = [(each, host) for each in composition for host, _ in addresses(each)]
    assert len(named) > 30
    wrong = [
        f"{each} does not reach {host}"
        for each, host in named
        if host not in composition.containers or not each.networks & composition[host].networks
    ]
    assert wrong == []


@every_composition
def test_a_service_that_is_named_by_an_address_listens_there(composition: Composition) -> None:
    wrong = [
        f"{each}: {host}:{port}"
        for each in composition
        for host, port in addresses(each)
        if host in {*SERVICES, "sandbox"} and port != composition[host].environment[f"{host.upper()}_PORT"]
    ]
    assert wrong == []


@every_composition
@pytest.mark.parametrize("name", ["demo", "audit", "tools"])
def test_our_commands_are_told_where_everybody_is_whom_they_ask(composition: Composition, name: str) -> None:
    stated = dict(pair.split("=", 1) for pair in composition[name].environment["WAYBILL_URL"].split())
    assert set(stated) == set(KEEPERS)
    assert all(url == f"http://{keeper}:8080" for keeper, url in stated.items())


@every_composition
def test_services_reach_what_they_need_and_the_outside_world_only_where_they_use_it(composition: Composition) -> None:
    reach = {
        service: {each.name for each in composition if composition[service].networks & each.networks}
        for service in SERVICES
    }
    watchers = {"demo", "tools", "otel-collector", "prometheus", "audit"}
    needed = {"postgres", "temporal"}
    assert reach == {
        "orchestrator": {"orchestrator", "sandbox", "edge", *needed, *watchers},
        "inventory": {"inventory", *needed, *watchers},
        "payments": {"payments", "sandbox", *needed, *watchers},
        "shipping": {"shipping", "sandbox", *needed, *watchers},
    }


@every_composition
def test_every_job_of_prometheus_is_a_container_that_it_reaches_at_that_port(composition: Composition) -> None:
    jobs = read_yaml(ROOT / "deploy" / "observability" / "prometheus" / "prometheus.yml")["scrape_configs"]
    assert {job["job_name"] for job in jobs} == {*SERVICES, "temporal", "audit", "otel-collector"}
    for job in jobs:
        for host, port in targets(job):
            assert host == job["job_name"]
            assert composition[host].networks & composition["prometheus"].networks, host
            if host in SERVICES:
                assert port == composition[host].environment[f"{host.upper()}_PORT"]


def test_temporal_and_the_audit_serve_their_metrics_where_prometheus_looks() -> None:
    jobs = read_yaml(ROOT / "deploy" / "observability" / "prometheus" / "prometheus.yml")["scrape_configs"]
    asked = {host: port for job in jobs for host, port in targets(job)}
    assert f"--metrics-port={asked['temporal']}" in USUALLY["temporal"].said["command"]
    assert ON_POSTGRES["temporal"].environment["PROMETHEUS_ENDPOINT"] == f"0.0.0.0:{asked['temporal']}"
    command = USUALLY["audit"].said["command"]
    assert command[command.index("--metrics-port") + 1] == asked["audit"]
    assert command[command.index("--metrics-host") + 1] == "0.0.0.0"


def test_the_edge_sends_orders_to_the_orchestrator_and_keeps_the_rest_inside() -> None:
    text = (ROOT / "deploy" / "compose" / "edge" / "haproxy.cfg").read_text()
    port = USUALLY["orchestrator"].environment["ORCHESTRATOR_PORT"]
    assert re.findall(r"^    server-template \S+ \d+ (\S+)", text, re.MULTILINE) == [f"orchestrator:{port}"]
    [inside] = [inside for _, _, inside in USUALLY["edge"].published]
    assert re.findall(r"^    bind :(\d+)$", text, re.MULTILINE) == [str(inside)]
    assert "deny_status 404 if { path /metrics /livez /readyz } || { path_beg /audit }" in text


def addresses(container: Container) -> set[tuple[str, str]]:
    """Whom a container is told to speak to: host and port."""
    health = container.said.get("healthcheck", {}).get("test", [])
    said = [*container.environment.values(), *container.said.get("command", []), *health]
    return {(match["host"], match["port"]) for each in said for match in ADDRESS.finditer(each)}


def targets(job: dict[str, list[dict[str, list[str]]]]) -> set[tuple[str, str]]:
    """Whom Prometheus scrapes for a job: host and port."""
    named = {(name, str(each["port"])) for each in job.get("dns_sd_configs", []) for name in each["names"]}
    stated = {target for each in job.get("static_configs", []) for target in each["targets"]}
    return named | {(host, port) for host, _, port in (target.partition(":") for target in stated)}
