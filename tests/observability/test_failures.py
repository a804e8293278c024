"""What the SDK counts when workflow code fails: no good run shows it, and two alerts rest on it."""

import logging
import re
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from temporalio import workflow
from temporalio.client import Client, WorkflowHandle
from temporalio.service import RPCError
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from chassis import logs
from chassis.telemetry import Metrics
from chassis.testing.waiting import eventually

from .conftest import Site
from .files import ALERTS
from .logs import by_the_machine, failed_tasks
from .promql import selectors

COUNTER = "temporal_workflow_task_execution_failed_total"
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


@asynccontextmanager
async def working(site: Site, run: Any) -> AsyncIterator[tuple[WorkflowHandle[Any, Any], Metrics]]:
    """A running workflow on a queue of its own, with a worker that keeps nothing in memory."""
    metrics = Metrics("inventory")
    address, queue = site.stack.urls["temporal"], f"observability-{uuid.uuid4().hex[:8]}"
    client = await Client.connect(address, namespace=site.client.namespace, runtime=metrics.runtime)
    worker = Worker(
        client,
        task_queue=queue,
        workflows=[Raises, Changed, Starved],
        workflow_runner=UnsandboxedWorkflowRunner(),  # so that the test can change what is deployed
        max_cached_workflows=0,
    )
    async with worker:
        handle = await client.start_workflow(run, id=queue, task_queue=queue)
        try:
            yield handle, metrics
        finally:
            with suppress(RPCError):  # it may have ended
                await handle.terminate("the test is over")


async def counted(metrics: Metrics, reason: str) -> str:
    """Wait for the counter's series with a reason."""

    async def there() -> str | None:
        text = (await metrics.text(CollectorRegistry())).decode()
        found = re.search(rf'^{COUNTER}{{.*failure_reason="{reason}".*$', text, re.MULTILINE)
        return found[0] if found else None

    series = await eventually(there, timeout=60)
    assert series is not None
    return series


def labels_of(alert: str) -> set[str]:
    """Labels that an alert's expression names."""
    [expr] = [rule.expr for rule in ALERTS if rule.name == alert]
    assert {selector.metric for selector in selectors(expr)} == {COUNTER}
    [grouped] = re.findall(r"sum by \(([^)]*)\)", expr)
    return {label.strip() for label in grouped.split(",")} | {"failure_reason"}


async def test_an_error_in_workflow_code_is_counted_as_the_alert_asks(site: Site) -> None:
    async with working(site, Raises.run) as (_, metrics):
        series = await counted(metrics, "WorkflowError")
    assert labels_of("WorkflowTaskFailing") <= set(re.findall(r"(\w+)=", series))
    assert 'service="inventory"' in series


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


async def test_a_task_that_a_slow_machine_fails_is_told_from_a_bug_by_its_line_in_the_log(
    site: Site, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    starving.add("once")
    for run, slow in ((Starved.run, True), (Raises.run, False)):
        async with working(site, run) as (handle, metrics):
            await counted(metrics, "WorkflowError")
            if slow:
                await handle.result()

        def told(directory: Path = tmp_path / handle.id) -> list[str]:
            # The SDK's core tells it by and by.
            write(caplog.records, directory)
            return failed_tasks(directory)

        assert by_the_machine(await eventually(told)) == slow
        caplog.clear()
    assert not by_the_machine([])
