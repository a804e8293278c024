"""The intake's loop, with rows that are none and a Temporal that refuses."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest
from sqlalchemy import update
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode
from temporalio.testing import WorkflowEnvironment

from chassis import trace_context
from chassis.connection import Connection
from chassis.testing.fixtures import FreshDatabase
from chassis.testing.waiting import eventually
from orchestrator import contract
from orchestrator.contract import Status
from orchestrator.intake import UNREADABLE, Intake
from orchestrator.metrics import OrchestratorMetrics
from orchestrator.store import Store
from orchestrator.tables import orders


def a_request(order_id: str, **terms: Any) -> dict[str, Any]:
    return {
        "order_id": order_id,
        "currency": "EUR",
        "lines": [{"sku": "TEA-250", "quantity": 2}],
        "card_token": "tok_ok",
        "address": {"name": "A", "street": "B 1", "city": "C", "postcode": "1000", "country": "NL"},
        "email": "a@example.org",
    } | terms


@asynccontextmanager
async def running(intake: Intake, connection: Connection) -> AsyncIterator["asyncio.Task[Any]"]:
    loop = asyncio.create_task(intake.run(connection))
    yield loop
    loop.cancel()
    await asyncio.wait([loop])


async def test_a_row_that_is_no_order_fails_and_the_others_are_started(
    fresh_database: FreshDatabase, dev_server: WorkflowEnvironment
) -> None:
    store = Store((await fresh_database("orchestrator.migrations")).engine, OrchestratorMetrics())
    connection = Connection("orchestrator")
    connection.use(dev_server.client)
    mark = uuid.uuid4().hex[:8]
    bad: dict[str, dict[str, Any]] = {
        f"bad-1-{mark}": {"currency": 7},
        f"bad-2-{mark}": {"email": None, "address": "nowhere"},
        f"bad-3-{mark}": {"lines": [{"sku": "TEA-250", "quantity": 0}]},
    }
    for order_id, terms in bad.items():
        await store.accept(order_id, "d", a_request(order_id) | {"lines": [{"sku": "A", "quantity": 1}]})
        await spoil(store, order_id, a_request(order_id, **terms))
    good = f"good-{mark}"
    await store.accept(good, "d", a_request(good))
    intake = Intake(store, connection, start_seconds=0.1, every_seconds=0.05)
    async with running(intake, connection) as loop:

        async def started() -> bool:
            row = await store.get(good)
            return row is not None and row["started_at"] is not None

        await eventually(started)

        async def failed() -> bool:
            rows = [await store.get(order_id) for order_id in bad]
            return all(row is not None and row["status"] == Status.FAILED for row in rows)

        await eventually(failed)
        assert not loop.done()
    row = await store.get(f"bad-3-{mark}")
    assert row is not None
    assert (row["reason"], row["request"]) == (UNREADABLE, None)
    assert "quantity of TEA-250 is 0" in row["detail"]
    await dev_server.client.get_workflow_handle(contract.fulfil_id(good)).terminate()


async def spoil(store: Store, order_id: str, request: dict[str, Any]) -> None:
    async with store._engine.begin() as connection:
        await connection.execute(update(orders).where(orders.c.order_id == order_id).values(request=request))


class Refusing:
    """A Temporal that takes nothing for a reason that passes only when somebody mends it."""

    def __init__(self, status: RPCStatusCode) -> None:
        self.status = status
        self.asked = 0

    async def start_workflow(self, *_: Any, **__: Any) -> None:
        self.asked += 1
        raise RPCError("no", self.status, b"")


@pytest.mark.parametrize(
    "status", [RPCStatusCode.NOT_FOUND, RPCStatusCode.PERMISSION_DENIED, RPCStatusCode.UNAUTHENTICATED]
)
async def test_an_order_waits_also_where_temporal_refuses_us(
    fresh_database: FreshDatabase, status: RPCStatusCode, caplog: pytest.LogCaptureFixture
) -> None:
    store = Store((await fresh_database("orchestrator.migrations")).engine, OrchestratorMetrics())
    connection, temporal = Connection("orchestrator"), Refusing(status)
    connection.use(cast(Client, temporal))
    await store.accept("a", "d", a_request("a"))
    intake = Intake(store, connection, start_seconds=0.1, every_seconds=0.01)
    assert await intake.start("a", a_request("a")) is False
    assert [record.levelname for record in caplog.records if "fulfil:a waits" in record.getMessage()] == ["ERROR"]
    async with running(intake, connection):
        await eventually(lambda: temporal.asked >= 3)
    assert [row["order_id"] for row in await store.unstarted(10, 0)] == ["a"]


class Tracing(Refusing):
    """Notes which trace each start was part of."""

    def __init__(self) -> None:
        super().__init__(RPCStatusCode.UNAVAILABLE)
        self.traces: set[str] = set()

    async def start_workflow(self, *_: Any, **__: Any) -> None:
        self.traces.add((trace_context.current() or "--").split("-")[1])
        await super().start_workflow()


async def test_a_start_that_had_to_wait_is_part_of_the_requests_trace(fresh_database: FreshDatabase) -> None:
    store = Store((await fresh_database("orchestrator.migrations")).engine, OrchestratorMetrics())
    connection, temporal = Connection("orchestrator"), Tracing()
    connection.use(cast(Client, temporal))
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    with trace_context.continued(parent):
        await store.accept("a", "d", a_request("a"))
    async with running(Intake(store, connection, start_seconds=0.1, every_seconds=0.01), connection):
        await eventually(lambda: temporal.asked >= 2)
    assert temporal.traces == {"0af7651916cd43dd8448eb211c80319c"}
