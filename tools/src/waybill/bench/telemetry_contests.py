"""What telemetry costs, and what a collector that is not as it should be costs an order."""

import asyncio
import contextlib
import statistics
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import aiohttp
import psutil  # type: ignore[import-untyped]  # its types are a package of their own
from aiohttp import web

from chassis.testing.ports import free_ports
from waybill.bench.harness import Contest, Figure, Group
from waybill.bench.orders import order
from waybill.demo.shop import Shop
from waybill.stack import Stack
from waybill.stack.plan import SERVICES

COST, WORKERS = "telemetry_cost", "telemetry_cost_services"
FAULTS = ("telemetry_collector_absent", "telemetry_collector_slow", "telemetry_collector_500")
ORDERS = 40
AT_ONCE = 4
CUSTOMER_SECONDS = 1.0
"""How often a customer looks at an order, where its CPU counts. Looking often would cost more than the order."""
WARM_UP = 12
SERIAL = 12
"""Orders one after the other, for the time that one takes."""
STOCK = 100_000
SCRAPE_SECONDS = 15
"""As the scrape configuration says."""
SLOW_SECONDS = 60
"""Longer than an exporter waits."""
PROCESSES = (*SERVICES, "sandbox")


class Sink:
    """Takes spans as a collector does, or does not."""

    def __init__(self) -> None:
        """Nobody listens yet."""
        self._mode = "well"
        [self._port] = free_ports(1)
        self._app = web.Application(client_max_size=64 * 1024 * 1024)
        self._app.add_routes([web.post("/v1/traces", self._take)])
        self._runner = web.AppRunner(self._app, shutdown_timeout=0.1)
        self._site: web.TCPSite | None = None

    @property
    def url(self) -> str:
        """The OTLP endpoint."""
        return f"http://127.0.0.1:{self._port}"

    async def become(self, mode: str) -> None:
        """Answer from now on as ``well``, ``slow`` or ``500`` says; ``absent`` does not listen."""
        self._mode = mode
        if mode == "absent" and self._site is not None:
            await self._site.stop()
            self._site = None
        if mode != "absent" and self._site is None:
            self._site = web.TCPSite(self._runner, "127.0.0.1", self._port)
            await self._site.start()

    async def open(self) -> None:
        """Begin to take."""
        await self._runner.setup()
        await self.become("well")

    async def close(self) -> None:
        """Take nothing more."""
        await self._runner.cleanup()

    async def _take(self, request: web.Request) -> web.Response:
        await request.read()
        if self._mode == "slow":
            await asyncio.sleep(SLOW_SECONDS)
        return web.Response(status=500 if self._mode == "500" else 200)


class Side:
    """One stack, and what orders on it cost."""

    def __init__(self, stack: Stack, shop: Shop) -> None:
        """Take what runs already."""
        self._stack = stack
        self._shop = shop

    def url(self, service: str) -> str:
        """Base URL of a service."""
        return self._stack.urls[service]

    async def cpu_of_an_order(self, names: Sequence[str]) -> float:
        """CPU seconds that an order takes in some processes, several orders at a time."""
        before = self._cpu(names)
        slots = asyncio.Semaphore(AT_ONCE)

        async def one() -> None:
            async with slots:
                await order(self._shop, uuid.uuid4().hex, look_seconds=CUSTOMER_SECONDS)

        await asyncio.gather(*(one() for _ in range(ORDERS)))
        return (self._cpu(names) - before) / ORDERS

    async def seconds_of_an_order(self) -> float:
        """How long an order takes that is alone: the median of some."""
        return statistics.median([await order(self._shop, uuid.uuid4().hex) for _ in range(SERIAL)])

    async def warm_up(self) -> None:
        """Fill pools and caches."""
        run = uuid.uuid4().hex[:12]
        await self._shop.stock_up(run)
        await self._shop.stock("TEA-250", "north", STOCK, f"{run}-more")
        for _ in range(WARM_UP):
            await order(self._shop, uuid.uuid4().hex)

    def _cpu(self, names: Sequence[str]) -> float:
        times = [psutil.Process(self._stack.pids[name]).cpu_times() for name in names]
        return float(sum(each.user + each.system for each in times))


def _off() -> dict[str, dict[str, str]]:
    """Variables without telemetry: no spans, no line for each request."""
    env = {name: {f"{name.upper()}_LOG_LEVEL": "WARNING"} for name in PROCESSES}
    # Parcels that are delivered meanwhile would be other orders' cost.
    env["sandbox"]["SANDBOX_DELIVERY_SECONDS"] = "3600"
    return env


def _on(sink: Sink) -> dict[str, dict[str, str]]:
    """Variables with all telemetry: every trace is sampled and sent."""
    env = {name: {"OTEL_EXPORTER_OTLP_ENDPOINT": sink.url} for name in PROCESSES}
    env["sandbox"]["SANDBOX_DELIVERY_SECONDS"] = "3600"
    return env


@asynccontextmanager
async def _side(folder: Path, env: dict[str, dict[str, str]], session: aiohttp.ClientSession) -> AsyncIterator[Side]:
    async with Stack(folder, env=env) as stack:
        side = Side(stack, Shop(session, stack.urls, stack.operator_token))
        await side.warm_up()
        yield side
        stack.hurry()


@asynccontextmanager
async def _scraped(session: aiohttp.ClientSession, stack_urls: Sequence[str]) -> AsyncIterator[None]:
    """Ask for all metrics as often as Prometheus does, and throw the answer away."""

    async def scrape() -> None:
        while True:
            for url in stack_urls:
                async with session.get(f"{url}/metrics") as response:
                    await response.read()
            await asyncio.sleep(SCRAPE_SECONDS)

    task = asyncio.create_task(scrape())
    yield
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


@asynccontextmanager
async def setting() -> AsyncIterator[Sequence[Contest]]:
    """Two stacks side by side, one with all telemetry and one without."""
    sink = Sink()
    await sink.open()
    try:
        with TemporaryDirectory(prefix="waybill-bench-") as folder:
            async with (
                aiohttp.ClientSession() as session,
                _side(Path(folder) / "off", _off(), session) as off,
                _side(Path(folder) / "on", _on(sink), session) as on,
                _scraped(session, [on.url(name) for name in SERVICES]),
            ):
                yield _contests(sink, on, off)
    finally:
        await sink.close()


def _contests(sink: Sink, on: Side, off: Side) -> list[Contest]:
    everything = (*PROCESSES, "temporal")
    cost = [
        Contest(
            name,
            "CPU s/order",
            _cpu(on, names),
            _cpu(off, names),
            f"CPU of an order, {what}, with all telemetry against none; 1.10 or less",
        )
        for name, names, what in ((COST, everything, "Temporal included"), (WORKERS, SERVICES, "the services alone"))
    ]
    faults = [
        Contest(
            name,
            "s",
            _latency(sink, on, name.rpartition("_")[2]),
            _latency(sink, on, "well"),
            f"an order with a collector that is {name.rpartition('_')[2]}, against one that is well; 1.05 or less",
        )
        for name in FAULTS
    ]
    return cost + faults


def _cpu(side: Side, names: Sequence[str]) -> Figure:
    return lambda: side.cpu_of_an_order(names)


def _latency(sink: Sink, side: Side, mode: str) -> Figure:
    async def measure() -> float:
        await sink.become(mode)
        return await side.seconds_of_an_order()

    return measure


GROUP = Group((COST, WORKERS, *FAULTS), setting)
