"""What compose tells a program is what the program understands, and is all that it must be told."""

import importlib
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import opentelemetry.environment_variables
import opentelemetry.sdk.environment_variables
import pytest
import typer.main
from opentelemetry.sdk.trace import sampling
from pydantic_settings import BaseSettings
from temporalio.envconfig import ClientConfigProfile

from chassis import connection, spans, tracing
from chassis.settings import SECRETS_DIR, load
from waybill.cli import app
from waybill.cli.common import TOKEN_FILE
from waybill.stack.plan import SERVICES

from . import secrets
from .files import BASE, COMPOSITIONS, LIGHT, TEMPORAL_ON_POSTGRES, USUALLY, Composition, Container, read
from .secrets import Made

PROGRAMS = (*SERVICES, "sandbox")
IMAGE = {"PATH", "PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE"}
"""What Python and the shell read."""
TELEMETRY = {
    value
    for module in (opentelemetry.environment_variables, opentelemetry.sdk.environment_variables)
    for name, value in vars(module).items()
    if name.startswith("OTEL_")
}
"""Every variable that OpenTelemetry's specification has for Python."""

every_program = pytest.mark.parametrize("program", PROGRAMS)
every_composition = pytest.mark.parametrize(
    "composition",
    [*COMPOSITIONS, read(BASE, given=LIGHT), read(BASE, TEMPORAL_ON_POSTGRES, given=LIGHT)],
    ids=["usually", "on_postgres", "light", "light_on_postgres"],
)


@pytest.fixture(name="made", scope="module")
def made_fixture(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return secrets.run(tmp_path_factory.mktemp("secrets"))


@pytest.fixture(autouse=True)
def _nothing_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs find in their environment what a test puts there, and nothing else."""
    for name in os.environ:
        if name.startswith(("OTEL_", "TEMPORAL_", "WAYBILL_", *(f"{program.upper()}_" for program in PROGRAMS))):
            monkeypatch.delenv(name)


@every_program
def test_every_variable_is_one_that_the_program_reads(program: str) -> None:
    prefix = f"{program.upper()}_"
    known = {f"{prefix}{field}".upper() for field in settings_of(program).model_fields}
    for composition in COMPOSITIONS:
        said = set(composition[program].environment) - IMAGE
        own = {name for name in said if name.startswith(prefix)}
        assert own <= known
        traces = {name for name in said if name.startswith("OTEL_")}
        assert traces <= TELEMETRY
        temporal = {name for name in said if name.startswith("TEMPORAL_")}
        assert temporal == {name for name in temporal if is_read_by_temporal(name)}
        assert said - own - traces - temporal == {SECRETS_DIR}


@every_composition
@every_program
def test_a_program_starts_with_what_it_is_told(
    composition: Composition, program: str, made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    container = composition[program]
    inside(container, made, monkeypatch)
    loaded: Any = load(settings_of(program))
    prefix = f"{program.upper()}_"
    for name, value in container.environment.items():
        if name.startswith(prefix):
            read = getattr(loaded, name.removeprefix(prefix).lower())
            assert read == type(read)(value)


@every_program
def test_every_secret_that_is_made_for_a_program_is_a_setting_of_it_and_none_is_in_its_environment(
    program: str, made: Made
) -> None:
    files = set(made.files(program))
    assert files <= {f"{program}_{field}" for field in settings_of(program).model_fields}
    assert files & {name.lower() for name in USUALLY[program].environment} == set()
    assert f"{program}_operator_token" in files


@pytest.mark.parametrize("program", PROGRAMS)
def test_without_its_secrets_a_program_does_not_start(
    program: str, tmp_path: Path, made: Made, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    inside(USUALLY[program], made, monkeypatch)
    monkeypatch.setenv(SECRETS_DIR, str(tmp_path))
    with pytest.raises(SystemExit):
        load(settings_of(program))
    assert f"{program.upper()}_OPERATOR_TOKEN: is required" in capsys.readouterr().err


@every_composition
@pytest.mark.parametrize("service", SERVICES)
def test_temporals_own_reader_finds_address_and_namespace(
    composition: Composition, service: str, made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside(composition[service], made, monkeypatch)
    options = connection.options()
    assert options["target_host"] == "temporal:7233"
    assert options["namespace"] == "default"


@every_program
def test_spans_go_to_the_collector_unless_there_is_none(
    program: str, made: Made, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    inside(USUALLY[program], made, monkeypatch)
    assert tracing.asked() == "otlp"
    spans.make_exporter("otlp").shutdown()
    with caplog.at_level(logging.WARNING):
        sampler = sampling._get_from_env_or_default()
    assert "AlwaysOnSampler" in sampler.get_description()
    assert caplog.messages == []
    inside(read(BASE, given=LIGHT)[program], made, monkeypatch)
    assert tracing.asked() is None


@pytest.mark.parametrize("name", ["demo", "audit", "tools"])
def test_every_variable_of_our_commands_is_one_that_they_read(name: str) -> None:
    read_by = {TOKEN_FILE, *options_from_environment(typer.main.get_command(app))}
    for composition in COMPOSITIONS:
        assert set(composition[name].environment) - IMAGE <= read_by


def inside(container: Container, made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    """Puts this process where the container's is: its variables, and the part of the secrets that is mounted."""
    [part] = [each["volume"]["subpath"] for each in container.mounts if "subpath" in each.get("volume", {})]
    for name, value in container.environment.items():
        if name not in IMAGE:
            monkeypatch.setenv(name, value)
    assert container.environment[SECRETS_DIR] == "/run/secrets"
    monkeypatch.setenv(SECRETS_DIR, str(made.secrets / part))


def settings_of(program: str) -> type[BaseSettings]:
    """The settings class of a service, or of the sandbox."""
    found: type[BaseSettings] = importlib.import_module(f"{program}.settings").Settings
    return found


def is_read_by_temporal(name: str) -> bool:
    """Whether Temporal's own reader makes something of a variable."""
    return ClientConfigProfile.load(override_env_vars={name: "x:1"}) != ClientConfigProfile.load(override_env_vars={})


def options_from_environment(command: Any) -> Iterator[str]:
    """Variables that options of a command, and of the commands under it, are read from."""
    for parameter in command.params:
        named = parameter.envvar or ()
        yield from [named] if isinstance(named, str) else named
    for below in getattr(command, "commands", {}).values():
        yield from options_from_environment(below)
