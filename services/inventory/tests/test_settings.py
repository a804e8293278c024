import asyncio
import os
import sys

import pytest

from chassis.settings import load
from inventory.settings import Settings

REQUIRED = {
    "INVENTORY_DATABASE_URL": "postgresql://inventory:secret@db/inventory",
    "INVENTORY_OPERATOR_TOKEN": "operator-token",
}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("INVENTORY_"):
            monkeypatch.delenv(name)
    for name, value in REQUIRED.items():
        monkeypatch.setenv(name, value)


def test_only_the_database_and_the_operators_token_must_be_told() -> None:
    settings = load(Settings)
    assert (settings.port, settings.expiry_seconds, settings.expiry_batch) == (8002, 60, 200)


def test_variables_begin_with_the_services_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INVENTORY_EXPIRY_SECONDS", "5")
    assert load(Settings).expiry_seconds == 5


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("INVENTORY_EXPIRY_SECONDS", "0"),
        ("INVENTORY_EXPIRY_SECONDS", "often"),
        ("INVENTORY_EXPIRY_BATCH", "-1"),
        ("INVENTORY_IMPORT_CONCURRENCY", "0"),
        ("INVENTORY_IMPORT_CONCURRENCY", "-1"),
        ("INVENTORY_IMPORT_CHUNK_ROWS", "0"),
        ("INVENTORY_CURRENCIES", '["EUR", "euro"]'),
        ("INVENTORY_CURRENCIES", "EUR"),
        ("INVENTORY_PORT", "70000"),
        ("INVENTORY_DATABASE_URL", "sqlite://"),
    ],
)
def test_a_wrong_value_ends_the_start_with_a_line_that_names_the_variable(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as stop:
        load(Settings)
    assert stop.value.code == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert name in lines[0]


async def test_the_program_without_its_settings_exits_with_2() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "inventory",
        env={name: value for name, value in os.environ.items() if not name.startswith("INVENTORY_")},
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await process.communicate()
    assert process.returncode == 2
    assert set(said.decode().split(":")[0:1]) <= set(REQUIRED)
    assert all(name in said.decode() for name in REQUIRED)
    assert len(said.splitlines()) == len(REQUIRED)


def test_every_setting_of_our_own_is_explained() -> None:
    for name in Settings.__annotations__:
        if name != "model_config":
            assert Settings.model_fields[name].description, name
