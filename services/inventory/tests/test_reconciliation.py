import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest
from sqlalchemy import text
from temporalio.client import Client, WorkflowHandle

from chassis import schedules
from chassis.database import Database
from chassis.service import Service
from chassis.testing.waiting import eventually
from inventory import contract
from inventory.contract import Line, ReserveRequest
from inventory.jobs import Reconciled
from inventory.metrics import InventoryMetrics
from inventory.reconciling import Reconciler
from inventory.store import Store
from inventory.workflows.reconcile_stock import ReconcileStock

Stocked = Callable[..., Awaitable[str]]
Record = Callable[[WorkflowHandle[Any, Any], str], Awaitable[None]]


def metric(service: Service, name: str) -> float:
    value = service.registry.get_sample_value(name)
    assert value is not None
    return value


async def bypass(database: Database, statement: str, **values: Any) -> None:
    """Change stock as no program of ours can: with the triggers switched off."""
    async with database.engine.begin() as connection:
        await connection.execute(text("ALTER TABLE stock DISABLE TRIGGER USER"))
        await connection.execute(text(statement), values)
        await connection.execute(text("ALTER TABLE stock ENABLE TRIGGER USER"))


async def check(client: Client) -> WorkflowHandle[Any, Reconciled]:
    return await client.start_workflow(
        ReconcileStock.run, id=f"reconcile-{uuid.uuid4()}", task_queue=contract.TASK_QUEUE
    )


async def test_stock_that_is_right_makes_a_clean_report(
    client: Client, http: aiohttp.ClientSession, stocked: Stocked, store: Store, service: Service, record: Record
) -> None:
    async with http.get("/reconciliations/latest") as answer:
        assert answer.status == 404
    sku = await stocked(east=5, west=2)
    await store.reserve(ReserveRequest(uuid.uuid4().hex, "EUR", (Line(sku, 3),)))
    handle = await check(client)
    assert await handle.result() == Reconciled(shelves=2, violations=0)
    async with http.get("/reconciliations/latest") as answer:
        report = await answer.json()
    assert (report["shelves"], report["violations"], report["items"]) == (2, 0, [])
    assert metric(service, "inventory_stock_violations") == 0
    await record(handle, "reconcile_stock")


async def test_units_from_nowhere_and_holds_of_nobody_are_found_reported_and_counted(
    client: Client,
    http: aiohttp.ClientSession,
    service: Service,
    stocked: Stocked,
    database: Database,
    caplog: pytest.LogCaptureFixture,
) -> None:
    more, held, right = await stocked(east=5), await stocked(east=5), await stocked(east=5)
    await bypass(database, "UPDATE stock SET on_hand = on_hand + 1 WHERE sku = :sku", sku=more)
    await bypass(database, "UPDATE stock SET held = 2 WHERE sku = :sku", sku=held)
    with caplog.at_level(logging.ERROR, "inventory.reconciling"):
        assert await (await check(client)).result() == Reconciled(shelves=3, violations=2)
    assert "2 of 3 shelves" in caplog.text
    async with http.get("/reconciliations/latest") as answer:
        items = {item["sku"]: item for item in (await answer.json())["items"]}
    assert set(items) == {more, held}
    assert right not in items
    assert (items[more]["on_hand"], items[more]["moved"]) == (6, 5)
    assert (items[held]["held"], items[held]["lines"]) == (2, 0)
    assert metric(service, "inventory_stock_violations") == 2
    assert metric(service, "inventory_stock_reconciled_timestamp_seconds") > 0


async def test_a_replica_shows_the_report_of_another(service: Service, stocked: Stocked, database: Database) -> None:
    sku = await stocked(east=5)
    await bypass(database, "UPDATE stock SET on_hand = on_hand + 1 WHERE sku = :sku", sku=sku)
    async with database.engine.begin() as connection:
        await connection.execute(
            text("INSERT INTO reconciliations (key, shelves, violations, items) VALUES ('elsewhere', 9, 7, '[]')")
        )
    _, show = service.background
    showing = asyncio.create_task(show(service.connection))
    await eventually(lambda: metric(service, "inventory_stock_violations") == 7)
    # What somebody moved behind the books' back is in stock all the same.
    labels = [{"state": state} for state in ("on_hand", "held")]
    await eventually(lambda: [service.registry.get_sample_value("stock_units", each) for each in labels] == [6, 0])
    showing.cancel()
    await asyncio.gather(showing, return_exceptions=True)


async def test_a_repeat_of_a_check_keeps_the_first_report(stocked: Stocked, database: Database) -> None:
    reconciler = Reconciler(database.engine, InventoryMetrics())
    await stocked(east=5)
    assert await reconciler.reconcile("once") == Reconciled(1, 0)
    await stocked(east=5)
    assert await reconciler.reconcile("once") == Reconciled(1, 0)
    assert await reconciler.reconcile("twice") == Reconciled(2, 0)


async def test_only_operators_read_reports(http: aiohttp.ClientSession) -> None:
    async with http.get("/reconciliations/latest", headers={"Authorization": "Bearer wrong"}) as answer:
        assert answer.status == 401


async def test_the_schedule_checks_again_and_again(client: Client, service: Service, database: Database) -> None:
    [schedule] = [each for each in service.schedules if each.id == "reconcile-stock"]
    await schedules.apply(client, [schedule])

    async def twice() -> bool:
        async with database.engine.connect() as connection:
            found = await connection.execute(text("SELECT count(*) FROM reconciliations"))
            return bool(found.scalar_one() >= 2)

    try:
        await eventually(twice)
    finally:
        await client.get_schedule_handle(schedule.id).delete()
