"""Orders that a benchmark places, and orders that it waits for."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web
from temporalio import workflow
from temporalio.client import Client
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from chassis.testing.serving import serve_app
from waybill.bench import interactive_contests, orders
from waybill.bench.harness import BenchError
from waybill.bench.interactive_contests import WAITING, until_waiting
from waybill.bench.orders import order
from waybill.bench.sides import Server, serving
from waybill.demo.shop import Shop
from waybill.stack.plan import NAMESPACE


@asynccontextmanager
async def shop(taken: int, document: dict[str, Any] | None) -> AsyncIterator[Shop]:
    """A shop that answers every order alike, and tells the same of each."""

    async def place(_: web.Request) -> web.Response:
        return web.json_response({"title": "so it is"}, status=taken)

    async def tell(_: web.Request) -> web.Response:
        return web.json_response(document or {}, status=200 if document else 404)

    app = web.Application()
    app.add_routes([web.post("/orders", place), web.get("/orders/{order_id}", tell)])
    async with serve_app(app) as base, aiohttp.ClientSession() as session:
        yield Shop(session, {"orchestrator": base}, "operator-token")


async def test_an_order_takes_the_seconds_until_it_is_fulfilled() -> None:
    async with shop(202, {"status": "fulfilled"}) as served:
        assert await order(served, "one") > 0


async def test_an_order_that_is_refused_is_not_waited_for() -> None:
    async with shop(409, None) as served:
        with pytest.raises(BenchError, match=r"the order one is answered 409: .*so it is"):
            await order(served, "one")


async def test_an_order_that_ends_otherwise_is_an_error() -> None:
    async with shop(202, {"status": "rejected", "reason": "no_stock", "detail": "none left"}) as served:
        with pytest.raises(BenchError, match="one ended as rejected: no_stock, none left"):
            await order(served, "one")


@pytest.mark.parametrize("document", [None, {"status": "reserving"}])
async def test_an_order_that_does_not_end_is_given_up(
    monkeypatch: pytest.MonkeyPatch, document: dict[str, Any] | None
) -> None:
    monkeypatch.setattr(orders, "PATIENCE_SECONDS", 0.2)
    async with shop(202, document) as served:
        with pytest.raises(BenchError, match=r"one did not end within 0\.2 s"):
            await order(served, "one")


@workflow.defn(name="bench.TestImport")
class Importing:
    """Says how many orders wait, and ends when it is told to."""

    def __init__(self) -> None:
        self._running = 0
        self._over = False

    @workflow.run
    async def run(self, running: int) -> None:
        self._running = running
        await workflow.wait_condition(lambda: self._over)

    @workflow.signal
    def end(self) -> None:
        self._over = True

    @workflow.query
    def state(self) -> dict[str, int]:
        return {"running": self._running}


@pytest_asyncio.fixture
async def temporal(tmp_path: Path) -> AsyncIterator[Client]:
    """A server, with a worker that answers for imports."""
    async with serving(tmp_path, Server()) as server:
        client = await Client.connect(server.address, namespace=NAMESPACE)
        async with Worker(
            client, task_queue="imports", workflows=[Importing], workflow_runner=UnsandboxedWorkflowRunner()
        ):
            yield client


async def test_an_import_is_waited_for_until_enough_orders_wait_or_until_it_can_be_no_more(
    temporal: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def begin(name: str, running: int) -> None:
        await temporal.start_workflow(
            Importing.run, running, id=name, task_queue="imports", execution_timeout=timedelta(minutes=1)
        )

    await begin("enough", WAITING)
    await until_waiting(temporal.get_workflow_handle("enough"))

    await begin("ended", WAITING - 1)
    handle = temporal.get_workflow_handle("ended")
    await handle.signal(Importing.end)
    with pytest.raises(BenchError, match=f"ended ended as completed before {WAITING} of its orders waited"):
        await until_waiting(handle)

    monkeypatch.setattr(interactive_contests, "PATIENCE_SECONDS", 0.5)
    await begin("few", WAITING - 1)
    for name in ("few", "never begun"):
        with pytest.raises(BenchError, match=rf"{name}: {WAITING} orders did not wait within 0\.5 s"):
            await until_waiting(temporal.get_workflow_handle(name))
