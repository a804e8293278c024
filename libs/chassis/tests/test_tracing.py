"""Traces as a service's processes make them."""

import asyncio
import signal
import subprocess
import sys
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
import pytest_asyncio
from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from temporalio.client import Client
from temporalio.contrib.opentelemetry import create_tracer_provider
from temporalio.testing import WorkflowEnvironment

from chassis import spans, tracing
from chassis.sampling import Worthwhile
from chassis.settings import WrongSettings
from chassis.testing.serving import serve_app
from chassis.testing.waiting import eventually

from .conftest import Launch, Tiny
from .programs.tiny.tracks import Bulk, Order
from .spans import Span, read

SOON = {"OTEL_BSP_SCHEDULE_DELAY": "50"}


def kept(path: Path) -> dict[str, str]:
    """Variables that let a process keep its spans in a file."""
    return {"OTEL_TRACES_EXPORTER": "file", "WAYBILL_SPANS_FILE": str(path), **SOON}


async def stop(tiny: Tiny) -> int:
    tiny.process.send_signal(signal.SIGTERM)
    return await tiny.process.wait()


async def ended(client: Client, workflow: type, tiny: Tiny) -> str:
    """Run a workflow to its end, and all that it left behind. Returns its id."""
    workflow_id = f"{uuid.uuid4()}"
    await client.execute_workflow(
        workflow.run,  # type: ignore[attr-defined]
        id=workflow_id,
        task_queue=tiny.queue,
        execution_timeout=timedelta(minutes=1),
    )
    return workflow_id


def one(spans: list[Span], name: str) -> Span:
    [span] = [span for span in spans if span.name == name]
    return span


