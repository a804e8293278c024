"""Orders are placed once, and their ends are seen in pages rather than one by one."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from chassis.testing.ports import free_ports
from waybill.load.mix import KINDS
from waybill.load.orders import Clock, Ledger

FULFILLED = KINDS["fulfilled"]


class Orders:
    """The orchestrator's list of orders, as far as a load test sees it."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.status = 202
        self.asked = 0
        self.pages = 0

    async def place(self, request: web.Request) -> web.Response:
        self.asked += 1
        body = await request.json()
        if self.status == 503 or self.status == 202:
            now = datetime.now(UTC).isoformat()
            self.rows.append(
                {
                    "order_id": body["order_id"],
                    "status": "accepted",
                    "reason": None,
                    "created_at": now,
                    "updated_at": now,
                }
            )
        return web.json_response({}, status=self.status)

    async def list(self, request: web.Request) -> web.Response:
        self.pages += 1
        newest = list(reversed(self.rows))
        begin, limit = int(request.query.get("after", "0")), int(request.query["limit"])
        items = newest[begin : begin + limit]
        return web.json_response({"items": items, "next": str(begin + limit) if len(items) == limit else None})

    def end(self, order_id: str, status: str, reason: str | None = None, at: datetime | None = None) -> None:
        [row] = [row for row in self.rows if row["order_id"] == order_id]
        row |= {"status": status, "reason": reason, "updated_at": (at or datetime.now(UTC)).isoformat()}


@asynccontextmanager
async def ledger(orders: Orders) -> AsyncIterator[Ledger]:
    app = web.Application()
    app.add_routes([web.post("/orders", orders.place), web.get("/orders", orders.list)])
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    [port] = free_ports(1)
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        async with aiohttp.ClientSession() as session:
            yield Ledger(session, f"http://127.0.0.1:{port}", "run", Clock())
    finally:
        await runner.cleanup()


async def test_an_order_ends_when_its_row_says_so_and_counts_from_its_intended_start() -> None:
    orders = Orders()
    async with ledger(orders) as book:
        due = Clock().now() - 2.0
        await book.place(FULFILLED, "load", due)
        await book.look()
        assert book.under_way == 1
        orders.end("run-000000", "fulfilled")
        await book.look()
        [entry] = book.ended("load")
    assert book.under_way == 0
    assert entry.right
    assert entry.latency is not None
    assert entry.latency > 2.0


async def test_an_end_that_was_written_late_does_not_lie_before_the_look_that_did_not_find_it() -> None:
    orders = Orders()
    async with ledger(orders) as book:
        await book.place(FULFILLED, "load", Clock().now())
        await book.look()
        seen_open = book.entries[0].seen_open
        # The row claims a moment long ago, but nobody could have seen it then.
        orders.end("run-000000", "fulfilled", at=datetime.fromtimestamp(seen_open - 5, UTC))
        await book.look()
    assert book.entries[0].ended == seen_open


async def test_an_order_is_sent_once_also_where_the_answer_is_an_error() -> None:
    orders = Orders()
    orders.status = 500
    async with ledger(orders) as book:
        await book.place(FULFILLED, "load", Clock().now())
        await book.look()
        assert orders.asked == 1
        assert [entry.error for entry in book.entries] == ["answered 500"]
        assert [entry.order_id for entry in book.unknown()] == ["run-000000"]
        assert book.lost() == []


async def test_an_order_whose_answer_was_lost_is_known_again_by_the_list() -> None:
    orders = Orders()
    orders.status = 503  # and yet it was written down
    async with ledger(orders) as book:
        await book.place(FULFILLED, "load", Clock().now())
        await book.look()
    assert book.unknown() == []
    assert [entry.order_id for entry in book.lost()] == ["run-000000"]


async def test_an_order_that_was_refused_at_the_door_is_not_waited_for() -> None:
    orders = Orders()
    orders.status = 422
    async with ledger(orders) as book:
        await book.place(FULFILLED, "load", Clock().now())
    assert book.under_way == 0
    assert book.entries[0].error == "answered 422"


async def test_looking_takes_pages_and_no_more_of_them_than_there_is_to_see(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("waybill.load.orders.PAGE", 20)
    orders = Orders()
    async with ledger(orders) as book:
        await asyncio.gather(*(book.place(FULFILLED, "load", Clock().now()) for _ in range(50)))
        await book.look()
        assert orders.pages == 3
        for row in orders.rows:
            orders.end(row["order_id"], "rejected", "out_of_stock")
        await book.look()
        assert book.under_way == 0
        assert {entry.outcome for entry in book.entries} == {"rejected: out_of_stock"}


async def test_room_comes_when_an_order_ends() -> None:
    orders = Orders()
    async with ledger(orders) as book:
        await book.place(FULFILLED, "load", Clock().now())
        waiting = asyncio.create_task(book.room())
        await book.look()
        assert not waiting.done()
        orders.end("run-000000", "fulfilled")
        await book.look()
        await waiting
