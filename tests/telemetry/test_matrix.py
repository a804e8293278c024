"""What each service tells of itself: metrics, spans, log lines; and what none of them may tell."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from chassis.testing.waiting import eventually
from waybill.stack import SERVICES
from waybill.stack.control import ControlClient
from waybill.tracing.spans import Kind, Span

from .conftest import Run
from .watching import CITY, EMAIL, NAME, POSTCODE, PROCESSES, STREET, Watched

SERVER_SCOPE = "opentelemetry.instrumentation.aiohttp_server"
UNFINISHED = "Completing activity as failed"
"""What the SDK logs of an activity that failed."""

EVERYWHERE = {
    "http_server_request_duration_seconds_count",
    "db_client_operation_duration_seconds_count",
    "db_client_connection_count",
    "task_queue_backlog_tasks",
    "task_queue_backlog_age_seconds",
    "task_queue_pollers",
    "telemetry_spans_exported_total",
    "telemetry_spans_dropped_total",
    "process_cpu_seconds_total",
    "process_resident_memory_bytes",
    "python_info",
    "temporal_activity_execution_latency_seconds_count",
    "temporal_activity_schedule_to_start_latency_seconds_count",
    "temporal_num_pollers",
    "temporal_request_latency_seconds_count",
    "temporal_worker_task_slots_available",
    "temporal_worker_task_slots_used",
    "temporal_workflow_completed_total",
    "temporal_workflow_task_schedule_to_start_latency_seconds_count",
}
SQL = {("SELECT", Kind.CLIENT), ("INSERT", Kind.CLIENT), ("UPDATE", Kind.CLIENT)}
CALL = {("POST", Kind.CLIENT)}


def workflows(*names: str) -> set[tuple[str, Kind]]:
    """Spans of workflows that a service runs."""
    return {(f"RunWorkflow:{name}", Kind.SERVER) for name in names}


def activities(*names: str) -> set[tuple[str, Kind]]:
    """Spans of activities, asked for and run by the same service."""
    return {
        span
        for name in names
        for span in ((f"StartActivity:{name}", Kind.CLIENT), (f"RunActivity:{name}", Kind.SERVER))
    }


def children(*names: str) -> set[tuple[str, Kind]]:
    """Spans of workflows that a service starts as children."""
    return {(f"StartChildWorkflow:{name}", Kind.CLIENT) for name in names}


def requests(*names: str) -> set[tuple[str, Kind]]:
    """Spans of requests that a service answers."""
    return {(name, Kind.SERVER) for name in names}


@dataclass(frozen=True)
class Signals:
    """What a service gives in a run of a few orders.

    Attributes:
        metrics: Its own, as name and, where it has any, one set of labels that must be there.
        spans: Names and kinds.
        events: Lines about an order, written within a workflow or an activity.
    """

    metrics: set[tuple[str, frozenset[tuple[str, str]]]]
    spans: set[tuple[str, Kind]]
    events: set[str]


def series(name: str, **labels: str) -> tuple[str, frozenset[tuple[str, str]]]:
    """A series, by what must be among its labels."""
    return name, frozenset(labels.items())


MATRIX = {
    "orchestrator": Signals(
        {
            series("orders_accepted_total", channel="api"),
            series("orders_finished_total", outcome="fulfilled", reason="none"),
            series("orders_finished_total", outcome="rejected", reason="out_of_stock"),
            series("order_duration_seconds_count", outcome="fulfilled"),
            series("orders_in_progress"),
            series("orders_oldest_in_progress_seconds"),
            series("messages_sent_total", result="sent"),
        },
        SQL
        | CALL
        | requests("POST /orders", "GET /orders/{order_id}", "POST /orders/{order_id}/approval")
        | workflows("orchestrator.FulfilOrder", "orchestrator.FollowDelivery")
        | activities("orchestrator.record_state", "orchestrator.record_delivery", "orchestrator.send_message")
        | {("StartWorkflow:orchestrator.FulfilOrder", Kind.CLIENT), ("HandleUpdate:decide", Kind.SERVER)}
        | children(
            "inventory.ReserveStock",
            "inventory.CommitStock",
            "inventory.ReleaseStock",
            "payments.AuthorisePayment",
            "payments.CapturePayment",
            "payments.ReversePayment",
            "shipping.PlanShipment",
            "shipping.BookShipment",
            "shipping.CancelShipment",
            "shipping.TrackShipment",
        ),
        {UNFINISHED},
    ),
    "inventory": Signals(
        {
            series("reservations_total", result="done"),
            series("stock_moved_units_total", movement="reserve"),
            series("stock_moved_units_total", movement="commit"),
            series("stock_moved_units_total", movement="release"),
            series("stock_units"),
        },
        SQL
        | requests("PUT /catalogue/{sku}", "POST /receipts")
        | workflows("inventory.ReserveStock", "inventory.CommitStock", "inventory.ReleaseStock")
        | activities("inventory.reserve", "inventory.commit", "inventory.release"),
        {UNFINISHED},
    ),
    "payments": Signals(
        {
            series("payments_total", operation="authorise", result="done"),
            series("payments_total", operation="authorise", result="declined"),
            series("payments_total", operation="capture", result="done"),
            series("payments_total", operation="void", result="done"),
        },
        SQL
        | CALL
        | {("GET", Kind.CLIENT)}
        | workflows("payments.AuthorisePayment", "payments.CapturePayment", "payments.ReversePayment")
        | activities("payments.authorise", "payments.capture", "payments.void"),
        {"the gateway's answer is unknown: looking it up"},
    ),
    "shipping": Signals(
        {
            series("carrier_quotes_total", carrier="budget", result="offered"),
            series("shipments_total", carrier="budget", result="booked"),
            series("shipments_total", carrier="budget", result="refused"),
            series("carrier_events_total", carrier="budget", event="delivered"),
        },
        SQL
        | CALL
        | requests("POST /webhooks/carriers/{carrier}")
        | workflows(
            "shipping.PlanShipment", "shipping.BookShipment", "shipping.CancelShipment", "shipping.TrackShipment"
        )
        | activities("shipping.quote", "shipping.book", "shipping.cancel", "shipping.look")
        | {("SignalExternalWorkflow:delivery_progressed", Kind.CLIENT)},
        {UNFINISHED},
    ),
}
OUTSIDE = (
    CALL
    | requests(
        "POST /gateway/v1/authorisations",
        "POST /gateway/v1/captures",
        "POST /gateway/v1/voids",
        "GET /gateway/v1/operations/{key}",
        "POST /carriers/{carrier}/v1/quotes",
        "POST /carriers/{carrier}/v1/bookings",
        "POST /carriers/{carrier}/v1/cancellations",
        "POST /mailbox/v1/messages",
    )
    | {("callback budget delivered", Kind.PRODUCER)}
)
"""Spans of the sandbox, which is no service and has no metrics."""

REACHED = {"/gateway", "/carriers", "/mailbox"}
"""What services ask of the sandbox for their readiness: part of a probe, and no trace either."""


async def scrape(run: Run, session: aiohttp.ClientSession, service: str) -> list[Sample]:
    """All samples of a service."""
    async with session.get(run.watched.stack.urls[service] + "/metrics") as response:
        assert response.status == 200
        families = text_string_to_metric_families(await response.text())
        return [sample for family in families for sample in family.samples]


def names(run: Run, process: str) -> set[tuple[str, Kind]]:
    """Names and kinds of a process's spans."""
    return {(span.name, span.kind) for span in run.watched.spans() if span.service == process}


