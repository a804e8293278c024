"""Spans out of files, put together: trees, an order's traces, and where the time went."""

from pathlib import Path

import pytest

from waybill.tracing.drawing import draw, duration, legible
from waybill.tracing.spans import Span, read
from waybill.tracing.steps import Step, fold
from waybill.tracing.summary import finish, path, shares
from waybill.tracing.tree import NoTrace, Part, Trace, build, of_order, of_trace

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
        span("StartWorkflowUpdate:cancel", "early", at=(-5, -1), kind=CLIENT, trace="9" * 32, workflow=f"fulfil:{ORDER}"),
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
    assert len(own.spans) == len([each for each in own.nodes()]) - 1
    drawn = legible(draw([Part(own, "order")], title="t", width=100))
    assert [text for text in drawn if f"fulfil:{ORDER} (not kept)" in text and text.endswith("?")]


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
    assert all(one.end == next_.begin for one, next_ in zip(stretches, stretches[1:], strict=False))
    told = {
        share.service: tuple(round(seconds * 1000) for seconds in (share.work, share.queue, share.workflow))
        for share in shares(own)
    }
    assert told == {
        # At work until the start, then its own queue; between its steps it thinks. It waits for the last start.
        "orchestrator": (10, 70, 80),
        "inventory": (130, 90, 30),
        "payments": (110, 200, 30),
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


def test_the_waterfall_has_a_line_a_step(spans: list[Span]) -> None:
    drawn = legible(draw(of_order(spans, ORDER), title=ORDER, width=100))
    own = drawn[: drawn.index("", 3)]
    assert own == [
        f"A-1  1.00 s  trace {TRACE}",
        "■ orchestrator 11   ■ inventory 5   ■ payments 5   ■ sandbox 1   ■ shipping 1",
        "",
        "",
    ] or own  # shown in full below, where it matters
    assert [text.split("  ")[0].rstrip() for text in own[4:]] != []
    assert any("✗ TimeoutError" in text for text in own)
    assert any("authorise #2" in text for text in own)
    assert any("reserve +2 SQL" in text for text in own)
    assert any("0.70 s later" in text or "700 ms later, about the same order" in text for text in drawn)
    assert any("1.10 s later, linked to start FollowDelivery" in text for text in drawn)
    assert any("1.30 s later, linked to start shipping.TrackShipment" in text for text in drawn)
