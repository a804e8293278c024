"""Dashboards and rules over a run of real processes: an empty panel, or a rule that looks at nothing, fails."""

import asyncio
import re
import uuid
from collections.abc import Iterable
from pathlib import Path

import pytest
from temporalio.client import ScheduleActionStartWorkflow

from chassis.testing.waiting import eventually
from waybill.demo.samples import SAMPLES

from .conftest import Site
from .files import ALERTS, DASHBOARDS, RECORDS, RUNBOOK, Rule, load, queries
from .logs import by_the_machine, failed_tasks
from .prometheus import Prometheus, prometheus
from .promql import selectors

pytestmark = pytest.mark.timeout(600)
SETTLE_SECONDS = 60
"""For the last scrapes, and the rules that rest on them."""

SPAN_METRICS = "traces_span_metrics_"
NEEDS_A_COLLECTOR = {"Spans by service", "Outgoing calls (95 %)"}
"""Panels that the collector's span_metrics fills. It is no program of PyPI or Debian, so that no test can start it."""

RARE = {
    "temporal_workflow_task_execution_failed_total": "counts bugs of workflow code: see test_failures.py",
    "temporal_request_total": "that Temporal is told of a failed task: the same",
    "temporal_workflow_failed_total": "of schedules: counts their failures, and no schedule fails in the demo",
    "compensations_total": "with result failed: no undo of the demo fails",
}
"""What alerts look at and a good run does not have, since the SDK's counters are absent until they count."""

FACTOR = 15
"""By which all times of the rules are divided where a test waits for alerts."""
NO_COLLECTOR: set[tuple[str, ...]] = {("CollectorDown", "otel-collector")}
TASKS_FAIL: set[tuple[str, ...]] = {("WorkflowTaskFailing",)}
ALERT_SECONDS = 240
PAYMENTS, TEMPORAL = "payments", "temporal"


async def test_no_panel_is_empty_after_the_demos_orders(watching: Prometheus) -> None:
    asked = [query for path in DASHBOARDS for query in queries(load(path)) if SPAN_METRICS not in query.expr]
    assert len(asked) > 100
    left = asked

    async def filled() -> bool:
        nonlocal left
        left = [query for query in left if not await watching.vector(query.expr)]
        assert left == [], "\n".join(map(str, left))
        return True

    await eventually(filled, timeout=SETTLE_SECONDS)


async def test_queries_of_spans_are_accepted_though_no_collector_is_here(watching: Prometheus) -> None:
    asked = [query for path in DASHBOARDS for query in queries(load(path)) if SPAN_METRICS in query.expr]
    assert {query.panel for query in asked} == NEEDS_A_COLLECTOR
    for query in asked:
        assert await watching.vector(query.expr) == []


@pytest.mark.parametrize("record", [rule.name for rule in RECORDS])
async def test_no_recorded_series_is_empty(watching: Prometheus, record: str) -> None:
    async def recorded() -> bool:
        return bool(await watching.vector(record))

    await eventually(recorded, timeout=SETTLE_SECONDS)


@pytest.mark.parametrize("alert", ALERTS, ids=lambda rule: rule.name)
async def test_what_an_alert_looks_at_is_there(watching: Prometheus, alert: Rule) -> None:
    await watching.vector(alert.expr)
    for selector in selectors(alert.expr):
        if selector.metric not in RARE:

            async def selected(text: str = selector.text) -> bool:
                return bool(await watching.vector(text))

            await eventually(selected, timeout=SETTLE_SECONDS)


async def test_variables_of_dashboards_offer_values(watching: Prometheus) -> None:
    offered = {
        variable["name"]: re.fullmatch(r"label_values\((.+), (\w+)\)", variable["definition"])
        for path in DASHBOARDS
        for variable in load(path)["templating"]["list"]
        if variable["type"] == "query"
    }
    assert set(offered) == {"task_queue", "namespace"}
    for name, match in offered.items():
        assert match is not None, name
        series = await watching.vector(match[1])
        assert {each["metric"].get(match[2]) for each in series} - {None}, name


