"""What orders cost in CPU seconds, as benchmarks measure it."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import aiohttp
import psutil
import pytest
from aiohttp import web

from chassis.testing.serving import serve_app
from waybill.bench import telemetry_contests, twin_contests
from waybill.bench.harness import BenchError
from waybill.demo.shop import Shop
from waybill.stack.plan import SERVICES


async def ended() -> psutil.Process:
    """A process that was there a moment ago."""
    child = await asyncio.create_subprocess_exec(sys.executable, "-c", "input()", stdin=asyncio.subprocess.PIPE)
    known = psutil.Process(child.pid)
    child.kill()
    await child.wait()
    return known


async def test_a_connection_of_the_database_that_ends_meanwhile_ends_no_benchmark(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gone = await ended()
    monkeypatch.setattr(psutil.Process, "children", lambda _, recursive: [gone])

    async def place() -> None:
        """Take no time."""

    run = await twin_contests.Side(place, lambda: {"postgres": os.getpid()}, settle_seconds=0).run(1)
    assert run.cpu["postgres"] >= 0


class Day:
    """Notes what happens in a run, in its order. Orders end as soon as they are placed."""

    def __init__(self) -> None:
        self.happened: list[str] = []

    def side(self, shop: Shop) -> telemetry_contests.Side:
        return telemetry_contests.Side(self.look, shop, self.note("scraped"), self.note("settled"))

    def look(self, names: Sequence[str]) -> dict[str, int]:
        self.happened.append("looked")
        return {name: os.getpid() for name in names}

    def note(self, what: str) -> Callable[[], Awaitable[None]]:
        async def happen() -> None:
            self.happened.append(what)

        return happen

    @asynccontextmanager
    async def shop(self) -> AsyncIterator[Shop]:
        async def place(_: web.Request) -> web.Response:
            self.happened.append("placed")
            return web.json_response({}, status=202)

        async def tell(_: web.Request) -> web.Response:
            return web.json_response({"status": "fulfilled"})

        async def take(_: web.Request) -> web.Response:
            return web.json_response({})

        app = web.Application()
        app.add_routes(
            [web.post("/orders", place), web.get("/orders/{order_id}", tell), web.route("*", "/{any:.*}", take)]
        )
        async with serve_app(app) as base, aiohttp.ClientSession() as session:
            yield Shop(session, dict.fromkeys(SERVICES, base), "operator-token")


async def test_a_run_is_scraped_twice_and_counts_what_its_orders_leave_behind() -> None:
    day = Day()
    async with day.shop() as shop:
        assert await day.side(shop).cpu_of_an_order(["shipping"]) >= 0
    orders = ["placed"] * telemetry_contests.ORDERS
    assert day.happened == ["looked", "scraped", *orders, "scraped", "settled", "looked"]


async def test_what_the_warm_up_leaves_behind_is_not_counted() -> None:
    day = Day()
    async with day.shop() as shop:
        await day.side(shop).warm_up()
    assert day.happened == ["placed"] * telemetry_contests.WARM_UP + ["settled"]


def test_spans_that_wait_are_sent_before_the_second_look() -> None:
    for variables in telemetry_contests.traced(telemetry_contests.Sink()).values():
        assert int(variables["OTEL_BSP_SCHEDULE_DELAY"]) / 1000 < telemetry_contests.SETTLE_SECONDS


async def test_metrics_that_cannot_be_scraped_are_an_error() -> None:
    async def refuse(_: web.Request) -> web.Response:
        return web.Response(status=503)

    app = web.Application()
    app.add_routes([web.get("/metrics", refuse)])
    async with aiohttp.ClientSession() as session:
        async with serve_app(app) as base:
            with pytest.raises(BenchError, match=f"^{base}/metrics answers 503$"):
                await telemetry_contests.scrape(session, [base])
        with pytest.raises(BenchError, match=f"^{base}/metrics does not answer: .+"):
            await telemetry_contests.scrape(session, [base])
