import itertools
import json
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from io import StringIO
from pathlib import Path

import psutil
import pytest
from rich.console import Console
from temporalio.client import WorkflowFailureError
from temporalio.exceptions import ApplicationError

from waybill.bench.fanout_contests import GROUP as FANOUT
from waybill.bench.files import PairsFile, ReportFile, read_pairs
from waybill.bench.harness import BenchError, Contest, Figure, Group, Result, Shared, compete, table
from waybill.bench.run import GROUPS, bench, chosen
from waybill.demo.screen import Screen


def figures(name: str, order: list[str], *values: float) -> Figure:
    """A figure that is these values one after the other, and notes that it was asked."""
    coming: Iterator[float] = itertools.cycle(values)

    async def measure() -> float:
        order.append(name)
        return next(coming)

    return measure


async def test_sides_take_turns_and_the_ratio_is_the_median_of_the_pairs() -> None:
    order: list[str] = []
    contest = Contest("c", "s", figures("ours", order, 2, 30, 4), figures("baseline", order, 1, 10, 1), "what")
    assert await compete(contest, 3) == Result("c", "s", 4, 1, 3, 2, 4, 3, note="what")
    assert order == ["ours", "baseline", "baseline", "ours", "ours", "baseline"]


@pytest.mark.parametrize("figure", [0, -1, float("nan")])
async def test_a_figure_that_is_none_is_an_error_and_no_ratio(figure: float) -> None:
    order: list[str] = []
    with pytest.raises(BenchError, match="is none"):
        await compete(Contest("c", "s", figures("ours", order, figure), figures("baseline", order, 1)), 1)


async def test_contests_that_share_measurements_look_at_the_same_ones() -> None:
    runs: list[int] = []

    async def measure() -> int:
        runs.append(len(runs) + 1)
        return runs[-1]

    shared = Shared(measure)
    once, tenfold = shared.figure(float), shared.figure(lambda run: 10.0 * run)
    assert [await once(), await once()] == [1, 2]
    assert [await tenfold(), await tenfold(), await tenfold()] == [10, 20, 30]
    assert runs == [1, 2, 3]
    assert shared.middle(float) == 2


async def test_what_is_behind_a_figure_is_asked_for_when_all_is_measured(tmp_path: Path) -> None:
    order: list[str] = []

    def behind() -> dict[str, float | str]:
        return {"measured": float(len(order)), "limited by": "slots"}

    contest = Contest("c", "s", figures("ours", order, 1), figures("baseline", order, 1), "what", behind)
    result = await compete(contest, 2)
    ReportFile(tmp_path / "bench.json").keep([result])
    [written] = json.loads((tmp_path / "bench.json").read_text())
    assert written["detail"] == {"measured": 4, "limited by": "slots"}
    screen = Console(width=200, record=True, file=StringIO())
    screen.print(table([result]))
    assert "limited by: slots" in screen.export_text()


def test_new_results_replace_old_ones_of_the_same_name_only(tmp_path: Path) -> None:
    path = tmp_path / "build" / "bench.json"
    ReportFile(path).keep([Result("a", "s", 1, 2, 0.5, 0.4, 0.6, 5), Result("b", "s", 1, 1, 1, 1, 1, 5)])
    ReportFile(path).keep([Result("b", "s", 3, 1, 3, 2, 4, 7)])
    written = json.loads(path.read_text())
    assert [(entry["name"], entry["ratio"], entry["pairs"]) for entry in written] == [("a", 0.5, 5), ("b", 3, 7)]
    assert {"name", "unit", "ours", "baseline", "ratio", "pairs"} <= written[0].keys()


def a_group(begun: list[str], *names: str) -> Group:
    @asynccontextmanager
    async def setting() -> AsyncIterator[Sequence[Contest]]:
        begun.append("+".join(names))
        yield [Contest(name, "s", figures(name, [], 1), figures(name, [], 1)) for name in names]

    return Group(names, setting)


async def test_only_what_is_asked_for_is_started_and_measured(tmp_path: Path) -> None:
    begun: list[str] = []
    groups = [a_group(begun, "a_one", "a_two"), a_group(begun, "b_one")]
    results = await bench(Screen(), ["a_t*"], 1, tmp_path / "bench.json", groups)
    assert [result.name for result in results] == ["a_two"]
    assert begun == ["a_one+a_two"]


