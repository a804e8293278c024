"""What the SDK counts when workflow code fails: no good run shows it, and two alerts rest on it."""

import re
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from temporalio import workflow
from temporalio.client import Client, WorkflowHandle
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from chassis.telemetry import Metrics
from chassis.testing.waiting import eventually

from .conftest import Site
from .files import ALERTS
from .promql import selectors

COUNTER = "temporal_workflow_task_execution_failed_total"
deployed = {"version": 1}
"""What the workflow's code is, as a deployment changes it."""


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


@asynccontextmanager
async def working(site: Site, run: Any) -> AsyncIterator[tuple[WorkflowHandle[Any, Any], Metrics]]:
    """A running workflow on a queue of its own, with a worker that keeps nothing in memory."""
    metrics = Metrics("inventory")
    address, queue = site.stack.urls["temporal"], f"observability-{uuid.uuid4().hex[:8]}"
    client = await Client.connect(address, namespace=site.client.namespace, runtime=metrics.runtime)
    worker = Worker(
        client,
        task_queue=queue,
        workflows=[Raises, Changed],
        workflow_runner=UnsandboxedWorkflowRunner(),  # so that the test can change what is deployed
        max_cached_workflows=0,
    )
    async with worker:
        handle = await client.start_workflow(run, id=queue, task_queue=queue)
        try:
            yield handle, metrics
        finally:
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
