import json
import logging
import subprocess
import sys
import uuid
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from chassis import logs

OURS = ("demo", "a.logger", "alembic.runtime", "py.warnings")
Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str]) -> Iterator[Lines]:
    """What was logged since it was last called; leaves logging as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level

    def logged() -> list[dict[str, Any]]:
        found = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
        # What other tests left behind may speak at any time, through the root logger as we do.
        return [line for line in found if line["logger"] in OURS]

    yield logged
    root.handlers = handlers
    root.setLevel(level)
    logging.captureWarnings(capture=False)
    for name in ("alembic", "aiohttp.access"):
        logging.getLogger(name).setLevel(logging.NOTSET)


def test_a_line_is_a_json_object_with_time_level_logger_and_service(lines: Lines) -> None:
    logs.configure("demo", logging.INFO)
    logging.getLogger("a.logger").warning("hello, %s", "wörld", extra={"count": 3, "odd": object})
    [line] = lines()
    assert line["event"] == "hello, wörld"
    assert (line["service"], line["level"], line["logger"], line["count"]) == ("demo", "warning", "a.logger", 3)
    assert line["time"].endswith("Z")
    assert line["odd"] == "<class 'object'>"


def test_exceptions_and_line_breaks_stay_on_one_line(lines: Lines) -> None:
    logs.configure("demo", logging.INFO)
    try:
        int("one\ntwo")
    except ValueError:
        logging.getLogger("demo").exception("three\nfour")
    [line] = lines()
    assert line["event"] == "three\nfour"
    assert line["exception"].startswith("Traceback")
    assert "ValueError: invalid literal" in line["exception"]


def test_what_is_below_the_level_is_not_logged(lines: Lines) -> None:
    logs.configure("demo", logging.WARNING)
    logging.getLogger("demo").info("quiet")
    logging.getLogger("alembic.runtime").info("chatty")
    assert lines() == []
    logs.configure("demo", logging.DEBUG)
    logging.getLogger("demo").debug("loud")
    logging.getLogger("alembic.runtime").info("chatty")
    assert [line["event"] for line in lines()] == ["loud"]


def test_warnings_are_lines_too(lines: Lines) -> None:
    logs.configure("demo", logging.INFO)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(capture=True)
        warnings.warn("this will go away", stacklevel=1)
    [line] = lines()
    assert "this will go away" in line["event"]


@pytest.mark.parametrize("key", ["temporal_workflow", "temporal_activity"])
def test_what_temporal_tells_goes_into_fields(lines: Lines, key: str) -> None:
    logs.configure("demo", logging.INFO, subject="thing")
    run = {"run_id" if key == "temporal_workflow" else "workflow_run_id": "r"}
    told = {"workflow_id": "make-it:t-1:2", "workflow_type": "W", "attempt": 3, "task_queue": "q", "namespace": "n"}
    logging.getLogger("demo").info("x", extra={key: {**told, **run}})
    [line] = lines()
    assert key not in line
    assert {name: line[name] for name in ("workflow_id", "run_id", "workflow", "attempt", "task_queue", "thing")} == {
        "workflow_id": "make-it:t-1:2",
        "run_id": "r",
        "workflow": "W",
        "attempt": 3,
        "task_queue": "q",
        "thing": "t-1",
    }


@pytest.mark.parametrize(
    ("workflow_id", "thing"),
    [
        ("make:t-1", "t-1"),
        ("make:t-1:2", "t-1"),
        ("without", None),
        ("make:", None),
        ("release-expired-2026-11-24T14:38:49Z", None),
        (str(uuid.UUID(int=1)), None),
    ],
)
def test_a_workflow_id_names_its_subject(lines: Lines, workflow_id: str, thing: str | None) -> None:
    logs.configure("demo", logging.INFO, subject="thing")
    logging.getLogger("demo").info("x", extra={"temporal_workflow": {"workflow_id": workflow_id}})
    [line] = lines()
    assert line.get("thing") == thing


def test_a_subject_that_is_told_is_not_replaced_and_none_is_made_up(lines: Lines) -> None:
    details = {"temporal_workflow": {"workflow_id": "make:t-1"}}
    logs.configure("demo", logging.INFO, subject="thing")
    logging.getLogger("demo").info("x", extra={**details, "thing": "t-2"})
    logs.configure("demo", logging.INFO)
    logging.getLogger("demo").info("x", extra=details)
    [told, plain] = lines()
    assert told["thing"] == "t-2"
    assert "thing" not in plain


@pytest.mark.parametrize(
    "module", ["chassis.logs", "chassis.problems", "chassis.settings", "chassis.entry", "chassis.paging"]
)
def test_a_program_without_database_and_temporal_does_not_pay_for_them(module: str) -> None:
    code = f"import sys, {module}; print([m for m in ('sqlalchemy', 'temporalio', 'alembic') if m in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"
