"""Spans out of files, put together: trees, an order's traces, and where the time went."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from waybill.cli import app
from waybill.tracing.drawing import COLOURS, colour, draw, legible
from waybill.tracing.spans import Span, read
from waybill.tracing.steps import Step, fold
from waybill.tracing.summary import finish, path, shares
from waybill.tracing.tree import NoTrace, Part, Trace, build, of_order, of_trace
from waybill.tracing.words import duration, reason

from .span_files import BEGIN, CLIENT, INTERNAL, MILLISECOND, ORDER, TRACE, Shop, line, long, order, span


@pytest.fixture
def spans(tmp_path: Path) -> list[Span]:
    return read([order().write(tmp_path / "spans")]).spans


def built(tmp_path: Path, shop: Shop) -> Trace:
    return build(read([shop.write(tmp_path / "spans")]).spans)


def tree(steps: list[Step], depth: int = 0) -> list[str]:
    return [line for step in steps for line in ("  " * depth + step.span.name, *tree(step.steps, depth + 1))]


# Reading


def test_what_a_process_wrote_is_read_as_it_was(tmp_path: Path) -> None:
    folder = order().write(tmp_path / "spans")
    reading = read([folder])
    assert (reading.files, reading.broken, len(reading.spans)) == (5, 0, 24)
    [gate] = [each for each in reading.spans if each.service == "sandbox"]
    assert (gate.name, gate.parent_id, gate.trace_id) == ("POST /gateway/v1/authorisations", long("http"), TRACE)
    assert (gate.end - gate.begin) == 240 * MILLISECOND
    [http] = [each for each in reading.spans if each.name == "POST"]
    assert http.attributes["http.response.status_code"] == 201
    assert {each.is_sql for each in reading.spans if each.name in {"SELECT", "UPDATE", "INSERT"}} == {True}


def test_a_last_line_that_is_half_written_is_left_and_read_when_it_is_whole(tmp_path: Path) -> None:
    file = tmp_path / "inventory.jsonl"
    text = line("inventory", [span("GET /a", "a")]) + "\n" + line("inventory", [span("GET /b", "b")])
    file.write_text(text[:-9])
    reading = read([tmp_path])
    assert ([each.name for each in reading.spans], reading.broken) == (["GET /a"], 0)
    file.write_text(text)  # also where the end of the line is still missing
    assert [each.name for each in read([tmp_path]).spans] == ["GET /a", "GET /b"]


@pytest.mark.parametrize("nonsense", ["}{", "[]", "3", '{"resourceSpans":[{"scopeSpans":[{"spans":[{}]}]}]}', "\udcff"])
def test_a_line_that_makes_no_sense_costs_that_line_only(tmp_path: Path, nonsense: str) -> None:
    good = line("inventory", [span("GET /a", "a")])
    (tmp_path / "i.jsonl").write_text(f"{nonsense}\n\n{good}\n", errors="surrogateescape")
    reading = read([tmp_path])
    assert ([each.name for each in reading.spans], reading.broken) == (["GET /a"], 1)


def test_half_of_a_line_is_not_taken(tmp_path: Path) -> None:
    (tmp_path / "i.jsonl").write_text(line("inventory", [span("GET /a", "a"), {"name": "no more"}]) + "\n")
    assert (read([tmp_path]).spans, read([tmp_path]).broken) == ([], 1)


def test_where_nothing_is_kept_nothing_is_read(tmp_path: Path) -> None:
    assert read([tmp_path / "nowhere", tmp_path]).spans == []


# Putting together


def test_an_order_s_own_trace_comes_first_then_what_belongs_to_it(spans: list[Span]) -> None:
    parts = of_order(spans, ORDER)
    assert [(part.relation, part.trace.trace_id[0]) for part in parts] == [
        ("order", "a"),
        ("about", "c"),
        ("linked", "f"),
        ("linked", "e"),  # to a trace that is linked itself
    ]
    assert [part.origin.name for part in parts if part.origin] == [
        "StartChildWorkflow:orchestrator.FollowDelivery",
        "StartChildWorkflow:shipping.TrackShipment",
    ]
    assert {each.service for each in parts[0].trace.spans} == {"orchestrator", "inventory", "payments", "sandbox"}


def test_a_cancellation_that_is_the_earliest_span_is_not_the_order_s_own_trace(tmp_path: Path) -> None:
    shop = order()
    shop.add(
        "orchestrator",
        span(
            "StartWorkflowUpdate:cancel", "early", at=(-5, -1), kind=CLIENT, trace="9" * 32, workflow=f"fulfil:{ORDER}"
        ),
    )
    parts = of_order(read([shop.write(tmp_path)]).spans, ORDER)
    assert [(part.relation, part.trace.trace_id[0]) for part in parts[:2]] == [("order", "a"), ("about", "9")]


def test_a_trace_is_found_by_its_id_too(spans: list[Span]) -> None:
    assert [part.trace.trace_id[0] for part in of_trace(spans, "f" * 32)] == ["f", "e"]
    with pytest.raises(NoTrace, match="no span of a trace 0000"):
        of_trace(spans, "0" * 32)


def test_an_order_that_is_not_there_is_told_with_those_that_are(spans: list[Span]) -> None:
    with pytest.raises(NoTrace, match=r"no span of an order A-11 is kept; .* 2 orders, such as A-1"):
        of_order(spans, "A-11")
    with pytest.raises(NoTrace, match=r"no span of an order A-1 is kept.* after it ended$"):
        of_order([], "A-1")


def test_a_workflow_that_has_not_ended_is_seen_by_what_it_did(tmp_path: Path) -> None:
    shop = order()
    shop.spans["orchestrator"] = [
        each for each in shop.spans["orchestrator"] if each["spanId"] not in {long("fulfil"), long("other")}
    ]
    own = of_order(read([shop.write(tmp_path)]).spans, ORDER)[0].trace
    [missing] = [node for node in own.nodes() if node.missing]
    assert (missing.span.name, missing.span.service) == (f"fulfil:{ORDER}", "orchestrator")
    assert [child.span.name.partition(":")[0] for child in missing.children] == ["StartChildWorkflow"] * 3
    # Under the request that started it, so that there is one tree.
    assert [root.span.name for root in own.roots] == ["POST /orders"]
    assert len(own.spans) == len(list(own.nodes())) - 1
    drawn = legible(draw([Part(own, "order")], title="t", width=100))
    assert [text for text in drawn if f"not kept: fulfil:{ORDER}" in text and text.endswith("?")]


def test_a_child_of_a_lost_call_has_no_service_to_guess(tmp_path: Path) -> None:
    shop = Shop()
    shop.add("sandbox", span("POST /gateway/v1/captures", "gate", "gone"))
    trace = built(tmp_path, shop)
    [missing] = trace.roots
    assert (missing.missing, missing.span.name, missing.span.service) == (True, "?", "?")
    assert legible(draw([Part(trace, "order")], title="t", width=80))


def test_a_span_that_is_there_twice_stays_twice(tmp_path: Path) -> None:
    shop = Shop()
    shop.add("inventory", span("GET /a", "a"), span("GET /a", "a"), span("SELECT", "s", "a", kind=CLIENT))
    trace = built(tmp_path, shop)
    assert [each.name for each in trace.spans] == ["GET /a", "SELECT", "GET /a"]


def test_a_span_that_is_its_own_parent_is_a_root(tmp_path: Path) -> None:
    shop = Shop()
    shop.add("inventory", span("GET /a", "a", "a"))
    assert [root.span.name for root in built(tmp_path, shop).roots] == ["GET /a"]


# What is one step


def test_a_call_and_its_answer_are_one_step_and_statements_are_counted(spans: list[Span]) -> None:
    steps = fold(of_order(spans, ORDER)[0].trace.roots)
    assert tree(steps) == [
        "POST /orders",
        "  RunWorkflow:orchestrator.FulfilOrder",
        "    RunWorkflow:inventory.ReserveStock",
        "      RunActivity:inventory.reserve",
        "    RunWorkflow:payments.AuthorisePayment",
        "      RunActivity:payments.authorise",
        "      RunActivity:payments.authorise",
        "        POST /gateway/v1/authorisations",
        "    StartChildWorkflow:orchestrator.FollowDelivery",
    ]
    every = [step for root in steps for _, step in root.walk()]
    assert [step.statements for step in every] == [1, 0, 0, 2, 0, 0, 0, 0, 0]
    assert [step.attempt for step in every] == [1, 1, 1, 1, 1, 1, 2, 1, 1]
    reserve = every[2]
    assert (reserve.asked - BEGIN, reserve.span.begin - BEGIN) == (50 * MILLISECOND, 100 * MILLISECOND)


def test_a_request_that_failed_otherwise_than_its_answer_is_a_step_of_its_own(tmp_path: Path) -> None:
    shop = Shop()
    shop.add("payments", span("POST", "http", at=(0, 300), kind=CLIENT, error="TimeoutError"))
    shop.add("sandbox", span("POST /gateway/v1/captures", "gate", "http", at=(10, 9000)))
    trace = built(tmp_path, shop)
    assert tree(fold(trace.roots)) == ["POST", "  POST /gateway/v1/captures"]
    # Nobody waited for the end of the answer.
    assert finish(trace) == BEGIN + 300 * MILLISECOND


def test_an_answer_that_nobody_waited_for_is_a_step_of_its_own(tmp_path: Path) -> None:
    shop = Shop()
    shop.add("payments", span("POST", "http", at=(0, 300), kind=CLIENT))
    shop.add("sandbox", span("POST /gateway/v1/captures", "gate", "http", at=(10, 9000)))
    assert tree(fold(built(tmp_path, shop).roots)) == ["POST", "  POST /gateway/v1/captures"]


# Where the time went


def test_the_longest_path_has_no_gaps_and_each_moment_is_somebody_s(spans: list[Span]) -> None:
    own = of_order(spans, ORDER)[0].trace
    stretches = path(own)
    assert stretches[0].begin == own.begin
    assert stretches[-1].end == finish(own) == BEGIN + 1000 * MILLISECOND
    assert all(one.end == next_.begin for one, next_ in pairwise(stretches))
    told = {
        share.service: tuple(round(seconds * 1000) for seconds in (share.work, share.queue, share.workflow))
        for share in shares(own)
    }
    assert told == {
        "orchestrator": (10, 70, 80),
        "inventory": (130, 90, 30),
        "payments": (110, 100, 130),  # between two attempts its workflow waits
        "sandbox": (240, 10, 0),
    }


def test_of_steps_side_by_side_the_one_that_ends_last_counts(tmp_path: Path) -> None:
    shop = Shop()
    shop.add("orchestrator", span("GET /", "root", at=(0, 100), kind=INTERNAL))
    shop.add("payments", span("GET /pay", "p", "root", at=(0, 60)))
    shop.add("shipping", span("GET /ship", "s", "root", at=(10, 90)))
    told = {share.service: round(share.seconds * 1000) for share in shares(built(tmp_path, shop))}
    assert told == {"orchestrator": 10, "payments": 10, "shipping": 80}


# Drawing

DRAWN = """\
A-1  1.00 s  trace aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
■ orchestrator 11   ■ inventory 5   ■ payments 5   ■ sandbox 1   ■ shipping 1

