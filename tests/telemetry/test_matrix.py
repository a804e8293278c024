"""What each service tells of itself: metrics, spans, log lines; and what none of them may tell."""

import json
from collections import Counter
from collections.abc import Iterator
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
from .matrix import ACTIVITIES, EVERYWHERE, MATRIX, OUTSIDE
from .watching import CITY, EMAIL, NAME, POSTCODE, PROCESSES, STREET, Watched

SERVER_SCOPE = "opentelemetry.instrumentation.aiohttp_server"

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
    assert (EVERYWHERE | ACTIVITIES[service]) - {sample.name for sample in samples} == set()
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
