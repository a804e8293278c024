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
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from tempfile import TemporaryDirectory

import aiohttp
import psutil

from waybill.demo.day import FINISHED
from waybill.demo.samples import SAMPLES
from waybill.demo.shop import Shop
from waybill.stack import SERVICES, Stack

SECONDS = 40.0
"""Of each load."""
LOOK_SECONDS = 1.0
NEWEST = 200
"""Orders that are looked at."""
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


class Customers:
    """Who place orders, and are told together what has become of them: asking is not what is to be measured."""

    def __init__(self, shop: Shop) -> None:
        """Nobody is there yet.

        Args:
            shop: The services.
        """
        self._shop = shop
        self._run = f"MEASURE-{uuid.uuid4().hex[:8]}"
        self._numbers = itertools.count()
        self._waiting: dict[str, asyncio.Event] = {}
        self.served = 0

    @asynccontextmanager
    async def come(self, *, gently: bool) -> AsyncIterator[None]:
        """Orders, until the end of the block."""
        async with asyncio.TaskGroup() as group:
            placing = [self._gently()] if gently else [self._one_after_the_other() for _ in range(AT_ONCE)]
            tasks = [group.create_task(work) for work in (self._watch(), *placing)]
            yield
            for task in tasks:
                task.cancel()

    async def _gently(self) -> None:
        async with asyncio.TaskGroup() as group:
            while True:
                group.create_task(self._one())
                await asyncio.sleep(GENTLE_SECONDS)

    async def _one_after_the_other(self) -> None:
        while True:
            await self._one()

    async def _one(self) -> None:
        order_id = f"{self._run}-{next(self._numbers)}"
        self._waiting[order_id] = asyncio.Event()
        await self._shop.place(SAMPLES[0].body(order_id))
        await self._waiting[order_id].wait()
        self.served += 1

    async def _watch(self) -> None:
        while True:
            for found in await self._shop.newest(NEWEST):
                if found["status"] in FINISHED and found["order_id"] in self._waiting:
                    self._waiting[found["order_id"]].set()
            await asyncio.sleep(LOOK_SECONDS)


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
            for name in ("gentle", "full"):
                customers = Customers(shop)
                async with customers.come(gently=name == "gentle"):
                    began = time.monotonic()
                    used = await watch(stack.pids, SECONDS)
                    say(name, used, customers.served / (time.monotonic() - began))


if __name__ == "__main__":
    asyncio.run(measure())
