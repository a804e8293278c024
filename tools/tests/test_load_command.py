"""``waybill load``: what cannot be, or would do nothing, is refused before anything is started."""

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from waybill.cli import app
from waybill.stack import SERVICES
from waybill.stack.plan import base_environment

NOWHERE = "--token operators " + " ".join(f"--url {name}=http://127.0.0.1:9" for name in SERVICES)
"""A deployment without a sandbox, where nobody listens."""


def refused(arguments: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """What is said. Whoever starts a stack, or makes a folder for it, has not refused."""
    monkeypatch.chdir(folder)
    result = CliRunner().invoke(app, arguments.split())
    assert result.exit_code == 2, result.output
    assert result.stderr.count("\n") == 1
    assert list(folder.iterdir()) == []
    return result.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("load --mix no-such-order", "no-such-order"),
        ("load --mix fulfilled=much", "NAME=WEIGHT"),
        ("load --mix fulfilled=1e308,two-parcels=1e308", "weights from 0, and at least one above it"),
        ("load --url orchestrator=http://127.0.0.1:9", "no URL for inventory, payments, shipping (--url NAME=URL)"),
        (f"load {NOWHERE.removeprefix('--token operators ')}", "the operators' token is missing (--token"),
        ("load --url orchestrator=http://127.0.0.1:9 --directory here", "another"),
        ("load --directory nowhere", "no stack is running"),
        ("load --directory nowhere --delivery-seconds 5", "--delivery-seconds is of a stack of its own"),
        ("load --rate 5 scale", "--rate"),
        ("load --json scale", "options of scale stand behind it: --json"),
        ("load --to elsewhere short", "options of short stand behind it: --to"),
        ("load scale --replicas 1,many", "--replicas"),
        ("load scale --replicas 1,99", "--replicas"),
        ("load step --replicas 1,2,3", "--replicas"),
        ("load scale --directory nowhere", "no stack is running"),
    ],
)
def test_a_load_that_cannot_be_is_told_in_one_line(
    arguments: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert said in refused(arguments, tmp_path, monkeypatch)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        *(
            (f"{each} --json --csv", "--json prints a document and nothing else")
            for each in ("load", "load scale", "load step", "load isolate")
        ),
        ("load --burst-every 5", "--burst-every is of use with --burst only"),
        ("load --burst 30 --seconds 10", "--burst: the first would come after 10 s"),
        ("load --burst 30 --burst-every 60 --seconds 59", "--burst: the first would come after 60 s"),
        ("load --address 127.0.0.1:9", "--address is of use with --url only"),
        ("load step --namespace other", "--namespace is of use with --url only"),
        ("load isolate --directory here --token t", "--token is of use with --url only"),
        ("load scale --only pool --service payments", "--service is of whole orders"),
        ("load scale --only pool --order-slots 3", "--order-slots is of whole orders"),
        ("load scale --only pool --mix fulfilled", "--mix is of whole orders"),
        ("load scale --only orders --slots 3", "--slots is of the pool alone"),
        ("load scale --only orders --pool-seconds 9", "--pool-seconds is of the pool alone"),
        ("load scale --directory here --slots 3", "--slots can be set on a stack of its own only"),
        ("load scale --directory here --order-slots 3", "--order-slots can be set on a stack of its own only"),
        ("load step --directory here --slots 3", "--slots can be set on a stack of its own only"),
        ("load scale --only orders --service inventory --provider-seconds 2", "inventory asks no provider"),
        ("load step --service inventory --provider-seconds 2", "inventory asks no provider"),
        ("load step --replicas 3,1", "--replicas is N,N: before the step, and more after it"),
        ("load step --replicas 2,2", "'2,2' has a number twice"),
        ("load scale --replicas 1,2,01", "'1,2,01' has a number twice"),
        (f"load {NOWHERE} --namespace other", "--namespace is of use with Temporal's address only (--address)"),
        (f"load {NOWHERE} --histories 3", "--histories is of use with Temporal's address only (--address)"),
        ("load step --outside --replicas 1,2", "--replicas says how many, and --outside leaves that"),
        ("load isolate --provider-seconds 2", "--provider-seconds is of --how slow"),
    ],
)
def test_what_would_do_nothing_is_refused_before_anything_is_started(
    arguments: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert said in refused(arguments, tmp_path, monkeypatch)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (f"load isolate {NOWHERE}", "cannot be starved from here, but its provider be slow: --how slow"),
        (f"load isolate --how slow {NOWHERE}", "no URL of one is given (--url sandbox=URL)"),
        (f"load step {NOWHERE}", "cannot be scaled from here: --outside leaves it to you"),
        (f"load step --outside {NOWHERE}", "no URL of one is given (--url sandbox=URL; or --provider-seconds 0)"),
        ("load isolate --service inventory", "every order needs inventory"),
        ("load isolate --service orchestrator", "every order needs orchestrator"),
    ],
)
def test_what_cannot_be_done_to_a_deployment_is_refused_before_it_is_loaded(
    arguments: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert said in refused(arguments, tmp_path, monkeypatch)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("load --burst 30 --burst-every 9.9 --seconds 10", "no stack is running"),
        ("load scale --only orders --service payments --provider-seconds 2", "no stack is running"),
        ("load scale --service inventory --provider-seconds 2", "no stack is running"),
        ("load scale --only pool --provider-seconds 2 --pool-seconds 5", "no stack is running"),
        ("load scale --only pool --service shipping", "no stack is running"),
        ("load step --outside --react-seconds 3", "no stack is running"),
        ("load step --service inventory", "no stack is running"),
        ("load isolate --how slow --provider-seconds 2 --service payments", "no stack is running"),
    ],
)
def test_what_makes_sense_goes_on_to_its_stack(
    arguments: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert said in refused(f"{arguments} --directory nowhere", tmp_path, monkeypatch)


@pytest.mark.parametrize("command", ["load", "load scale", "load step", "load isolate", "load short"])
def test_where_no_report_can_be_written_nothing_is_started(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "thesis.tex").touch()
    result = CliRunner().invoke(app, [*command.split(), "--to", "thesis.tex", "--name", "mine"])
    assert result.exit_code == 2
    said = "the report cannot be written into thesis.tex/mine: Not a directory (--to names another folder)"
    assert result.stderr == f"waybill: {said}\n"
    assert result.stdout == ""
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_environments_that_name_a_deployment_do_not_contradict_options(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("TEMPORAL_ADDRESS", "TEMPORAL_NAMESPACE", "WAYBILL_OPERATOR_TOKEN"):
        monkeypatch.setenv(name, "of-another")
    assert "no stack is running" in refused("load step --directory nowhere", tmp_path, monkeypatch)


def test_a_deployment_without_all_urls_is_refused_without_a_traceback(tmp_path: Path) -> None:
    arguments = "load --url orchestrator=http://127.0.0.1:9 --token operators"
    result = subprocess.run(
        [sys.executable, "-m", "waybill", *arguments.split()],
        check=False,
        cwd=tmp_path,
        env=base_environment(),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.returncode == 2, result.stderr
    assert "no URL for inventory, payments, shipping" in result.stderr
    assert "Traceback" not in result.stderr
    assert list(tmp_path.iterdir()) == []
