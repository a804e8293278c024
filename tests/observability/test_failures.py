"""What the SDK counts when workflow code fails: no good run shows it, and two alerts rest on it."""

import asyncio
import logging
import re
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from temporalio import workflow
from temporalio.client import Client, WorkflowHandle
from temporalio.service import RPCError, RPCStatusCode
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from chassis import logs
from chassis.telemetry import Metrics
from chassis.testing.waiting import eventually

from .conftest import Site
from .files import ALERTS
from .logs import by_the_machine, failed_tasks
from .promql import selectors

COUNTER = "temporal_workflow_task_execution_failed_total"
TOLD = "temporal_request_total"
"""Of the operation with which Temporal is told of a failed task."""
deployed = {"version": 1}
"""What the workflow's code is, as a deployment changes it."""
starving: set[str] = set()
"""Not empty where the next workflow is to get no processor."""


@workflow.defn(name="observability.Raises")
class Raises:
    """A bug."""

    @workflow.run
    async def run(self) -> None:
        raise ValueError("a bug")


@workflow.defn(name="observability.Changed")
class Changed:
    """Code that a deployment changed under a running workflow."""

    @workflow.run
    async def run(self) -> None:
        if deployed["version"] == 1:
            await workflow.sleep(timedelta(days=1))
        else:
            await workflow.execute_activity("nobody", start_to_close_timeout=timedelta(days=1))

    @workflow.signal
    def look(self) -> None:
        """Make it be replayed."""


@workflow.defn(name="observability.Starved")
class Starved:
    """Code that gets no processor for longer than the SDK bears: once."""

    @workflow.run
    async def run(self) -> None:
        if starving:
            starving.clear()
            time.sleep(3)  # noqa: ASYNC251 - as a machine that is too slow does


@workflow.defn(name="observability.Busy")
class Busy:
    """Code that always has something to do, and answers questions meanwhile."""

    @workflow.run
    async def run(self) -> None:
        await workflow.wait_condition(lambda: workflow.info().is_continue_as_new_suggested())
        workflow.continue_as_new()

    @workflow.signal
    def work(self) -> None:
        """Make it have a task."""

    @workflow.query
    def status(self) -> str:
        return "busy"


@asynccontextmanager
async def working(site: Site, run: Any, *, cached: int = 0) -> AsyncIterator[tuple[WorkflowHandle[Any, Any], Metrics]]:
    """A running workflow on a queue of its own, with a worker that keeps nothing in memory unless told to."""
    metrics = Metrics("inventory")
    address, queue = site.stack.urls["temporal"], f"observability-{uuid.uuid4().hex[:8]}"
    client = await Client.connect(address, namespace=site.client.namespace, runtime=metrics.runtime)
    worker = Worker(
        client,
        task_queue=queue,
        workflows=[Raises, Changed, Starved, Busy],
        workflow_runner=UnsandboxedWorkflowRunner(),  # so that the test can change what is deployed
        max_cached_workflows=cached,
        max_concurrent_workflow_task_polls=2,
    )
    async with worker:
        handle = await client.start_workflow(run, id=queue, task_queue=queue)
        try:
            yield handle, metrics
        finally:
            with suppress(RPCError):  # it may have ended
                await handle.terminate("the test is over")


async def series_of(metrics: Metrics, name: str, label: str) -> str | None:
    """A series as the worker tells it, if there is one."""
    text = (await metrics.text(CollectorRegistry())).decode()
    found = re.search(rf"^{name}{{.*{label}.*$", text, re.MULTILINE)
    return found[0] if found else None


async def counted(metrics: Metrics, reason: str) -> str:
    """Wait for the counter's series with a reason."""
    series = await eventually(lambda: series_of(metrics, COUNTER, f'failure_reason="{reason}"'), timeout=60)
    assert series is not None
    return series


async def told(metrics: Metrics) -> str | None:
    """The series of what Temporal was told of failed tasks, if it was."""
    return await series_of(metrics, TOLD, 'operation="RespondWorkflowTaskFailed"')


