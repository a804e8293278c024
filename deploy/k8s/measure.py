#!/usr/bin/env python3
"""How much CPU and memory a replica of each service takes: what the requests in ``base/`` come from.

Starts everything on this machine, as ``make demo`` does, and looks at the services' processes while nothing happens,
while an order comes every two seconds, and while as many orders are under way as the machine takes.

    .venv/bin/python deploy/k8s/measure.py
"""

import asyncio
import itertools
import statistics
import sys
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from tempfile import TemporaryDirectory

import aiohttp
import psutil  # type: ignore[import-untyped]  # its types are a package of their own

from chassis.testing.waiting import eventually
from waybill.demo.day import FINISHED, ORDER_SECONDS
from waybill.demo.samples import SAMPLES
from waybill.demo.shop import Shop
from waybill.stack import SERVICES, Stack

SECONDS = 40.0
"""Of each load."""
LOOK_SECONDS = 1.0
GENTLE_SECONDS = 2.0
"""Between two orders of the gentle load."""
AT_ONCE = 20
"""Orders under way under the full load: from about ten on two cores finish no more of them."""
STOCK = 1_000_000
MIB = 1024**2


@dataclass
class Use:
    """What one service's process took under one load.

    Attributes:
        cpu: Thousandths of a core, in each second.
        memory: MiB that are its own, at most.
    """

    cpu: list[float]
    memory: float

    def __str__(self) -> str:
        return f"{statistics.mean(self.cpu):5.0f} m, at most {max(self.cpu):5.0f} m {self.memory:6.0f} MiB"


async def watch(pids: dict[str, int], seconds: float) -> dict[str, Use]:
    """Look at processes for a time."""
    processes = {name: psutil.Process(pids[name]) for name in SERVICES}
    used = {name: Use([], 0.0) for name in SERVICES}
    before = {name: sum(process.cpu_times()[:2]) for name, process in processes.items()}
    then = time.monotonic()
    end = then + seconds
    while then < end:
        await asyncio.sleep(LOOK_SECONDS)
        now = time.monotonic()
        for name, process in processes.items():
            spent = sum(process.cpu_times()[:2])
            used[name].cpu.append(1000 * (spent - before[name]) / (now - then))
            used[name].memory = max(used[name].memory, process.memory_full_info().uss / MIB)
            before[name] = spent
        then = now
    return used


async def is_over(shop: Shop, order_id: str) -> bool:
    """Whether an order has ended."""
    document = await shop.order(order_id)
    return document is not None and document["status"] in FINISHED


@asynccontextmanager
async def load(shop: Shop, gentle: bool) -> AsyncIterator[Callable[[], int]]:
    """Orders, until the end of the block; yields how many have ended."""
    run, ended = f"MEASURE-{uuid.uuid4().hex[:8]}", 0

    async def one(number: int) -> None:
        nonlocal ended
        order_id = f"{run}-{number}"
        await shop.place(SAMPLES[0].body(order_id))
        await eventually(partial(is_over, shop, order_id), timeout=ORDER_SECONDS)
        ended += 1

    async def gently() -> None:
        async with asyncio.TaskGroup() as group:
            for number in itertools.count():
                group.create_task(one(number))
                await asyncio.sleep(GENTLE_SECONDS)

    async def fully() -> None:
        numbers = itertools.count()

        async def customer() -> None:
            for number in numbers:
                await one(number)

        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(customer())

    placing: asyncio.Task[None] = asyncio.create_task(gently() if gentle else fully())
    try:
        yield lambda: ended
    finally:
        placing.cancel()
        with suppress(asyncio.CancelledError):
            await placing


async def measure() -> None:
    """Print a table of each load."""

    def say(load: str, used: dict[str, Use], orders: float = 0.0) -> None:
        sys.stdout.write(f"{load} ({orders:.1f} orders a second)\n")
        for name, use in used.items():
            sys.stdout.write(f"  {name:12} {use}\n")
        sys.stdout.flush()

    with TemporaryDirectory() as folder:
        async with Stack(folder) as stack, aiohttp.ClientSession() as session:
            shop = Shop(session, stack.urls, stack.operator_token)
            await shop.stock_up("measure")
            for warehouse in ("north", "south"):
                await shop.stock("TEA-250", warehouse, STOCK, f"measure-{warehouse}")
            say("idle", await watch(stack.pids, SECONDS))
            for name, gentle in (("gentle", True), ("full", False)):
                async with load(shop, gentle) as ended:
                    began, first = time.monotonic(), ended()
                    used = await watch(stack.pids, SECONDS)
                    say(name, used, (ended() - first) / (time.monotonic() - began))


if __name__ == "__main__":
    asyncio.run(measure())
