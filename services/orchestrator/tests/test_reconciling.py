"""Orders whose workflow was ended from outside, on a real server."""

import uuid

import pytest
from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment

from chassis.connection import Connection
from chassis.testing.fixtures import FreshDatabase
from orchestrator import contract
from orchestrator.contract import Status
from orchestrator.metrics import OrchestratorMetrics
from orchestrator.reconciling import LOST, Reconciling
from orchestrator.store import Store


async def accept(store: Store, order_id: str) -> None:
    lines = [{"sku": "TEA-250", "quantity": 2}]
    await store.accept(order_id, "d", {"order_id": order_id, "currency": "EUR", "lines": lines})
    await store.mark_started(order_id)


async def start(client: Client, order_id: str) -> None:
    """On a queue that nobody polls: it stays where it is."""
    await client.start_workflow(
        "orchestrator.FulfilOrder", id=contract.fulfil_id(order_id), task_queue=f"nobody-{order_id}"
    )


async def test_an_order_whose_workflow_was_ended_from_outside_becomes_failed_and_no_other(
    fresh_database: FreshDatabase, dev_server: WorkflowEnvironment, caplog: pytest.LogCaptureFixture
) -> None:
    metrics, client = OrchestratorMetrics(), dev_server.client
    store = Store((await fresh_database("orchestrator.migrations")).engine, metrics)
    connection = Connection("orchestrator")
    connection.use(client)
    mark = uuid.uuid4().hex[:8]
    terminated, gone, running = f"terminated-{mark}", f"gone-{mark}", f"running-{mark}"
    for order_id in (terminated, gone, running):
        await accept(store, order_id)
    await start(client, terminated)
    await start(client, running)
    await client.get_workflow_handle(contract.fulfil_id(terminated)).terminate()
    assert await Reconciling(store).turn(connection, 0) == 0
    assert [row["status"] for row in await store.newest(Status.FAILED, None, 10)] == []
    await Reconciling(store, silent_seconds=0).turn(connection, 0)
    failed = {row["order_id"]: row for row in await store.newest(Status.FAILED, None, 10)}
    assert set(failed) == {terminated, gone}
    assert {row["reason"] for row in failed.values()} == {LOST}
    assert "terminated" in failed[terminated]["detail"]
    labels = {"outcome": "failed", "reason": LOST}
    assert metrics.registry.get_sample_value("orders_finished_total", labels) == 2
    assert [record.levelname for record in caplog.records if "ended without a word" in record.getMessage()] == [
        "ERROR",
        "ERROR",
    ]
    await client.get_workflow_handle(contract.fulfil_id(running)).terminate()
