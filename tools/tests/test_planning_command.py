"""``waybill plan``: which report it takes, what it refuses, and that all its forms say the same."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from waybill.cli import app
from waybill.load.report.axes import number
from waybill.planning import reports, tables
from waybill.planning.forecast import Options
from waybill.planning.measured import PlanError
from waybill.planning.plan import make
from waybill.stack import SERVICES

from . import planning_recorded as recorded

LOADS = Path("build/load")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory in which nobody has measured anything."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "250")
    return tmp_path


def plan(*arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, ["plan", *arguments])
    assert result.exit_code == code, result.output
    return result.stdout if code == 0 else result.stderr


def as_json(*arguments: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(plan("--json", *arguments))
    return document


def refused(*arguments: str) -> str:
    said = plan(*arguments, code=2)
    assert said.count("\n") == 1
    return said


def other_rate(orders: int = 2 * recorded.ORDERS) -> dict[str, Any]:
    """Figures of a run with as many orders in the same time."""
    figures: dict[str, Any] = recorded.results()
    figures |= {"orders_sent": orders, "orders_ended": orders, "seconds": recorded.SECONDS}
    return figures


def test_without_any_report_it_is_said_how_to_make_one() -> None:
    said = refused()
    assert "there is no report in build/load: make one with: waybill load --rate" in said


def test_the_newest_report_is_taken() -> None:
    recorded.write(LOADS / "a", began="2027-01-15T08:00:00+00:00")
    recorded.write(LOADS / "b", began="2027-01-16T08:00:00+00:00", name="newest")
    recorded.write(LOADS / "c", began="2027-01-14T08:00:00+00:00")
    assert as_json()["run"]["name"] == "newest"


def test_newer_reports_that_no_plan_can_be_made_from_are_passed_over() -> None:
    recorded.write(LOADS / "a")
    recorded.write(LOADS / "b", began="2028-01-01T00:00:00+00:00", sections=[{"title": "A step", "results": {}}])
    recorded.write(LOADS / "c", began="2028-01-01T00:00:00+00:00", interrupted=True)
    assert as_json()["run"]["path"] == "build/load/a/report.json"


def test_where_no_report_will_do_it_is_said_why_of_each() -> None:
    recorded.write(LOADS / "b", sections=[{"title": "A step", "results": {}}])
    recorded.write(LOADS / "c", interrupted=True)
    said = refused()
    assert "'A step'" in said
    assert "stopped by hand" in said
    assert "make one with: waybill load" in said


@pytest.mark.parametrize("name", ["", "report.json", "report.html"])
def test_a_report_is_named_by_its_folder_or_a_file_in_it(folder: Path, name: str) -> None:
    recorded.write(folder / "mine")
    (folder / "mine" / "report.html").touch()
    assert as_json("--report", str(folder / "mine" / name))["run"]["path"].endswith("mine/report.json")


def test_a_first_look_holds_orders_at_a_rate_too() -> None:
    orders = {"title": "Orders at a rate", "results": recorded.results()}
    recorded.write(LOADS / "short", sections=[{"title": "The pool alone", "results": {}}, orders])
    assert as_json()["run"]["costs"]["orders"] == recorded.ORDERS


def lacking(*names: str) -> dict[str, Any]:
    figures: dict[str, Any] = recorded.results()
    for name in names:
        del figures["cpu_seconds_per_order"][name]
    return figures


def incomplete() -> dict[str, Any]:
    """Without one of the queues."""
    figures = recorded.results()
    del figures["while_orders_came"]["queues"]["payments/workflow"]
    return figures


@pytest.mark.parametrize(
    ("figures", "changes", "said"),
    [
        (None, {"sections": [{"title": "A step up, and down", "results": {}}]}, "it tells of 'A step up, and down'"),
        (None, {"sections": []}, "it tells of nothing"),
        (None, {"interrupted": True}, "its run was stopped by hand"),
        (None, {"good": False, "verdict": "3 accepted and not ended."}, "did not end well: 3 accepted and not ended."),
        (lacking("shipping", "payments"), {}, "it does not tell the CPU and memory of payments, shipping"),
        (recorded.results() | {"orders_ended": 0}, {}, "no order ended in it"),
        ({"seconds": 1.0}, {}, "is no report of waybill load (KeyError"),
        (recorded.results() | {"queues": None}, {}, "is no report of waybill load (TypeError"),
        (None, {"sections": None}, "is no report of waybill load (TypeError"),
        (None, {"machine": {"cores": 2}}, "it does not tell the processor of its machine"),
        (incomplete(), {}, "is no report of waybill load (KeyError: 'payments/workflow')"),
    ],
)
def test_a_report_that_will_not_do_is_refused_in_one_line(
    folder: Path, figures: dict[str, Any] | None, changes: dict[str, Any], said: str
) -> None:
    path = recorded.write(folder / "mine", figures, **changes)
    assert said in refused("--report", str(path))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "is not JSON"),
        ("[]", "is no report"),
        ('"text"', "is no report"),
        ("\xff", "is not JSON"),
        ('{"sections": NaN}', "is not JSON"),
        ("[" * 100_000, "is not JSON"),
    ],
)
def test_a_file_that_is_no_report_is_refused_in_one_line(folder: Path, text: str, said: str) -> None:
    (folder / "report.json").write_bytes(text.encode("latin-1"))
    assert said in refused("--report", str(folder))


@pytest.mark.parametrize("rate", ["0", "-1", "nan", "inf", "1e9"])
def test_a_rate_that_is_none_is_refused(rate: str) -> None:
    recorded.write(LOADS / "a")
    assert "orders a second are none that can be planned" in refused("--orders-per-second", rate)


@pytest.mark.parametrize(
    "arguments",
    [
        "--utilisation 0",
        "--utilisation 1.1",
        "--utilisation nan",
        "--at-least 0",
        "--retention-days 0",
        "--report here",
    ],
)
def test_options_out_of_their_range_are_refused(arguments: str) -> None:
    recorded.write(LOADS / "a")
    plan(*arguments.split(), code=2)


def test_a_plan_is_not_checked_by_its_own_report() -> None:
    recorded.write(LOADS / "a")
    assert "cannot show how near it comes" in refused("--check", "build/load/a")


def test_a_check_that_will_not_do_is_refused() -> None:
    recorded.write(LOADS / "a")
    assert "cannot be read" in refused("--check", "nowhere")


def test_by_default_there_is_a_row_for_each_usual_rate_and_a_mark_where_it_was_not_measured() -> None:
    recorded.write(LOADS / "a")
    document, text = as_json(), plan()
    assert [each["orders_per_second"] for each in document["plans"]] == [1, 3, 10, 30, 100, 300, 1000]
    assert [each["extrapolated"] for each in document["plans"]] == [False, *[True] * 6]
    assert re.search(r"^1 +2 \(least\)", text, re.MULTILINE)
    assert re.search(r"^3 \* +2 \(least\)", text, re.MULTILINE)
    assert "* extrapolation: the run had 2 orders a second." in text
    assert "**" not in text


def test_beyond_a_thousand_the_mark_is_another() -> None:
    recorded.write(LOADS / "a")
    arguments = ("--orders-per-second", "2000", "--orders-per-second", "1")
    [near, far] = as_json(*arguments)["plans"]  # lowest first
    assert (near["far"], far["far"], far["extrapolated"]) == (False, True, True)
    text = plan(*arguments)
    assert re.search(r"^2000 \*\* ", text, re.MULTILINE)
    assert "** extrapolation beyond 1000 orders a second" in text
    assert "on a stack of its own, 2 cores (a processor), 2027-01-15T08:00:00+00:00." in text


def test_the_same_rate_twice_is_one_row() -> None:
    recorded.write(LOADS / "a")
    assert len(as_json("--orders-per-second", "5", "--orders-per-second", "5.0")["plans"]) == 1


def test_the_tables_have_the_figures_of_the_document() -> None:
    recorded.write(LOADS / "a")
    rates = [1.0, 70.0, 3000.0]
    document = as_json(*(word for rate in rates for word in ("--orders-per-second", str(rate))))
    made = make(reports.read(LOADS / "a"), rates, Options())
    shown = {table.title: table for table in tables.tables(made.forecasts, made.options)}
    for place, told in enumerate(document["plans"]):
        pools = [told["pools"][name] for name in SERVICES]
        rows = {title: table.rows[place][1:] for title, table in shown.items()}
        assert rows["Replicas"][:5] == (
            *(f"{each['replicas']} ({each['decided_by']})" for each in pools),
            str(sum(each["replicas"] for each in pools)),
        )
        assert rows["Cores in use, and to provide"] == tuple(
            number(each)
            for each in (
                *(pool["cores"] for pool in pools),
                *told["servers_cores"].values(),
                told["cores_in_use"],
                told["cores_to_provide"],
            )
        )
        memory = [*(each["memory_bytes"] for each in pools), told["pools_memory_bytes"]]
        assert rows["Memory of the pools, GiB"] == tuple(number(each / 2**30) for each in memory)
        writes = [*(each["db_writes_per_second"] for each in pools), told["db_writes_per_second"]]
        assert rows["Database writes a second"] == tuple(number(each) for each in writes)
        grown = [*(each["db_bytes_per_day"] for each in pools), told["db_bytes_per_day"]]
        assert rows["Databases grow by, GiB a day"] == tuple(number(each / 2**30) for each in grown)
        temporal = dict(told["temporal"])
        kept, per_day = temporal.pop("history_bytes_kept"), temporal.pop("history_bytes_per_day")
        assert rows["Temporal"] == tuple(number(each) for each in (*temporal.values(), per_day / 2**30, kept / 2**30))


def test_a_terminal_shows_every_cell_of_every_table() -> None:
    recorded.write(LOADS / "a")
    text = " ".join(plan().split())
    made = make(reports.read(LOADS / "a"), [1, 3, 10, 30, 100, 300, 1000], Options())
    for table in made.tables():
        assert table.title in text
        for row in table.rows:
            assert " ".join(cell for cell in row if cell) in text


def test_another_run_is_set_beside_what_was_predicted_for_it(folder: Path) -> None:
    recorded.write(LOADS / "a")
    recorded.write(folder / "b", other_rate())
    document = as_json("--check", str(folder / "b"))["check"]
    assert (document["from_orders_per_second"], document["at_orders_per_second"]) == (2.0, 4.0)
    assert document["cpu_seconds_per_order"]["all"] == {"predicted": 0.55, "measured": 0.55, "ratio": 1.0}
    assert document["slots_in_use"]["shipping/activity"] == {"predicted": 2.0, "measured": 1.0, "ratio": 0.5}
    assert document["warnings"] == []
    text = plan("--check", str(folder / "b"))
    assert "Predicted against measured" in text
    assert re.search(r"^all +550 +550 +1$", text, re.MULTILINE)


def test_runs_that_differ_in_more_than_their_rate_are_said_to(folder: Path) -> None:
    recorded.write(LOADS / "a")
    figures = other_rate()
    figures["shares"] = {"fulfilled": 1.0}
    figures["anatomy"]["fulfilled"]["open_by_type"] = {"shipping.TrackShipment": 1.0}
    machine = {"cores": 64, "processor": "a processor", "load_average_before": [9.0, 9.0, 9.0]}
    recorded.write(folder / "b", figures, machine=machine)
    said = as_json("--check", str(folder / "b"))["check"]["warnings"]
    assert any(each.startswith("The runs differ in machine") for each in said)
    assert any(each.startswith("The runs differ in shares") for each in said)
    assert any("one of the runs only" in each for each in said)
    assert not any("versions" in each for each in said)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"limited_by": "machine"}, "The run filled its machine"),
        ({"strangers_cores": 0.7}, "Something else used 0.7 cores"),
        ({"open_loop": False}, "The loop was not open"),
        ({"orders_with_errors": 3}, "3 of its orders got no answer"),
        ({"orders_ended": 12}, "12 orders are few"),
        ({"anatomy": {}}, "No histories were read"),
        ({"anatomy": {}}, "what following a delivery costs is not in it"),
    ],
)
def test_what_one_must_know_of_a_run_is_said(change: dict[str, Any], said: str) -> None:
    recorded.write(LOADS / "a", recorded.results() | change)
    assert any(said in warning for warning in as_json()["warnings"])
    assert f"! {said}" in plan() or said in plan()


def test_of_a_run_of_which_all_is_known_nothing_need_be_said() -> None:
    recorded.write(LOADS / "a")
    assert as_json("--orders-per-second", "10")["warnings"] == []


def test_a_deployment_by_its_urls_has_gaps_that_are_told() -> None:
    figures = lacking("postgres", "temporal")
    figures |= {"anatomy": {}, "strangers_cores": None}
    recorded.write(LOADS / "a", figures, settings={"target": "a deployment by its URLs"})
    said = " ".join(as_json()["warnings"])
    assert "CPU of PostgreSQL is not known" in said
    assert "CPU of Temporal is not known" in said
    assert "Replicas behind one address are one to us" in said
    text = plan()
    assert "on a deployment by its URLs, 2027-01-15T08:00:00+00:00." in text  # the generator's cores are not its own
    assert "state transitions" not in text
    assert "indication" not in text


def test_a_page_holds_plan_and_check(folder: Path) -> None:
    recorded.write(LOADS / "a")
    recorded.write(folder / "b", other_rate())
    plan("--check", str(folder / "b"), "--to", "mine")
    page = (folder / "mine" / "report.html").read_text()
    assert "Replicas against orders a second" in page
    assert "Predicted against measured" in page
    assert "* extrapolation: the run had 2 orders a second." in page
    document = json.loads((folder / "mine" / "report.json").read_text())
    assert document["sections"][0]["results"]["plan"]["options"]["utilisation"] == 0.6
    assert (folder / "mine" / "01-plan-replicas.csv").read_text().startswith("orders a second,orchestrator")


def test_a_plans_own_report_is_no_run_to_plan_from() -> None:
    recorded.write(LOADS / "a")
    plan("--to", str(LOADS / "plan"))
    assert as_json()["run"]["path"] == "build/load/a/report.json"
    assert "a plan needs orders at a rate" in refused("--report", str(LOADS / "plan"))


@pytest.mark.parametrize("report", ["a", "b"])
def test_a_plan_is_not_written_over_the_report_of_a_run(report: str) -> None:
    recorded.write(LOADS / "a")
    recorded.write(LOADS / "b")
    before = (LOADS / report / "report.json").read_bytes()
    said = refused("--report", str(LOADS / "a"), "--to", str(LOADS / report))
    assert "holds the report of a run, which would be lost (--to names another folder)" in said
    assert (LOADS / report / "report.json").read_bytes() == before


def test_a_plan_is_written_over_another_and_not_over_what_nobody_can_read(folder: Path) -> None:
    recorded.write(LOADS / "a")
    plan("--to", "mine")
    plan("--to", "mine", "--utilisation", "1")
    (folder / "mine" / "report.json").write_text("{")
    assert "holds the report of a run" in refused("--to", "mine")


def test_a_server_that_was_down_at_the_last_look_has_no_memory_that_is_known() -> None:
    figures = recorded.results()
    del figures["memory_bytes"]["temporal"]
    recorded.write(LOADS / "a", figures)
    assert "PostgreSQL 128 MiB and Temporal not known at the run's end" in plan()


def test_headroom_and_availability_are_the_askers(folder: Path) -> None:
    recorded.write(LOADS / "a")
    arguments = ("--orders-per-second", "30", "--utilisation", "1", "--at-least", "1", "--retention-days", "30")
    [told] = as_json(*arguments)["plans"]
    assert [each["replicas"] for each in told["pools"].values()] == [3, 2, 1, 2]  # 3, 1.2, 0.9 and 1.8 cores
    assert told["temporal"]["history_bytes_kept"] == 30 * told["temporal"]["history_bytes_per_day"]


def test_a_report_is_read_as_often_as_asked_and_never_changed(folder: Path) -> None:
    path = recorded.write(folder / "mine")
    before = path.read_bytes()
    assert reports.read(path) == reports.read(folder / "mine")
    assert path.read_bytes() == before
    with pytest.raises(PlanError, match="cannot be read"):
        reports.read(folder / "elsewhere")