# What is asked for


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, "OTEL_TRACES_EXPORTER: is none of otlp, file, none"),
        ({"OTEL_TRACES_EXPORTER": "file"}, "WAYBILL_SPANS_FILE: is required"),
        ({"OTEL_TRACES_EXPORTER": "file", "WAYBILL_SPANS_FILE": "/nowhere/spans"}, "WAYBILL_SPANS_FILE: No such file"),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
            "OTEL_EXPORTER_OTLP_PROTOCOL",
        ),
        ({"OTEL_TRACES_EXPORTER": "otlp", "OTEL_BSP_MAX_QUEUE_SIZE": "-5"}, "OTEL_…: "),
    ],
)
def test_variables_that_cannot_be_used_are_named(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], said: str
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(WrongSettings, match=said):
        tracing.start("tiny")


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"},
        {"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"},
    ],
)
def test_nothing_is_traced_unless_it_is_asked_for(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert tracing.start("tiny") is None


def test_a_process_that_is_not_traced_does_not_pay_for_it() -> None:
    code = "import sys, chassis.serving; print([m for m in sys.modules if m.startswith('opentelemetry.sdk')])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


async def test_a_wrong_variable_ends_the_start_with_one_line(launch: Launch) -> None:
    tiny = await launch(OTEL_TRACES_EXPORTER="zipkin")
    assert await tiny.process.wait() == 2
    assert tiny.log.read_text() == "OTEL_TRACES_EXPORTER: is none of otlp, file, none\n"


# What a process does


async def test_a_request_its_statements_and_its_log_lines_are_of_one_trace(launch: Launch, tmp_path: Path) -> None:
    path = tmp_path / "spans.jsonl"
    tiny = await launch(**kept(path))
    await tiny.until(200)
    assert await tiny.get("/notes?secret=1") == (200, {"notes": 1})
    assert await stop(tiny) == 0, tiny.log.read_text()
    spans = read(path)
    request = one(spans, "GET /notes")
    assert request.parent is None
    assert request.resource["service.name"] == "tiny"
    assert request.attributes["http.route"] == "/notes"
    [statement] = [span for span in spans if span.parent == request.id]
    assert statement.name.startswith("SELECT")
    assert statement.trace == request.trace
    assert statement.attributes["db.system.name"] == "postgresql"
    # Neither what probes ask for, nor the statements of the start and of the loops, is a trace.
    assert {span.name for span in spans if span.parent is None} == {"GET /notes"}

    [line] = [line for line in tiny.lines() if line["logger"] == "access"]
    assert (line["method"], line["route"], line["path"], line["status"]) == ("GET", "/notes", "/notes", 200)
    assert line["seconds"] > 0
    assert (line["trace_id"], line["span_id"]) == (request.trace, request.id)
    assert "secret" not in tiny.log.read_text()


@pytest.mark.parametrize("cached", ["500", "0"])
async def test_each_span_of_a_workflow_is_there_once_also_where_nothing_is_cached(
    launch: Launch, dev_server: WorkflowEnvironment, tmp_path: Path, cached: str
) -> None:
    path = tmp_path / "spans.jsonl"
    tiny = await launch(TINY_CACHED_WORKFLOWS=cached, **kept(path))
    await tiny.until(200)
    workflow_id = await ended(dev_server.client, Order, tiny)
    await eventually(lambda: sum(span.name == "RunWorkflow:tiny.Weeks" for span in read(path)) == 2)
    assert await stop(tiny) == 0, tiny.log.read_text()
    spans = read(path)
    assert max(Counter(span.id for span in spans).values()) == 1
    order = one(spans, "RunWorkflow:tiny.Order")
    starts = [one(spans, f"StartChildWorkflow:tiny.{name}") for name in ("Leaf", "Weeks")]
    leaf = one(spans, "RunWorkflow:tiny.Leaf")
    assert order.attributes["temporalWorkflowID"] == workflow_id
    assert {start.parent for start in starts} == {order.id}
    assert leaf.parent == starts[0].id
    assert order.seconds > leaf.seconds > 0.001

    # What lives long has traces of its own, each linked to what it came from.
    first, second = [span for span in spans if span.name == "RunWorkflow:tiny.Weeks"]
    assert first.parent is None
    assert first.links == (starts[1].id,)
    assert second.parent is None
    assert second.links == (first.id,)
    assert len({order.trace, first.trace, second.trace}) == 3


async def test_a_workflow_may_have_its_own_trace_only_where_another_starts_it(
    launch: Launch, dev_server: WorkflowEnvironment, tmp_path: Path
) -> None:
    path = tmp_path / "spans.jsonl"
    tiny = await launch(**kept(path))
    await tiny.until(200)
    await ended(dev_server.client, Bulk, tiny)
    assert await stop(tiny) == 0, tiny.log.read_text()
    spans = read(path)
    order = one(spans, "RunWorkflow:tiny.Order")
    assert order.parent is None
    assert order.links == (one(spans, "StartChildWorkflow:tiny.Order").id,)


# A collector that is not as it should be


class Collector:
    """Takes spans, or does not."""

    def __init__(self) -> None:
        self.spans = 0
        self.asked = 0
        self.status = 200
        self.held = asyncio.Event()
        self.held.set()

    async def take(self, request: web.Request) -> web.Response:
        body = ExportTraceServiceRequest.FromString(await request.read())
        self.asked += 1
        await self.held.wait()
        if self.status == 200:
            self.spans += sum(len(scope.spans) for batch in body.resource_spans for scope in batch.scope_spans)
        return web.Response(status=self.status)


@pytest_asyncio.fixture
async def collector() -> AsyncIterator[tuple[Collector, str]]:
    it = Collector()
    app = web.Application()
    app.add_routes([web.post("/v1/traces", it.take)])
    async with serve_app(app) as url:
        yield it, url
        it.held.set()


async def counted(tiny: Tiny) -> dict[str, float]:
    """The metrics of lost and sent spans."""
    status, text = await tiny.get("/metrics")
    assert status == 200
    lines = [line.rpartition(" ") for line in text.splitlines() if line.startswith("telemetry_spans")]
    return {name.partition("_spans_")[2]: float(value) for name, _, value in lines}


def dropped(counts: dict[str, float], reason: str) -> float:
    [number] = [value for name, value in counts.items() if name.startswith("dropped_total") and reason in name]
    return number


async def test_spans_are_sent_to_a_collector(launch: Launch, collector: tuple[Collector, str]) -> None:
    it, url = collector
    tiny = await launch(OTEL_EXPORTER_OTLP_ENDPOINT=url, **SOON)
    await tiny.until(200)
    assert await tiny.get("/notes") == (200, {"notes": 1})
    await eventually(lambda: it.spans == 2)
    counts = await counted(tiny)
    assert sum(value for name, value in counts.items() if name.startswith("exported")) == 2
    assert dropped(counts, "export_failed") == dropped(counts, "queue_full") == 0
    assert await stop(tiny) == 0, tiny.log.read_text()


async def test_a_collector_that_refuses_costs_its_spans_which_are_counted(
    launch: Launch, collector: tuple[Collector, str]
) -> None:
    it, url = collector
    it.status = 400
    tiny = await launch(OTEL_EXPORTER_OTLP_ENDPOINT=url, **SOON)
    await tiny.until(200)
    assert await tiny.get("/notes") == (200, {"notes": 1})

    async def lost() -> bool:
        return dropped(await counted(tiny), "export_failed") == 2

    await eventually(lost)
    assert await stop(tiny) == 0, tiny.log.read_text()


async def test_a_collector_that_hangs_fills_no_memory_and_holds_no_end(
    launch: Launch, collector: tuple[Collector, str]
) -> None:
    it, url = collector
    it.held.clear()
    limits = {"OTEL_BSP_MAX_QUEUE_SIZE": "4", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "2"}
    tiny = await launch(OTEL_EXPORTER_OTLP_ENDPOINT=url, **limits, **SOON)
    await tiny.until(200)
    for _ in range(10):
        assert await tiny.get("/notes") == (200, {"notes": 1})

    async def full() -> bool:
        return dropped(await counted(tiny), "queue_full") >= 10

    await eventually(full)
    assert await stop(tiny) == 0, tiny.log.read_text()
    assert not it.held.is_set()  # it ended although nobody answered
    assert any("spans are lost" in line["event"] for line in tiny.lines())


async def test_without_a_collector_a_service_works_and_ends(launch: Launch) -> None:
    tiny = await launch(OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9", **SOON)
    await tiny.until(200)
    assert await tiny.get("/notes") == (200, {"notes": 1})
    assert await stop(tiny) == 0, tiny.log.read_text()


# The parts


def test_a_span_that_ends_twice_is_sent_once() -> None:
    memory, tally = InMemorySpanExporter(), tracing.Tally()
    processor = spans.BoundedProcessor(memory, tally)
    provider = create_tracer_provider(sampler=Worthwhile(), shutdown_on_exit=False)
    span = provider.get_tracer("t").start_span("once")
    span.end()
    readable = span._readable_span()  # type: ignore[attr-defined]
    for _ in range(2):
        processor.on_end(readable)
    processor.shutdown()
    assert [each.name for each in memory.get_finished_spans()] == ["once"]
    assert tally.exported == 1


def test_an_exporter_that_raises_loses_its_batch_and_says_so() -> None:
    class Broken(InMemorySpanExporter):
        def export(self, spans: object) -> SpanExportResult:
            raise OSError("no space left")

    tally = tracing.Tally()
    processor = spans.BoundedProcessor(Broken(), tally)
    span = create_tracer_provider(shutdown_on_exit=False).get_tracer("t").start_span("lost")
    processor.on_end(span._readable_span())  # type: ignore[attr-defined]
    processor.shutdown()
    assert tally.dropped == {"queue_full": 0, "export_failed": 1}
