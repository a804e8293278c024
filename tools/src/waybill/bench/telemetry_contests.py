"""What telemetry costs, and what a collector that is not as it should be costs an order."""

import asyncio
import statistics
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path
from tempfile import TemporaryDirectory

import aiohttp
import psutil
from aiohttp import web

from chassis.testing.ports import free_ports
from waybill.bench.harness import BenchError, Contest, Figure, Group
from waybill.bench.orders import order
from waybill.bench.process import pids_of
from waybill.demo.shop import Shop
from waybill.load.cut import why
from waybill.load.machine import use
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
EXPORT_SECONDS = 5.0
"""How long a span may wait until it is sent: the SDK's default, said aloud since the next figure depends on it."""
SETTLE_SECONDS = EXPORT_SECONDS + 1.0
"""After the last order, on both sides: to send the spans that wait is part of what an order costs, and takes a little.
There is nothing to ask instead: a service tells how many spans it sent, not how many wait."""
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


Pids = Callable[[Sequence[str]], Mapping[str, int]]
Step = Callable[[], Awaitable[None]]


async def settled() -> None:
    """Wait until spans that waited are sent."""
    await asyncio.sleep(SETTLE_SECONDS)


class Side:
    """One stack, and what orders on it cost."""

    def __init__(self, pids: Pids, shop: Shop, scrape: Step, settle: Step = settled) -> None:
        """Take what runs already.

        Args:
            pids: Of processes, by name.
            shop: The services.
            scrape: Asks for all metrics. Twice a run, however long it takes: Prometheus comes every 15 s, which would
                be now once and now twice.
            settle: Waits for what orders leave behind.
        """
        self._pids = pids
        self._shop = shop
        self._scrape = scrape
        self._settle = settle

    async def cpu_of_an_order(self, names: Sequence[str]) -> float:
        """CPU seconds that an order takes in some processes, several orders at a time."""
        before = self._cpu(names)
        slots = asyncio.Semaphore(AT_ONCE)

        async def one() -> None:
            async with slots:
                await order(self._shop, uuid.uuid4().hex, look_seconds=CUSTOMER_SECONDS)

        await self._scrape()
        await asyncio.gather(*(one() for _ in range(ORDERS)))
        await self._scrape()
        await self._settle()
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
        await self._settle()

    def _cpu(self, names: Sequence[str]) -> float:
        return sum(use(psutil.Process(pid), family=False)[0] for pid in self._pids(names).values())


async def scrape(session: aiohttp.ClientSession, urls: Iterable[str]) -> None:
    """Ask for all metrics, and throw the answers away.

    Args:
        session: To ask with.
        urls: Base URLs of services.

    Raises:
        BenchError: If one does not answer: what is measured would be less than what it is said to be.
    """
    for url in urls:
        try:
            async with session.get(f"{url}/metrics") as response:
                await response.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise BenchError(f"{url}/metrics does not answer: {why(error)}") from error
        if response.status != HTTPStatus.OK:
            raise BenchError(f"{url}/metrics answers {response.status}")


def _off() -> dict[str, dict[str, str]]:
    """Variables without telemetry: no spans, no line for each request."""
    env = {name: {f"{name.upper()}_LOG_LEVEL": "WARNING"} for name in PROCESSES}
    # Parcels that are delivered meanwhile would be other orders' cost.
    env["sandbox"]["SANDBOX_DELIVERY_SECONDS"] = "3600"
    return env


def traced(sink: Sink) -> dict[str, dict[str, str]]:
    """Variables with all telemetry: every trace is sampled and sent.

    Args:
        sink: Takes them.

    Returns:
        By process.
    """
    delay = str(round(EXPORT_SECONDS * 1000))
    env = {name: {"OTEL_EXPORTER_OTLP_ENDPOINT": sink.url, "OTEL_BSP_SCHEDULE_DELAY": delay} for name in PROCESSES}
    env["sandbox"]["SANDBOX_DELIVERY_SECONDS"] = "3600"
    return env


@asynccontextmanager
async def _side(
    folder: Path, env: dict[str, dict[str, str]], session: aiohttp.ClientSession, scraped: Sequence[str] = ()
) -> AsyncIterator[Side]:
    async with Stack(folder, env=env) as stack:
        shop = Shop(session, stack.urls, stack.operator_token)
        urls = [stack.urls[name] for name in scraped]
        side = Side(lambda names: pids_of(stack, names), shop, lambda: scrape(session, urls))
        await side.warm_up()
        yield side
        stack.hurry()


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
                _side(Path(folder) / "on", traced(sink), session, SERVICES) as on,
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
