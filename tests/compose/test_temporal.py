"""Temporal in compose is told what the demo's, on which everything was measured and tested, is told."""

import json
import re
from typing import Any

from waybill.stack.plan import NAMESPACE, TEMPORAL_PRAGMAS, TEMPORAL_RUNTIME, TEMPORAL_SETTINGS

from .files import ON_POSTGRES, ROOT, USUALLY, read_yaml, size

DYNAMIC_CONFIG = ROOT / "deploy" / "compose" / "temporal" / "dynamic-config.yaml"
ONLY_THE_DEV_SERVER = {"history.transferProcessorMaxPollRPS"}
"""What raises a limit that the dev server has and a server in production has not."""


def test_the_dev_server_has_the_settings_of_the_demo() -> None:
    assert flags("dynamic-config-value") == TEMPORAL_SETTINGS


def test_its_database_has_the_pragmas_of_the_demo() -> None:
    assert flags("sqlite-pragma") == TEMPORAL_PRAGMAS


def test_its_collector_runs_as_rarely_as_the_demos_and_hurries_before_the_container_is_full() -> None:
    environment = USUALLY["temporal"].environment
    assert environment.keys() >= TEMPORAL_RUNTIME.keys()
    assert environment["GOGC"] == TEMPORAL_RUNTIME["GOGC"]
    # The demo's has a gibibyte. Beside what the collector sees there are SQLite, stacks and the program itself.
    assert size(environment["GOMEMLIMIT"].replace("MiB", "m")) <= 0.75 * USUALLY["temporal"].memory


def test_a_server_on_postgresql_has_the_settings_of_the_demo_but_for_what_is_the_dev_servers() -> None:
    said: dict[str, list[dict[str, Any]]] = read_yaml(DYNAMIC_CONFIG)
    wanted = {name: json.loads(value) for name, value in TEMPORAL_SETTINGS.items() if name not in ONLY_THE_DEV_SERVER}
    assert said == {name: [{"value": value}] for name, value in wanted.items()}


def test_a_server_on_postgresql_reads_them() -> None:
    container = ON_POSTGRES["temporal"]
    [mounted] = [each["target"] for each in container.mounts if each["source"].endswith(DYNAMIC_CONFIG.name)]
    assert container.environment["DYNAMIC_CONFIG_FILE_PATH"] == mounted


def test_the_dev_server_keeps_its_database_in_its_volume() -> None:
    [volume] = [each["target"] for each in USUALLY["temporal"].mounts if each["source"] == "temporal"]
    assert f"--db-filename={volume}/temporal.db" in USUALLY["temporal"].said["command"]


def test_everybody_speaks_of_the_same_namespace() -> None:
    said = {
        each.environment["TEMPORAL_NAMESPACE"]
        for composition in (USUALLY, ON_POSTGRES)
        for each in composition
        if "TEMPORAL_NAMESPACE" in each.environment
    }
    assert said == {NAMESPACE}
    assert f"--namespace={NAMESPACE}" in USUALLY["temporal"].said["healthcheck"]["test"]


def test_a_server_on_postgresql_gets_both_databases_before_it_starts_and_its_namespace_before_others_do() -> None:
    assert ON_POSTGRES["temporal-schema"].waits_for == {"temporal-postgres": "service_healthy"}
    assert ON_POSTGRES["temporal"].waits_for["temporal-schema"] == "service_completed_successfully"
    assert ON_POSTGRES["temporal-namespace"].waits_for == {"temporal": "service_healthy"}
    schema = (ROOT / "deploy" / "compose" / "temporal" / "schema.sh").read_text()
    assert re.findall(r"^for pair in (.*); do$", schema, re.MULTILINE) == [
        "temporal:temporal temporal_visibility:visibility"
    ]


def flags(name: str) -> dict[str, str]:
    """What the dev server is told by a flag that may be repeated."""
    begin = f"--{name}="
    said = [each.removeprefix(begin) for each in USUALLY["temporal"].said["command"] if each.startswith(begin)]
    return dict(each.split("=", 1) for each in said)
