import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from waybill.cli import app
from waybill.stack.plan import base_environment

COMMANDS = (
    "demo",
    "audit",
    "story",
    "trace",
    "status",
    "kill",
    "pause",
    "resume",
    "restart",
    "scale",
    "down",
    "watch",
    "plan",
)
LOADS = tuple(f"load {name}" for name in ("scale", "step", "isolate", "short"))
GROUPS = ("import", "load", "schedules")


def waybill(*arguments: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "waybill", *arguments],
        check=False,
        cwd=folder,
        env=base_environment() | {"COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_help_names_every_command(tmp_path: Path) -> None:
    result = waybill("--help", folder=tmp_path)
    assert result.returncode == 0
    assert all(command in result.stdout for command in (*COMMANDS, *GROUPS))


@pytest.mark.parametrize("command", [*COMMANDS, *GROUPS, "import orders", "schedules backfill", *LOADS])
def test_every_command_explains_itself(command: str) -> None:
    result = CliRunner().invoke(app, [*command.split(), "--help"])
    assert result.exit_code == 0
    assert "Usage" in result.output


@pytest.mark.parametrize(
    "arguments",
    [
        ["status"],
        ["kill", "payments", "--for", "20"],
        ["pause", "payments"],
        ["resume", "payments"],
        ["restart", "payments"],
        ["scale", "payments", "2"],
        ["down"],
        ["audit"],
        ["story", "A-1"],
        ["watch", "I-1"],
        ["import", "pause", "I-1"],
        ["schedules", "apply"],
        ["schedules", "list"],
    ],
    ids=" ".join,
)
def test_without_a_running_stack_a_command_says_so_in_one_line(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TEMPORAL_ADDRESS", raising=False)
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert result.stderr == "waybill: no stack is running in build/stack (start one with: waybill demo)\n"


def test_the_exit_code_reaches_the_shell(tmp_path: Path) -> None:
    result = waybill("status", folder=tmp_path)
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["demo", "--ports", "temporal"], "'temporal' is not NAME=VALUE with a name of temporal"),
        (["demo", "--ports", "mars=1"], "'mars=1' is not NAME=VALUE"),
        (["demo", "--ports", "temporal=0"], "--ports: '0', for temporal, is not a port from 1 to 65535"),
        (["demo", "--ports", "temporal=70000"], "is not a port"),
        (["demo", "--ports", "temporal=x"], "is not a port"),
        (["audit", "--url", "orchestrator", "--token", "t"], "'orchestrator' is not NAME=VALUE"),
        (["audit", "--url", "orchestrator=http://127.0.0.1:9", "--token", "t"], "no URL for inventory"),
        (["audit", "--every", "1", "--url", "orchestrator=http://127.0.0.1:9", "--token", "t"], "no URL for inventory"),
        (["audit", "--metrics-port", "9100"], "--metrics-port is of use with --every only"),
        (["story", "A-1", "--address", "127.0.0.1:9"], "Temporal does not answer at 127.0.0.1:9"),
        (["schedules", "list", "--address", "127.0.0.1:9"], "Temporal does not answer at 127.0.0.1:9"),
        (["bench", "--list", "--only", "nope"], "there is no benchmark 'nope'; there are import_linear"),
        (["bench", "--only", "nope"], "there is no benchmark 'nope'; there are import_linear"),
        (["samples", "--run", "two-words"], "'two-words' is not of letters and digits only"),
        (["samples", "--health-port", "8080"], "--health-port is of use with --every only"),
        (["samples", "--every", "1", "--stock"], "--every names its runs itself"),
        (["watch", "I-1", "--url", "carriers=http://127.0.0.1:9", "--token", "t"], "is not NAME=VALUE with a name of"),
    ],
)
def test_what_makes_no_sense_is_said_in_one_line(
    arguments: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert said in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
@pytest.mark.parametrize(
    "option",
    [
        *("load --rate", "load --seconds", "load --ramp-to", "load --burst-every", "load --failures"),
        *("load --delivery-seconds", "load scale --provider-seconds", "load scale --pool-seconds"),
        *("load scale --settle-seconds", "load step --react-seconds", "load step --before-seconds"),
        *("load isolate --needless", "load isolate --provider-seconds"),
    ],
)
def test_what_is_no_finite_number_is_wrong_usage(option: str, value: str) -> None:
    result = CliRunner().invoke(app, [*option.split(), value])
    assert result.exit_code == 2
    assert f"Invalid value for '{option.rsplit(maxsplit=1)[-1]}'" in result.stderr


@pytest.mark.parametrize("arguments", [["kill", "payments", "--for", "-1"], ["scale", "payments", "many"], ["fly"]])
def test_wrong_usage_exits_with_2(arguments: list[str]) -> None:
    assert CliRunner().invoke(app, arguments).exit_code == 2


def test_a_stack_does_not_start_in_a_folder_that_is_not_its_own(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    result = waybill("demo", "--once", "--directory", ".", folder=tmp_path)
    assert result.returncode == 2
    assert "neither empty nor a stack's" in result.stderr
    assert (tmp_path / "thesis.tex").exists()


async def test_a_screen_whose_reader_is_gone_falls_silent(tmp_path: Path) -> None:
    program = """
from waybill.demo.screen import Screen
screen = Screen()
for number in range(10_000):
    screen.say(f"line {number}")
(__import__("pathlib").Path("done")).touch()
"""
    read, write = os.pipe()
    os.close(read)
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", program, stdout=write, cwd=tmp_path)
    os.close(write)
    assert await process.wait() == 0
    assert (tmp_path / "done").exists()


async def test_a_screen_that_was_closed_before_we_came_is_silent(tmp_path: Path) -> None:
    program = "from waybill.demo.screen import Screen; Screen().say('hello'); open('done', 'w').close()"
    process = await asyncio.create_subprocess_exec(
        "sh", "-c", f'exec "{sys.executable}" -c "$0" >&-', program, cwd=tmp_path
    )
    assert await process.wait() == 0
    assert (tmp_path / "done").exists()
