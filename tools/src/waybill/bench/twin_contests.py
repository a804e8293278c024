"""What an order of Waybill costs beside its bare twin, on one Temporal server."""

import asyncio
import statistics
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import aiohttp
import psutil
from temporalio.client import Client, WorkflowHandle
from temporalio.service import RPCError, RPCStatusCode

from chassis.testing.waiting import eventually
from waybill.bench import twin
from waybill.bench.harness import BenchError, Contest, Figure, Group, Shared
from waybill.bench.orders import place
from waybill.bench.process import pids_of, worker
from waybill.bench.telemetry_contests import STOCK, Sink
from waybill.demo.shop import Shop
from waybill.load.machine import use
from waybill.stack import Stack
from waybill.stack.plan import NAMESPACE, SERVICES

CPU, CPU_CORE, RATE, LATENCY = (
    "order_cpu_vs_twin",
    "order_cpu_vs_twin_workers_and_server",
    "order_rate_vs_twin",
    "order_latency_vs_twin",
)
EVENTS, SEPARATION = "events_per_order", "separation_cost"
LINEAR = "cost_linear"
ORDERS = 50
IN_FLIGHT = 10
WARM_UP = 50
FEW, MANY = 100, 500
STORES = ("postgres", "sandbox")
"""What the twin has nothing like."""
OURS = (*SERVICES, "temporal", *STORES)
"""Processes that an order takes."""
PATIENCE_SECONDS = 60
"""How long a parcel's tracking may take to begin."""
SETTLE_SECONDS = 1.0
"""After the last order, for what it leaves behind to begin."""


@dataclass(frozen=True)
class Run:
    """What a number of orders took.

    Attributes:
        cpu: CPU seconds of an order, by process.
        rate: Orders a second.
        latency: Median seconds of an order, from its start to its last state.
    """

    cpu: Mapping[str, float]
    rate: float
    latency: float

    @property
    def all_cpu(self) -> float:
        """CPU seconds of an order, over all processes."""
        return sum(self.cpu.values())

    def cpu_without(self, *names: str) -> float:
        """The same without some processes."""
        return sum(seconds for name, seconds in self.cpu.items() if name not in names)


Place = Callable[[], Awaitable[None]]


