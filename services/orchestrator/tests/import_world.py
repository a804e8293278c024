"""Imports on a real server and a real database, with orders that do what a test says."""

import asyncio
import json
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import SecretStr
from temporalio import activity, workflow
from temporalio.client import Client, WorkflowHandle
from temporalio.common import RetryPolicy
from temporalio.service import RPCError, RPCStatusCode
from temporalio.worker import Worker

from chassis.connection import Connection
from chassis.database import Database
from chassis.guard import ArgumentGuard
from orchestrator import contract
from orchestrator.contract import Status
from orchestrator.import_contract import ImportOrders, ImportRequest, ImportResult, import_id_of
from orchestrator.import_reading import Form, OrderFile
from orchestrator.importing import Importing
from orchestrator.metrics import OrchestratorMetrics
from orchestrator.settings import Settings
from orchestrator.states import State
from orchestrator.store import Store
from orchestrator.uploads import UploadStore
from orchestrator.workflows import import_orders

TOKEN = "operator-token"


@workflow.defn(name="orchestrator.FulfilOrder", sandboxed=False)
class FakeFulfilOrder:
    """Ends as its SKU says."""

    @workflow.run
    async def run(self, order: contract.Order) -> None:
        await workflow.execute_activity(
            "fake.fulfil",
            args=[order, workflow.info().run_id],
            start_to_close_timeout=timedelta(seconds=20),
            heartbeat_timeout=timedelta(seconds=3),
            retry_policy=RetryPolicy(initial_interval=timedelta(milliseconds=100), backoff_coefficient=1),
        )


@dataclass
class Orders:
    """What became of the orders that were started.

    Attributes:
        gate: Orders wait for it.
        most: How many were under way at once, at most.
    """

    store: Store
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    runs: dict[str, set[str]] = field(default_factory=dict)
    given: dict[str, contract.Order] = field(default_factory=dict)
    ended: Counter[str] = field(default_factory=Counter)
    under_way: set[str] = field(default_factory=set)
    most: int = 0

    @activity.defn(name="fake.fulfil")
    async def fulfil(self, order: contract.Order, run_id: str) -> None:
        self.runs.setdefault(order.order_id, set()).add(run_id)
        self.given[order.order_id] = order
        self.under_way.add(order.order_id)
        self.most = max(self.most, len(self.under_way))
        while not self.gate.is_set():
            activity.heartbeat()
            await asyncio.wait([waiting := asyncio.ensure_future(self.gate.wait())], timeout=0.5)
            waiting.cancel()
        sku = order.lines[0].sku
        status = {"NONE": Status.REJECTED, "ODD": Status.FAILED}.get(sku, Status.FULFILLED)
        reason = {"NONE": "out_of_stock", "ODD": "unforeseen"}.get(sku)
        await self.store.record(
            State(
                order.order_id,
                workflow_sequence(),
                status,
                datetime.now(UTC),
                "EUR",
                ((sku, 1),),
                reason,
                None if reason is None else "In plain words.",
            )
        )
        self.under_way.discard(order.order_id)
        self.ended[order.order_id] += 1


def workflow_sequence() -> int:
    return int(datetime.now(UTC).timestamp() * 1_000_000)


@dataclass
class Depot:
    """Everything that an import needs but a file."""

    client: Client
    database: Database
    settings: Settings
    importing: Importing
    uploads: UploadStore
    store: Store
    orders: Orders

    def worker(self) -> Worker:
        return Worker(
            self.client,
            task_queue=contract.TASK_QUEUE,
            workflows=[FakeFulfilOrder, import_orders.ImportOrders],
            activities=[*self.importing.activities.all(), self.orders.fulfil],
            interceptors=[ArgumentGuard()],
            max_cached_workflows=500,
        )

    async def stage(self, lines: list[str], form: Form = Form.JSON_LINES, import_id: str | None = None) -> str:
        """A whole file, as the API takes it, without a workflow."""
        import_id = import_id or f"i-{uuid.uuid4().hex[:12]}"
        file = OrderFile(form, self.settings)
        upload_id = await self.uploads.begin_upload()

        async def chunks() -> AsyncIterator[bytes]:
            yield ("\n".join(lines) + "\n").encode()

        rows = [
            {
                "line": row.line,
                "order_id": None if row.request is None else row.request["order_id"],
                "request": row.request,
                "digest": row.digest,
                "detail": row.detail,
            }
            async for row in file.rows(chunks())
        ]
        await self.uploads.stage(upload_id, rows)
        await self.uploads.accept(import_id, upload_id, file.digest, 10)
        return import_id

    async def start(self, import_id: str, **terms: Any) -> WorkflowHandle[Any, ImportResult]:
        row = await self.importing.store.get(import_id)
        assert row is not None
        await self.importing.store.mark_started(import_id)
        return await self.client.start_workflow(
            ImportOrders.run,
            ImportRequest(import_id, row["rows"], **({"window": 10} | terms)),
            id=import_id_of(import_id),
            task_queue=contract.TASK_QUEUE,
        )

    async def document(self, import_id: str) -> dict[str, Any]:
        row = await self.importing.store.get(import_id)
        assert row is not None
        return await self.importing.views.document(row)


async def send_home(client: Client) -> None:
    """End what other tests left on the server without a worker: ours would work on it, and not on its own orders."""
    async for left in client.list_workflows("ExecutionStatus = 'Running'"):
        try:
            await client.get_workflow_handle(left.id, run_id=left.run_id).terminate()
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise


@asynccontextmanager
async def a_depot(client: Client, database: Database, **terms: Any) -> AsyncIterator[Depot]:
    settings = a_settings(database, **terms)
    connection = Connection("orchestrator")
    connection.use(client)
    store = Store(database.engine, OrchestratorMetrics())
    depot = Depot(
        client,
        database,
        settings,
        Importing(database.engine, connection, settings, OrchestratorMetrics()),
        UploadStore(database.engine, OrchestratorMetrics()),
        store,
        Orders(store),
    )
    await send_home(client)
    try:
        yield depot
    finally:
        await send_home(client)


def a_settings(database: Database, **terms: Any) -> Settings:
    usual: dict[str, Any] = {
        "database_url": database.engine.url.set(drivername="postgresql").render_as_string(hide_password=False),
        "operator_token": SecretStr(TOKEN),
        "mailbox_url": "http://127.0.0.1:1",
        "import_look_seconds": 0.1,
    }
    return Settings(**(usual | terms))


def a_line(order_id: str | None = None, sku: str = "TEA-250", **terms: Any) -> str:
    body: dict[str, Any] = {
        "currency": "EUR",
        "lines": [{"sku": sku, "quantity": 2}],
        "card_token": "tok_ok",
        "address": {"name": "A", "street": "B 1", "city": "C", "postcode": "1000", "country": "NL"},
        "email": "a@example.org",
    } | terms
    return json.dumps(body if order_id is None else {"order_id": order_id} | body)


def some_lines(count: int) -> tuple[list[str], list[str]]:
    """Order ids of their own, and the lines."""
    mark = uuid.uuid4().hex[:8]
    ids = [f"o-{mark}-{number}" for number in range(1, count + 1)]
    return ids, [a_line(order_id) for order_id in ids]