def labels_of(alert: str) -> set[str]:
    """Labels that an alert's expression names, of the counter."""
    [expr] = [rule.expr for rule in ALERTS if rule.name == alert]
    assert {selector.metric for selector in selectors(expr)} <= {COUNTER, TOLD}
    grouped = re.findall(r"sum by \(([^)]*)\)", expr)
    return {label.strip() for label in grouped[0].split(",")} | {"failure_reason"}


async def test_an_error_in_workflow_code_is_counted_as_the_alert_asks(site: Site) -> None:
    async with working(site, Raises.run) as (_, metrics):
        series = await counted(metrics, "WorkflowError")
        told_of = await eventually(lambda: told(metrics))
    assert labels_of("WorkflowTaskFailing") <= set(re.findall(r"(\w+)=", series))
    assert 'service="inventory"' in series
    assert 'service="inventory"' in str(told_of)


async def test_a_query_that_its_workflow_outran_is_counted_though_nothing_failed(
    site: Site, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    """Why the alert also asks whether Temporal was told."""
    async with working(site, Busy.run, cached=10) as (handle, metrics):
        found = asyncio.Event()

        async def keep(doing: Callable[[], Awaitable[Any]]) -> None:
            while not found.is_set():
                await doing()

        async def ask() -> None:
            try:
                assert await handle.query(Busy.status) == "busy"
            except RPCError as error:
                # A workflow that is held up has more questions waiting than the server bears.
                if error.status is not RPCStatusCode.RESOURCE_EXHAUSTED:
                    raise

        async with asyncio.TaskGroup() as group:
            for doing in (lambda: handle.signal(Busy.work), ask, ask):
                group.create_task(keep(doing))
            try:
                await counted(metrics, "WorkflowError")
            finally:
                found.set()
        if await told(metrics) is not None:
            # Something failed after all: the workflow got no processor.
            assert by_the_machine(await eventually(lambda: told_of(caplog, tmp_path)))


async def test_code_that_does_not_fit_a_history_is_counted_as_the_alert_asks(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with working(site, Changed.run) as (handle, metrics):

        async def asleep() -> bool:
            history = await handle.fetch_history()
            return any(event.HasField("timer_started_event_attributes") for event in history.events)

        await eventually(asleep)
        monkeypatch.setitem(deployed, "version", 2)
        await handle.signal(Changed.look)
        series = await counted(metrics, "NonDeterminismError")
    assert labels_of("WorkflowNonDeterminism") <= set(re.findall(r"(\w+)=", series))


def write(records: list[logging.LogRecord], directory: Path) -> None:
    """Write what was logged as a service of a stack does."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    logs.configure("inventory", logging.INFO)
    formatter = root.handlers[0].formatter
    root.handlers = handlers
    root.setLevel(level)
    logging.captureWarnings(capture=False)
    assert formatter is not None
    (directory / "logs").mkdir(parents=True, exist_ok=True)
    (directory / "logs" / "inventory.log").write_text("".join(f"{formatter.format(record)}\n" for record in records))


def told_of(caplog: pytest.LogCaptureFixture, directory: Path) -> list[str]:
    """Log lines of failed tasks. The SDK's core tells them by and by."""
    write(caplog.records, directory)
    return failed_tasks(directory)


@pytest.mark.parametrize(("run", "slow"), [(Starved.run, True), (Raises.run, False)], ids=["starved", "raises"])
async def test_a_task_that_a_slow_machine_fails_is_told_from_a_bug_by_its_line_in_the_log(
    site: Site, caplog: pytest.LogCaptureFixture, tmp_path: Path, run: Any, *, slow: bool
) -> None:
    if slow:
        starving.add("once")
    async with working(site, run) as (handle, metrics):
        await counted(metrics, "WorkflowError")
        if slow:
            await handle.result()
    assert by_the_machine(await eventually(lambda: told_of(caplog, tmp_path))) == slow


def test_where_no_task_failed_none_failed_by_the_machine() -> None:
    assert not by_the_machine([])