@pytest.mark.parametrize("service", SERVICES)
async def test_each_service_gives_its_metrics_once_each_under_its_name(
    run: Run, session: aiohttp.ClientSession, service: str
) -> None:
    samples = await scrape(run, session, service)
    assert {sample.labels.get("service") for sample in samples} == {service}
    counts = Counter((sample.name, frozenset(sample.labels.items())) for sample in samples)
    assert [one for one, count in counts.items() if count > 1] == []
    assert EVERYWHERE - {sample.name for sample in samples} == set()
    wanted = MATRIX[service].metrics
    found = {(name, labels) for name, labels in wanted for one, has in counts if name == one and labels <= has}
    assert wanted - found == set()
    # What was counted has happened: no series is there only because it was prepared.
    idle = [
        (sample.name, sample.labels)
        for sample in samples
        for name, labels in wanted
        if sample.name == name and labels and labels <= set(sample.labels.items()) and not sample.value
    ]
    assert idle == []


@pytest.mark.parametrize("process", PROCESSES)
async def test_each_process_gives_its_spans(run: Run, process: str) -> None:
    wanted = MATRIX[process].spans if process in MATRIX else OUTSIDE
    assert wanted - names(run, process) == set()
    strangers = {name for name, _ in names(run, process) if name.startswith(("RunWorkflow:", "RunActivity:"))}
    assert {name for name in strangers if f":{process}." not in name} == set()


