"""The daily sales report: the right day, once, also by backfill."""

import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import aiohttp
import pytest_asyncio
from temporalio.client import Client, ScheduleBackfill
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from chassis.connection import Connection
from chassis.health import HEALTH
from chassis.schedules import apply
from chassis.testing.fixtures import FreshDatabase
from chassis.testing.serving import serve_app
from chassis.testing.waiting import eventually
from orchestrator import contract
from orchestrator.contract import Status
from orchestrator.metrics import OrchestratorMetrics
from orchestrator.report_store import ReportStore
from orchestrator.reporting import DAILY_SALES_REPORT, Reporting
from orchestrator.states import State
from orchestrator.store import Store
from orchestrator.worker import compose
from orchestrator.workflows.report_sales import ReportSales

from .import_world import TOKEN, a_settings
from .recording import keep, to_record

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


async def an_order(store: Store, status: Status, at: datetime, **terms: Any) -> None:
    usual: dict[str, Any] = {"currency": "EUR", "lines": (("TEA-250", 2),), "total": 2500, "units": 2}
    await store.record(State(uuid.uuid4().hex, 1, status, at, **(usual | terms)))


async def test_a_report_counts_the_orders_that_ended_on_its_day(fresh_database: FreshDatabase) -> None:
    engine = (await fresh_database("orchestrator.migrations")).engine
    store, reports = Store(engine, OrchestratorMetrics()), ReportStore(engine)
    midnight = datetime(2026, 11, 20, tzinfo=UTC)
    await an_order(store, Status.FULFILLED, midnight)
    last_moment = midnight + timedelta(days=1, microseconds=-1)
    await an_order(store, Status.PARTIALLY_FULFILLED, last_moment, units=1, total=900)
    await an_order(store, Status.FULFILLED, NOON, currency="USD", total=7)
    await an_order(store, Status.REJECTED, NOON)
    await an_order(store, Status.CANCELLED, NOON, total=None, units=None)
    await an_order(store, Status.BOOKING, NOON)
    await an_order(store, Status.FULFILLED, midnight - timedelta(microseconds=1))
    await an_order(store, Status.FULFILLED, midnight + timedelta(days=1))
    document = await reports.make(date(2026, 11, 20))
    assert document == {
        "date": "2026-11-20",
        "orders": {"cancelled": 1, "fulfilled": 2, "partially_fulfilled": 1, "rejected": 1},
        "sales": {
            "EUR": {"orders": 2, "units": 3, "total": 3400},
            "USD": {"orders": 1, "units": 2, "total": 7},
        },
    }
    assert await reports.make(date(2026, 11, 20)) == document
    assert len(await reports.newest(None, 10)) == 1
    assert await reports.make(date(2026, 11, 18)) == {"date": "2026-11-18", "orders": {}, "sales": {}}


@pytest_asyncio.fixture(loop_scope="session")
async def clerk(
    fresh_database: FreshDatabase, dev_server: WorkflowEnvironment
) -> AsyncIterator[tuple[Client, ReportStore]]:
    database = await fresh_database("orchestrator.migrations")
    engine = database.engine
    await an_order(Store(engine, OrchestratorMetrics()), Status.FULFILLED, NOON)
    reporting = Reporting(engine, a_settings(database))
    async with Worker(
        dev_server.client,
        task_queue=contract.TASK_QUEUE,
        workflows=[ReportSales],
        activities=[*reporting.activities.all()],
    ):
        yield dev_server.client, ReportStore(engine)


async def test_a_backfill_writes_the_report_of_each_of_its_days(clerk: tuple[Client, ReportStore]) -> None:
    client, reports = clerk
    schedule = replace(DAILY_SALES_REPORT, id=f"daily-sales-report-{uuid.uuid4().hex}")
    await apply(client, [schedule])
    handle = client.get_schedule_handle(schedule.id)
    # What the clock would have it start is no part of this.
    await handle.pause()
    begin = datetime(2026, 11, 20, 8, tzinfo=UTC)
    for times in (1, 2):
        await handle.backfill(ScheduleBackfill(start_at=begin, end_at=begin + timedelta(days=2)))

        async def written(actions: int = 2 * times) -> bool:
            return (await handle.describe()).info.num_actions == actions and len(await reports.newest(None, 10)) == 2

        await eventually(written)
    found = await reports.newest(None, 10)
    assert [row["date"].isoformat() for row in found] == ["2026-11-20", "2026-11-19"]
    assert [row["document"]["orders"] for row in found] == [{"fulfilled": 1}, {}]
    description = (await handle.describe()).schedule
    assert description.policy.catchup_window == timedelta(days=7)
    await handle.delete()


async def test_a_report_that_nobody_scheduled_is_of_yesterday(clerk: tuple[Client, ReportStore]) -> None:
    client, reports = clerk
    handle = await client.start_workflow(
        ReportSales.run, id=f"report:{uuid.uuid4().hex}", task_queue=contract.TASK_QUEUE
    )
    day = await handle.result()
    started = (await handle.describe()).start_time
    assert day.date == (started - timedelta(days=1)).date().isoformat()
    assert await reports.get(date.fromisoformat(day.date)) is not None
    if to_record("reported"):
        await keep("reported", handle)


def test_the_service_has_the_schedule_at_nine_in_the_morning() -> None:
    assert DAILY_SALES_REPORT.cron == "0 9 * * *"
    assert DAILY_SALES_REPORT in Reporting.schedules


async def test_reports_are_read_by_operators(fresh_database: FreshDatabase) -> None:
    database = await fresh_database("orchestrator.migrations")
    reports = ReportStore(database.engine)
    for day in range(1, 6):
        await reports.make(date(2026, 11, day))
    service = compose(a_settings(database), Connection("orchestrator"))
    app = service.app()
    app[HEALTH].storing = True
    operator = {"Authorization": f"Bearer {TOKEN}"}
    async with serve_app(app) as url, aiohttp.ClientSession(headers=operator) as http:

        async def get(path: str) -> tuple[int, Any]:
            async with http.get(url + path) as response:
                return response.status, await response.json(content_type=None)

        status, report = await get("/reports/sales/2026-11-03")
        assert (status, report["date"], report["orders"]) == (200, "2026-11-03", {})
        assert datetime.fromisoformat(report["made_at"]).tzinfo is not None
        for missing in ("2026-10-01", "yesterday", "20261103", "2026-11-99"):
            assert (await get(f"/reports/sales/{missing}"))[0] == 404
        seen: list[str] = []
        after: str | None = ""
        while after is not None:
            _, page = await get(f"/reports/sales?limit=2&after={after}")
            seen += [item["date"] for item in page["items"]]
            after = page["next"]
        assert seen == [f"2026-11-0{day}" for day in (5, 4, 3, 2, 1)]
        assert (await get("/reports/sales?after=x"))[0] == 400
    async with serve_app(app) as url, aiohttp.ClientSession() as http, http.get(url + "/reports/sales") as response:
        assert response.status == 401
    await service.database.close()