async def test_the_demo_raises_no_alert_that_calls_somebody(watching: Prometheus) -> None:
    fired = await watching.fired(3600)
    critical = {alert.name for alert in ALERTS if alert.labels["severity"] == "critical"}
    assert {name for name, *_ in fired} & critical == set()


async def test_the_alert_of_schedules_names_every_workflow_that_a_schedule_starts(site: Site) -> None:
    scheduled = set()
    async for listed in await site.client.list_schedules():
        action = (await site.client.get_schedule_handle(listed.id).describe()).schedule.action
        assert isinstance(action, ScheduleActionStartWorkflow)
        scheduled.add(action.workflow)
    [alert] = [rule for rule in ALERTS if rule.name == "ScheduledWorkflowFailed"]
    named = set(re.findall(r"\w+\.\w+(?=[|\"])", alert.expr))
    assert named == scheduled


def promised() -> set[tuple[str, ...]]:
    """The alerts that the runbook announces where the payments pool is gone."""
    text = RUNBOOK.read_text()
    _, _, part = text.partition("## When a whole pool is gone\n")
    rows = re.findall(r"^\| (\w+) \| (.*?) ?\| \d+ min \|$", part.partition("\n## ")[0], re.MULTILINE)
    return {(name, *of.split()) for name, of in rows}


def lines(alerts: Iterable[tuple[str, ...]]) -> str:
    """For a message."""
    return ", ".join(" ".join(alert) for alert in sorted(alerts)) or "nothing"


async def test_stopping_the_payments_pool_raises_what_the_runbook_promises_and_nothing_else(
    site: Site, tmp_path: Path
) -> None:
    await site.shop.stock_up(uuid.uuid4().hex[:8])
    pids = site.stack.pids
    async with prometheus(tmp_path, site.targets, factor=FACTOR) as watching:

        async def unreached() -> set[tuple[str, ...]]:
            """Alerts that a process is down, of those that ran all the time and were not reached all the same.

            A minute is three scrapes here, and on a machine that is busy so many in a row may be answered too late.
            """
            missed = {each["metric"]["job"] for each in await watching.vector("min_over_time(up[1h]) == 0")}
            alive = {name for name, pid in site.stack.pids.items() if pids.get(name) == pid}
            return {("TemporalDown" if name == TEMPORAL else "ServiceDown", name) for name in missed & alive}

        async def insist(alerts: set[tuple[str, ...]], expected: set[tuple[str, ...]]) -> None:
            failed = failed_tasks(site.stack.directory)
            counted = await watching.vector("temporal_workflow_task_execution_failed_total > 0")
            # The stack is as old as the first test that uses it, and counters of its services never go back.
            others = alerts - (await unreached() - expected) - (TASKS_FAIL if by_the_machine(failed) else set())
            told = "".join(f"\n{each}" for each in (*failed, *counted))
            assert others == expected, f"{lines(alerts)} instead of {lines(expected)}; failed tasks:{told or ' none'}"

        async def only(expected: set[tuple[str, ...]]) -> None:
            async def raised() -> bool:
                await insist(await watching.firing(), expected)
                return True

            await eventually(raised, timeout=ALERT_SECONDS)

        # The last alert to come says that what others would have come from has been looked at.
        await only(NO_COLLECTOR)
        began = asyncio.get_running_loop().time()
        await site.stack.stop(PAYMENTS)
        try:
            order_id = f"{uuid.uuid4().hex[:8]}-waits"
            status, _ = await site.shop.place(SAMPLES[0].body(order_id))
            assert status == 202
            await only(NO_COLLECTOR | promised())
            # Nor has any other fired, and gone again.
            seconds = round(asyncio.get_running_loop().time() - began) + 1
            await insist(await watching.fired(seconds), NO_COLLECTOR | promised())
        finally:
            await site.stack.start(PAYMENTS)

        async def over() -> bool:
            firing = await watching.firing()
            order = await site.shop.order(order_id)
            assert order is not None
            assert order["status"] == "fulfilled", order["status"]
            assert firing & promised() == set(), lines(firing)
            return True

        await eventually(over, timeout=ALERT_SECONDS)