@pytest.mark.parametrize("service", SERVICES)
async def test_what_a_service_logs_of_an_order_says_of_which_where_and_in_which_trace(run: Run, service: str) -> None:
    by_id = {span.span_id: span for span in run.watched.spans()}
    told = set()
    for line in run.watched.lines(service):
        assert line.keys() >= {"time", "level", "logger", "event", "service"}
        assert line["service"] == service
        order_id = next((each for each in run.watched.placed if each in line.get("workflow_id", "")), None)
        if order_id is None:
            continue
        told.add(line["event"])
        assert line.keys() >= {"order_id", "run_id", "trace_id", "span_id", "task_queue"}, line
        assert (line["order_id"], line["task_queue"]) == (order_id, service)
        span = by_id[line["span_id"]]
        assert (span.trace_id, span.service, span.workflow_id) == (line["trace_id"], service, line["workflow_id"])
        assert span.attributes["temporalRunID"] == line["run_id"]
    assert MATRIX[service].events - told == set()


@pytest.mark.parametrize("process", PROCESSES)
async def test_each_request_has_one_access_line_in_its_own_trace(run: Run, process: str) -> None:
    def agreed() -> bool:
        spans = {span.span_id: span for span in run.watched.spans() if is_request(span, process)}
        lines = [line for line in run.watched.lines(process) if line["logger"] == "access"]
        untraced = [line for line in lines if line["span_id"] not in spans]
        assert {line["path"] for line in untraced} <= REACHED
        lines = [line for line in lines if line["span_id"] in spans]
        assert Counter(line["span_id"] for line in lines) == Counter(spans.keys())
        for line in lines:
            attributes = spans[line["span_id"]].attributes
            assert line["trace_id"] == spans[line["span_id"]].trace_id
            assert (line["method"], line["status"]) == (
                attributes["http.request.method"],
                attributes["http.response.status_code"],
            )
            assert line["route"] == attributes.get("http.route", "unmatched")
        return True

    await eventually(agreed)


def is_request(span: Span, process: str) -> bool:
    """Whether it is a request that a process answered."""
    return span.service == process and span.scope == SERVER_SCOPE


async def test_probes_are_neither_logged_nor_traced(run: Run) -> None:
    await run.watched.readiness("payments")
    paths = {"/livez", "/readyz", "/metrics"}
    for process in PROCESSES:
        assert not [line for line in run.watched.lines(process) if line.get("path") in paths]
    assert not [span for span in run.watched.spans() if span.attributes.get("url.path") in paths]


async def test_no_line_and_no_span_tells_a_secret_or_who_the_customer_is(run: Run) -> None:
    stack = run.watched.stack
    private = {NAME, NAME.split()[0], STREET, CITY, POSTCODE, EMAIL, "tok_"}
    async with ControlClient(stack.directory) as control:
        private |= {stack.operator_token, stack.plan.webhook_secret, control.state.control_token}
    private |= set(stack.plan.passwords.values())
    assert all(len(each) > 3 for each in private)
    told = [(where, each) for where, text in said(run.watched) for each in private if each in text]
    assert told == []


def said(watched: Watched) -> Iterator[tuple[str, str]]:
    """All that went where telemetry goes: each line of each log, and each span."""
    for path in sorted((watched.stack.directory / "logs").glob("*.log")):
        for number, line in enumerate(path.read_text().splitlines(), start=1):
            yield f"{path.name}:{number}", line
    for span in watched.spans():
        events: list[Any] = [{event.name: dict(event.attributes)} for event in span.events]
        yield f"{span.service}: {span.name}", json.dumps([span.name, dict(span.attributes), events, span.message])