┄┄ asked for, not begun yet                  0                500 ms           1.00 s
orchestrator POST /orders +1 SQL             ━━                                         50.0 ms
orchestrator └ FulfilOrder                   ┄╺━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━    960 ms
inventory      ├ ReserveStock                  ┄┄━━━━━━━━                                200 ms
inventory      │ └ reserve +2 SQL                ┄┄━━━━━                                 130 ms
payments       ├ AuthorisePayment                        ┄┄┄┄━━━━━━━━━━━━━━━━━━━━        500 ms
payments       │ ├ authorise ✗ TimeoutError                  ┄━━━                       80.0 ms
payments       │ └ authorise #2                                      ━━━━━━━━━━━         280 ms
sandbox        │   └ POST …/authorisations                           ┄━━━━━━━━━╸         240 ms
orchestrator   └ start FollowDelivery                                              ━╸   40.0 ms
"""


def test_the_waterfall_has_a_line_a_step(spans: list[Span]) -> None:
    parts = of_order(spans, ORDER)
    drawn = legible(draw(parts, title=ORDER, width=95))
    assert drawn[: DRAWN.count("\n")] == DRAWN.splitlines()
    assert [text for text in drawn if text.startswith("──")] == [
        "── 700 ms later, about the same order  trace cccccccc",
        "── 1.10 s later, linked to start FollowDelivery  trace ffffffff",
        "── 1.30 s later, linked to start shipping.TrackShipment  trace eeeeeeee",
    ]


def test_on_request_every_span_has_a_line(spans: list[Span]) -> None:
    parts = of_order(spans, ORDER)
    drawn = "\n".join(legible(draw(parts, title=ORDER, width=140, everything=True)))
    for part in parts:
        for each in part.trace.spans:
            assert each.name.replace(f":{each.service}.", ":") in drawn


@pytest.mark.parametrize("width", [60, 80, 100, 240])
@pytest.mark.parametrize("everything", [False, True])
def test_no_line_is_longer_than_the_terminal(spans: list[Span], width: int, everything: bool) -> None:
    parts = of_order(spans, ORDER)
    lines = draw(parts, title="a title " * 40, width=width, everything=everything)
    assert max(text.cell_len for text in lines) <= width


def test_where_there_is_ascii_only_the_drawing_is_ascii(spans: list[Span]) -> None:
    lines = draw(of_order(spans, ORDER), title=ORDER, width=100, plain=True)
    assert all(text.isascii() for text in legible(lines))


def test_each_service_has_a_colour_and_what_failed_another(spans: list[Span]) -> None:
    parts = of_order(spans, ORDER)
    [failed] = [text for text in draw(parts, title=ORDER, width=100) if "TimeoutError" in text.plain]
    styles = {str(part.style) for part in failed.spans}
    assert {"magenta", "bold red"} <= styles
    assert len({colour(service) for service in COLOURS}) == len(COLOURS)
    assert colour("a service of yours") not in COLOURS.values()


@pytest.mark.parametrize(
    ("nanoseconds", "said"),
    [
        (0, "0.0 ms"),
        (40_000, "<0.1 ms"),
        (99_400_000, "99.4 ms"),
        (99_600_000, "100 ms"),
        (999_400_000, "999 ms"),
        (999_600_000, "1.00 s"),
        (119.9e9, "119.90 s"),
        (3600e9, "60.0 min"),
        (86_400e9, "24.0 h"),
        (60 * 86_400e9, "60.0 d"),
    ],
)
def test_durations_are_said_as_people_say_them(nanoseconds: float, said: str) -> None:
    assert duration(nanoseconds) == said
    assert len(said) <= 9


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, None),
        ({"error": "ApplicationError: out_of_stock: not in stock: 1 of VASE-9"}, "out_of_stock"),
        ({"thrown": "declined: the card was declined"}, "declined"),
        ({"error": "ActivityError: Activity task failed"}, ""),
        ({"error": "TimeoutError"}, "TimeoutError"),
        ({"error": "", "http__response__status_code": 503}, "503"),
    ],
)
def test_why_something_failed_is_said_in_a_word(tmp_path: Path, given: dict[str, Any], said: str | None) -> None:
    shop = Shop()
    shop.add("inventory", span("RunActivity:inventory.reserve", "a", **given))
    [node] = built(tmp_path, shop).roots
    assert reason(node.span) == said


def test_a_workflow_that_failed_says_what_failed_below(tmp_path: Path) -> None:
    shop = Shop()
    shop.add(
        "shipping",
        span("RunWorkflow:shipping.BookShipment", "w", error="ActivityError: Activity task failed"),
        span("RunActivity:shipping.book", "a", "w", error="ApplicationError: booking_refused: parcel 1"),
    )
    drawn = legible(draw([Part(built(tmp_path, shop), "order")], title="t", width=100))
    assert any("BookShipment ✗ booking_refused" in text for text in drawn)


# The command


def command(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["trace", *arguments])


@pytest.fixture
def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    order().write(tmp_path / "build" / "stack" / "spans")
    return tmp_path


def test_the_command_draws_what_the_stack_here_kept_also_after_its_end(stack: Path) -> None:
    result = command(ORDER, "--width", "95")
    assert result.exit_code == 0, result.output
    assert result.output.startswith(DRAWN)
    assert "\x1b" not in result.output  # into a pipe without colour
    assert command(f"fulfil:{ORDER}", "--width", "95").output.splitlines()[1:] == result.output.splitlines()[1:]


def test_the_command_takes_a_trace_id_from_a_log_and_its_first_digits(stack: Path) -> None:
    for name in ("f" * 32, "f" * 8):
        assert "FollowDelivery" in command(name).output
    assert command("f" * 7).exit_code == 2


def test_the_command_reads_other_files_where_they_are_named(stack: Path, tmp_path: Path) -> None:
    folder = stack / "build" / "stack" / "spans"
    files = [part for name in ("orchestrator", "inventory") for part in ("--spans", str(folder / f"{name}.jsonl"))]
    document = json.loads(command(ORDER, "--json", *files).output)
    assert {each["service"] for each in document["traces"][0]["spans"]} == {"orchestrator", "inventory"}
    result = command(ORDER, "--spans", str(tmp_path / "nowhere"))
    assert result.exit_code == 2
    assert f"no spans are kept in {tmp_path / 'nowhere'}" in result.stderr


def test_the_document_has_all_that_is_drawn(stack: Path) -> None:
    own, *others = json.loads(command(ORDER, "--json").output)["traces"]
    assert (own["trace_id"], own["relation"], own["seconds"]) == (TRACE, "order", 1.0)
    assert [(each["relation"], (each["linked_to"] or {}).get("service")) for each in others] == [
        ("about", None),
        ("linked", "orchestrator"),
        ("linked", "orchestrator"),
    ]
    [gate] = [each for each in own["spans"] if each["service"] == "sandbox"]
    assert gate == gate | {"name": "POST /gateway/v1/authorisations", "offset_seconds": 0.62, "seconds": 0.24}
    assert (gate["kept"], gate["kind"], gate["parent_id"]) == (True, "server", long("http"))
    assert sum(each["seconds"] for each in own["longest_path"]) == pytest.approx(1.0)
    assert [each["service"] for each in own["services"]] == ["orchestrator", "inventory", "payments", "sandbox"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["A-2"], "no span of an order A-2 is kept"),
        (["A-1", "--directory", "elsewhere"], "no spans are kept in elsewhere/spans (make demo keeps them there"),
        (["00000000"], "no span of an order 00000000 is kept"),
    ],
)
def test_what_cannot_be_drawn_is_said_in_one_line(stack: Path, arguments: list[str], said: str) -> None:
    result = command(*arguments)
    assert result.exit_code == 2
    assert said in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_width_that_is_too_small_is_wrong_usage(stack: Path) -> None:
    assert command(ORDER, "--width", "20").exit_code == 2