class Side:
    """A way to place orders, and the processes that it takes."""

    def __init__(
        self, place: Place, pids: Callable[[], Mapping[str, int]], settle_seconds: float = SETTLE_SECONDS
    ) -> None:
        """Take what runs already.

        Args:
            place: Places one order and waits for its end.
            pids: Of the processes, by name. Those that they start count as theirs.
            settle_seconds: After the last order of a run.
        """
        self._place = place
        self._pids = pids
        self._settle_seconds = settle_seconds

    async def run(self, orders: int = ORDERS) -> Run:
        """Place orders, some at a time, and measure."""
        before, began = self._cpu(), time.perf_counter()
        slots, seconds = asyncio.Semaphore(IN_FLIGHT), list[float]()

        async def one() -> None:
            async with slots:
                start = time.perf_counter()
                await self._place()
                seconds.append(time.perf_counter() - start)

        await asyncio.gather(*(one() for _ in range(orders)))
        took = time.perf_counter() - began
        await asyncio.sleep(self._settle_seconds)
        after = self._cpu()
        cpu = {name: (after[name] - before[name]) / orders for name in after}
        return Run(cpu, orders / took, sorted(seconds)[orders // 2])

    async def alone(self, orders: int) -> float:
        """Median seconds of an order that has the machine to itself."""
        seconds = list[float]()
        for _ in range(orders):
            start = time.perf_counter()
            await self._place()
            seconds.append(time.perf_counter() - start)
        return statistics.median(seconds)

    def _cpu(self) -> dict[str, float]:
        return {name: use(psutil.Process(pid), family=True)[0] for name, pid in self._pids().items()}


@asynccontextmanager
async def setting() -> AsyncIterator[Sequence[Contest]]:
    """A stack with all telemetry, and the twin's four workers on the stack's own Temporal server."""
    sink = Sink()
    await sink.open()
    try:
        with TemporaryDirectory(prefix="waybill-bench-") as folder:
            async with AsyncExitStack() as open_now:
                env = {name: {"OTEL_EXPORTER_OTLP_ENDPOINT": sink.url} for name in (*SERVICES, "sandbox")}
                # Parcels that are delivered meanwhile would be other orders' cost.
                env["sandbox"]["SANDBOX_DELIVERY_SECONDS"] = "3600"
                stack = await open_now.enter_async_context(Stack(Path(folder), env=env))
                session = await open_now.enter_async_context(aiohttp.ClientSession())
                address = stack.urls["temporal"]
                client = await Client.connect(address, namespace=NAMESPACE)
                queues = f"twin-{uuid.uuid4().hex[:8]}"
                workers = {}
                for service in twin.SERVICES:
                    polling = worker("waybill.bench.twin", address, queue=f"{queues}-{service}")
                    workers[service] = (await open_now.enter_async_context(polling)).pid
                shop = Shop(session, stack.urls, stack.operator_token)
                run = uuid.uuid4().hex[:12]
                await shop.stock_up(run)
                await shop.stock("TEA-250", "north", STOCK, f"{run}-more")
                match = Match(stack, shop, client, queues, workers)
                await match.warm_up()
                yield match.contests()
                stack.hurry()
    finally:
        await sink.close()


class Match:
    """Orders, their twins, and their twins without children, on one server."""

    def __init__(self, stack: Stack, shop: Shop, client: Client, queues: str, workers: Mapping[str, int]) -> None:
        """Take what runs already.

        Args:
            stack: Waybill.
            shop: Its services.
            client: Of its Temporal server.
            queues: Prefix of the twin's queues.
            workers: Processes of the twin's workers.
        """
        self._stack, self._shop, self._client, self._queues, self._workers = stack, shop, client, queues, workers
        self._ours = Side(self._order, lambda: pids_of(stack, OURS))
        self._twin = Side(self._over_children, self._of_the_twin)
        self._alone = Side(self._in_one, self._of_the_twin)

    async def warm_up(self) -> None:
        """Fill pools and caches."""
        for side in (self._ours, self._twin, self._alone):
            await side.run(WARM_UP)

    def contests(self) -> Sequence[Contest]:
        """All of them. The first four look at the same runs."""
        ours, twins = Shared(self._ours.run), Shared(self._twin.run)

        def both(name: str, unit: str, of: Callable[[Run], float], note: str) -> Contest:
            return Contest(name, unit, ours.figure(of), twins.figure(of), note)

        cpu = "CPU s/order"
        return [
            both(CPU, cpu, lambda run: run.all_cpu, "all processes, telemetry on, against the bare twin; 1.6 or less"),
            both(CPU_CORE, cpu, lambda run: run.cpu_without(*STORES), "without database and sandbox; 1.25 or less"),
            both(RATE, "orders/s", lambda run: run.rate, "10 in flight, against the bare twin; goal 0.7 or more"),
            both(LATENCY, "s", lambda run: run.latency, "from start to last state, 10 in flight; goal 1.6 or less"),
            Contest(EVENTS, "events", self._events, self._events_of_the_twin, "of a one-parcel order; 1.15 or less"),
            Contest(SEPARATION, cpu, _cpu(self._twin), _cpu(self._alone), "over children, against one workflow"),
            Contest(LINEAR, cpu, _cpu(self._ours, MANY), _cpu(self._ours, FEW), "500 orders against 100; 1.15 or less"),
        ]

    def _of_the_twin(self) -> Mapping[str, int]:
        return {**self._workers, **pids_of(self._stack, ("temporal",))}

    async def _order(self) -> None:
        await fulfilled(self._shop, self._client)

    async def _over_children(self) -> None:
        await twin.place(self._client, self._queues)

    async def _in_one(self) -> None:
        await twin.place(self._client, self._queues, twin.Alone)

    async def _events(self) -> float:
        order_id = await fulfilled(self._shop, self._client)
        tracking = self._client.get_workflow_handle(f"track:{order_id}:1")
        # The order does not wait for it: it is counted when it waits for the parcel.
        try:
            await eventually(lambda: _waits(tracking), timeout=PATIENCE_SECONDS)
        except AssertionError:
            raise BenchError(f"{tracking.id} did not wait for its parcel within {PATIENCE_SECONDS} s") from None
        return await _count_events(self._client, _workflow_ids(order_id))

    async def _events_of_the_twin(self) -> float:
        return await _count_events(self._client, twin.workflow_ids(await twin.place(self._client, self._queues)))


def _cpu(side: Side, orders: int = ORDERS) -> Figure:
    async def measure() -> float:
        return (await side.run(orders)).all_cpu

    return measure


async def fulfilled(shop: Shop, client: Client) -> str:
    """Place one order, and wait for its workflow's end.

    Raises:
        BenchError: If it is refused, or does not end as fulfilled.
    """
    order_id = uuid.uuid4().hex
    await place(shop, order_id)
    outcome = await client.get_workflow_handle(f"fulfil:{order_id}").result()
    if outcome["status"] != "fulfilled":
        raise BenchError(f"{order_id} ended as {outcome}")
    return order_id


def _workflow_ids(order_id: str) -> list[str]:
    """Of all workflows of an order of one parcel."""
    verbs = ("fulfil", "reserve", "authorise", "plan", "commit", "capture", "follow")
    return [*(f"{verb}:{order_id}" for verb in verbs), f"book:{order_id}:1", f"track:{order_id}:1"]


async def _waits(handle: WorkflowHandle[Any, Any]) -> bool:
    """Whether a workflow is there, and the last that it did was to start a timer."""
    try:
        history = await handle.fetch_history()
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise
        return False
    return history.events[-1].HasField("timer_started_event_attributes")


async def _count_events(client: Client, ids: Sequence[str]) -> float:
    """History events of some workflows."""
    histories = [await client.get_workflow_handle(name).fetch_history() for name in ids]
    return float(sum(len(history.events) for history in histories))


GROUP = Group((CPU, CPU_CORE, RATE, LATENCY, EVENTS, SEPARATION, LINEAR), setting)