@pytest.mark.parametrize("held", ["", '{"a": 1}', '[{"a": 1}]', "[1]", '[{"name": "a"', "\udcff"])
async def test_another_report_is_told_of_before_anything_is_measured(tmp_path: Path, held: str) -> None:
    begun: list[str] = []
    report = tmp_path / "bench.json"
    report.write_bytes(held.encode(errors="surrogateescape"))
    with pytest.raises(BenchError, match=r"^.*/bench\.json is there, and is no report of benchmarks: .+$"):
        await bench(Screen(), [], 1, report, [a_group(begun, "a")])
    assert (report.read_bytes(), begun) == (held.encode(errors="surrogateescape"), [])


def test_a_report_whose_write_is_cut_short_is_as_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "bench.json"
    report = ReportFile(path)
    report.keep([Result("a", "s", 1, 2, 0.5, 0.4, 0.6, 5)])
    before, write = path.read_text(), Path.write_text

    def cut_short(self: Path, text: str) -> int:
        write(self, text[: len(text) // 2])
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_text", cut_short)
        with pytest.raises(KeyboardInterrupt):
            report.keep([Result("b", "s", 1, 1, 1, 1, 1, 5)])
    assert path.read_text() == before
    ReportFile(path).keep([Result("b", "s", 1, 1, 1, 1, 1, 5)])
    assert [entry["name"] for entry in json.loads(path.read_text())] == ["a", "b"]


async def test_every_pair_is_a_row_with_both_figures(tmp_path: Path) -> None:
    contest = Contest("c", "CPU s/order", figures("ours", [], 0.25, 2), figures("baseline", [], 0.5, 1 / 3))

    @asynccontextmanager
    async def setting() -> AsyncIterator[Sequence[Contest]]:
        yield [contest]

    pairs = tmp_path / "pairs" / "figures.csv"
    await bench(Screen(), [], 2, tmp_path / "bench.json", [Group(("c",), setting)], csv=pairs)
    assert pairs.read_text().splitlines() == [
        "name,unit,pair,ours,baseline",
        "c,CPU s/order,1,0.25,0.5",
        "c,CPU s/order,2,2,0.333333",
    ]


async def test_a_run_that_is_cut_short_leaves_the_pairs_before(tmp_path: Path) -> None:
    contest = Contest("c", "s", figures("ours", [], 1, -1), figures("baseline", [], 1))
    pairs = tmp_path / "figures.csv"
    with pytest.raises(BenchError, match="is none"):
        await compete(contest, 2, note=PairsFile(pairs).note)
    assert pairs.read_text().splitlines() == ["name,unit,pair,ours,baseline", "c,s,1,1,1"]


async def test_what_is_measured_again_replaces_its_own_pairs_and_leaves_those_of_others(tmp_path: Path) -> None:
    pairs = tmp_path / "figures.csv"
    groups = [a_group([], "a_one", "a_two"), a_group([], "b_one")]
    for only in (["b_*"], ["a_*"]):
        await bench(Screen(), only, 2, tmp_path / "bench.json", groups, csv=pairs)
    pairs.write_text(pairs.read_text().replace("1,1\n", "5,5\n") + "of_before,s,1,3,4\n")
    await bench(Screen(), ["a_two"], 1, tmp_path / "bench.json", groups, csv=pairs)
    assert pairs.read_text().splitlines() == [
        "name,unit,pair,ours,baseline",
        "a_one,s,1,5,5",
        "a_one,s,2,5,5",
        "a_two,s,1,1,1",
        "b_one,s,1,5,5",
        "b_one,s,2,5,5",
        "of_before,s,1,3,4",
    ]
    assert {path.name for path in pairs.parent.iterdir()} == {"bench.json", "figures.csv"}


async def test_what_could_not_be_measured_again_keeps_its_pairs(tmp_path: Path) -> None:
    pairs = tmp_path / "figures.csv"
    before = "name,unit,pair,ours,baseline\nc,s,1,2,1\n"
    pairs.write_text(before)
    contest = Contest("c", "s", figures("ours", [], -1), figures("baseline", [], 1))
    with pytest.raises(BenchError, match="is none"):
        await compete(contest, 1, note=PairsFile(pairs).note)
    assert pairs.read_text() == before


async def test_another_file_is_not_written_over(tmp_path: Path) -> None:
    begun: list[str] = []
    other = tmp_path / "step.csv"
    other.write_text("what,value\nbacklog,37\n")
    with pytest.raises(BenchError, match="is no file of pairs: it begins with 'what,value'"):
        await bench(Screen(), [], 1, tmp_path / "bench.json", [a_group(begun, "a")], csv=other)
    assert (other.read_text(), begun) == ("what,value\nbacklog,37\n", [])


@pytest.mark.parametrize(
    ("held", "said"),
    [
        (b"name,unit,pair,ours,baseline\nc,s,1,2\n", r"it has a row 'c,s,1,2'"),
        (b"name,unit,pair,ours,baseline\n\xff,s,1,2,1\n", r"'utf-8' codec can't decode .*"),
    ],
)
def test_a_file_of_pairs_that_is_spoilt_is_not_written_over(tmp_path: Path, held: bytes, said: str) -> None:
    pairs = tmp_path / "figures.csv"
    pairs.write_bytes(held)
    with pytest.raises(BenchError, match=rf"^.*/figures\.csv is there, and is no file of pairs: {said}$"):
        PairsFile(pairs)
    assert pairs.read_bytes() == held


async def test_blank_lines_in_a_file_of_pairs_are_no_pairs(tmp_path: Path) -> None:
    pairs = tmp_path / "figures.csv"
    pairs.write_text("name,unit,pair,ours,baseline\n\nother,s,1,2,1\n\n")
    contest = Contest("c", "s", figures("ours", [], 3), figures("baseline", [], 1))
    await compete(contest, 1, note=PairsFile(pairs).note)
    assert pairs.read_text().splitlines() == ["name,unit,pair,ours,baseline", "other,s,1,2,1", "c,s,1,3,1"]


def test_what_a_file_of_pairs_says_is_what_its_run_said(tmp_path: Path) -> None:
    pairs = tmp_path / "figures.csv"
    pairs.write_text("name,unit,pair,ours,baseline\nb,s,1,2,1\nb,s,2,30,10\na,MiB,1,1,2\nb,s,3,4,1\n")
    assert read_pairs(pairs) == [Result("b", "s", 4, 1, 3, 2, 4, 3), Result("a", "MiB", 1, 2, 0.5, 0.5, 0.5, 1)]


def test_a_name_that_is_none_is_told_with_those_there_are() -> None:
    with pytest.raises(BenchError, match="there is no benchmark 'speed'; there are import_linear"):
        chosen(["speed"])


def test_names_are_unique() -> None:
    names = chosen([])
    assert len(names) == len(set(names)) == sum(len(group.names) for group in GROUPS)


async def test_the_ways_of_fanning_out_do_every_item(tmp_path: Path) -> None:
    results = await bench(Screen(), ["fanout_*_100"], 1, tmp_path / "bench.json", [FANOUT])
    assert [result.name for result in results] == ["fanout_gathered_100", "fanout_windowed_100", "fanout_chunked_100"]
    assert all(result.ours > 0 for result in results)


FAILED = WorkflowFailureError(cause=ApplicationError("no such table"))
GONE = psutil.NoSuchProcess(7)


@pytest.mark.parametrize(
    ("error", "said"),
    [(FAILED, "^a workflow failed: no such table$"), (GONE, "^a process to measure is none: .*pid=7")],
)
@pytest.mark.parametrize("early", [True, False])
async def test_what_ends_a_measurement_is_told_in_one_line(
    tmp_path: Path, error: Exception, said: str, *, early: bool
) -> None:
    async def fail() -> float:
        raise error

    @asynccontextmanager
    async def setting() -> AsyncIterator[Sequence[Contest]]:
        if early:
            await fail()
        yield [Contest("c", "s", fail, fail)]

    with pytest.raises(BenchError, match=said):
        await bench(Screen(), [], 1, tmp_path / "bench.json", [Group(("c",), setting)])
