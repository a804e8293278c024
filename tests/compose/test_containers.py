"""How containers live: who is started again, asked whether it is well, limited, stopped, and waited for."""

import re
from typing import Any

import pytest

from chassis.serving import DRAIN_MARGIN
from chassis.settings import ServiceSettings
from waybill.stack.plan import SERVICES

from .files import COMPOSITIONS, CONTAINERS, ON_POSTGRES, ROOT, USUALLY, Composition, Container, size

UNASKED = {
    "otel-collector": "no program is in its image: telemetry-health asks it",
    "jaeger": "no program is in its image: telemetry-health asks it",
}
"""Who stays up and has no health check, and why."""
LIGHT_BYTES = size("2g")

every_container = pytest.mark.parametrize("container", CONTAINERS, ids=str)
every_composition = pytest.mark.parametrize("composition", COMPOSITIONS, ids=["usually", "on_postgres"])


@every_container
def test_what_stays_up_is_started_again_and_what_ends_is_not(container: Container) -> None:
    assert container.said["restart"] == ("unless-stopped" if container.stays_up else "no")


@every_container
def test_what_stays_up_is_asked_whether_it_is_well(container: Container) -> None:
    if not container.stays_up:
        assert "healthcheck" not in container.said, "nobody waits for the health of what ends"
        return
    asked = container.health is not None and container.health["test"][0] in {"CMD", "CMD-SHELL"}
    assert asked == (container.name not in UNASKED)


@every_container
def test_who_is_starting_is_asked_every_second(container: Container) -> None:
    if container.health is not None:
        assert container.health["start_interval"] == "1s"
        assert seconds(container.health["start_period"]) >= 60, "without it start_interval is not heeded"


@every_composition
def test_those_without_a_program_of_their_own_are_asked_by_a_neighbour(composition: Composition) -> None:
    neighbour = composition["telemetry-health"]
    assert neighbour.health is not None
    asked = set(re.findall(r"http://([a-z-]+):", " ".join(neighbour.health["test"])))
    assert asked == set(UNASKED)
    for name in UNASKED:
        assert neighbour.networks & composition[name].networks
        assert neighbour.profiles == composition[name].profiles


@every_composition
def test_somebody_waits_for_every_job_to_succeed(composition: Composition) -> None:
    jobs = {each.name for each in composition if each.is_job}
    awaited = {
        name
        for each in composition.running()
        for name, until in waits_in_the_end(composition, each).items()
        if until == "service_completed_successfully"
    }
    assert jobs == awaited, "docker compose up --wait fails where a container ends that nobody waits for"


@every_composition
def test_nobody_waits_for_what_cannot_come(composition: Composition) -> None:
    wrong = [
        f"{each} waits until {name} is {until}"
        for each in composition
        for name, until in each.waits_for.items()
        if not fits(composition[name], until)
        or (composition[name].profiles and not each.profiles <= composition[name].profiles)
    ]
    assert wrong == []


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_waits_for_its_secrets_its_database_and_temporal(service: str) -> None:
    usual = {
        "secrets": "service_completed_successfully",
        "databases": "service_completed_successfully",
        "temporal": "service_healthy",
    }
    assert USUALLY[service].waits_for == usual
    # A Temporal server has no namespace when it is new.
    assert ON_POSTGRES[service].waits_for == {**usual, "temporal-namespace": "service_completed_successfully"}


@every_container
def test_whoever_reads_a_secret_waits_until_it_is_made(container: Container) -> None:
    [composition] = [each for each in COMPOSITIONS if container in each]
    reads = any(each["source"] == "secrets" for each in container.mounts)
    if reads and container.name != "secrets" and not container.is_for_people:
        assert "secrets" in waits_in_the_end(composition, container)


@every_container
def test_memory_is_limited(container: Container) -> None:
    assert size("16m") <= container.memory <= size("1g")


@every_container
def test_logs_are_rotated(container: Container) -> None:
    assert container.said["logging"] == {"driver": "local", "options": {"max-size": "10m", "max-file": "3"}}


def test_without_observability_all_limits_together_are_two_gibibytes_at_most() -> None:
    limits = {each.name: each.memory for each in USUALLY.running("light")}
    assert set(SERVICES) < set(limits)
    assert sum(limits.values()) <= LIGHT_BYTES, limits


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_is_not_killed_before_its_drain_is_over(service: str) -> None:
    drain: Any = ServiceSettings.model_fields["drain_seconds"].default
    for composition in COMPOSITIONS:
        container = composition[service]
        given = float(container.environment.get(f"{service.upper()}_DRAIN_SECONDS", drain))
        assert seconds(container.said["stop_grace_period"]) > given + DRAIN_MARGIN


@every_container
def test_what_we_wrote_can_write_nothing_but_its_volumes_and_gain_no_rights(container: Container) -> None:
    if container.image is None:
        return
    assert container.said["read_only"] is True
    assert container.said["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in container.said["security_opt"]
    assert [each.partition(":")[0] for each in container.said["tmpfs"]] == ["/tmp"]
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", container.image.user), "Kubernetes must see that it is not root"
    assert "user" not in container.said


@every_container
def test_nobody_has_the_run_of_this_machine(container: Container) -> None:
    assert {"privileged", "cap_add", "pid", "ipc", "devices", "userns_mode", "cgroup"} & set(container.said) == set()
    assert container.said.get("network_mode", "none") == "none"
    ours = ("./deploy/", "secrets", "postgres", "temporal", "sandbox", "prometheus")
    assert [each["source"] for each in container.mounts if not each["source"].startswith(ours)] == []


@every_container
def test_files_of_the_repository_are_there_and_are_only_read(container: Container) -> None:
    files = [each for each in container.mounts if each["type"] == "bind"]
    assert [each["source"] for each in files if not each["read_only"]] == []
    assert [each["source"] for each in files if not (ROOT / each["source"]).exists()] == []


def fits(container: Container, until: str) -> bool:
    """Whether the condition is one that this container can come to."""
    if until == "service_completed_successfully":
        return container.is_job
    return until == "service_healthy" and container.stays_up and container.health is not None


def waits_in_the_end(composition: Composition, container: Container) -> dict[str, str]:
    """For whom it waits, and for whom those wait."""
    found = dict(container.waits_for)
    for name in container.waits_for:
        found |= waits_in_the_end(composition, composition[name])
    return found


def seconds(text: str) -> float:
    """A duration of compose or of a Dockerfile."""
    assert text.endswith("s"), text
    return float(text.removesuffix("s"))
