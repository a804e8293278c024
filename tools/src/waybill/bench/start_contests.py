"""What a service takes before it has done anything, against a bare worker: memory while it idles, and time to start."""

import asyncio
import statistics
import sys
import time
import uuid
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil

from chassis.testing.ports import free_ports
from chassis.testing.tether import tethered
from waybill.bench.harness import Contest, Detail, Group, Shared
from waybill.bench.process import until_polling
from waybill.stack import Stack
from waybill.stack.plan import SERVICES, base_environment

MEMORY, START = "worker_memory_vs_bare", "worker_start_vs_bare"
IDLE_SECONDS = 2.0
"""From polling to the look at memory: what a start leaves to be done is done by then."""
MIB = 1024 * 1024


@dataclass(frozen=True)
class Seen:
    """One process, from its start.

    Attributes:
        start: Seconds until it polled its queue.
        cpu: CPU seconds that it took until then, which do not depend on who else uses the machine.
        memory: MiB while it idles, as the kernel counts a process's resident pages. That is what a worker takes that
            has a container to itself: what it shares there, it shares with nobody. On one machine several processes
            share the pages of the same libraries, so both other measures depend on who else runs.
        alone: MiB of these that no other process had, on this machine and now.
    """

    start: float
    cpu: float
    memory: float
    alone: float


Look = Callable[[Seen], float]
One = Callable[[Sequence[float]], float]
"""The one figure of several."""
START_OF, CPU_OF = attrgetter("start"), attrgetter("cpu")
MEMORY_OF, ALONE_OF = attrgetter("memory"), attrgetter("alone")
BESIDE: Mapping[str, tuple[str, Look]] = {MEMORY: ("MiB not shared", ALONE_OF), START: ("CPU s", CPU_OF)}
"""What is told beside, of both sides alike."""


async def observe(command: Sequence[str], environment: Mapping[str, str]) -> Seen:
    """Start a worker, look at it, and end it.

    Args:
        command: Writes a line with ``POLLING`` in it when it polls.
        environment: All of its environment.

    Raises:
        BenchError: If it ends instead, or does not poll in time.
    """
    began = time.perf_counter()
    # Both sides' clocks start with the tether, a few milliseconds before the worker's own exec.
    process = await asyncio.create_subprocess_exec(
        *tethered(command), env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        output = await until_polling(process, " ".join(command))
        start = time.perf_counter() - began
        times = psutil.Process(process.pid).cpu_times()
        reading = asyncio.create_task(output.read())  # a full pipe would hold it
        await asyncio.sleep(IDLE_SECONDS)
        memory = psutil.Process(process.pid).memory_full_info()
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
    await reading
    return Seen(start, times.user + times.system, memory.rss / MIB, memory.uss / MIB)


class Starts:
    """Services and bare workers, started one at a time on a stack whose own are down."""

    def __init__(self, stack: Stack) -> None:
        """Take a stack whose databases are migrated."""
        self._stack = stack

    async def services(self) -> dict[str, Seen]:
        """Each service once."""
        return {name: await self._start(name) for name in SERVICES}

    async def bares(self) -> dict[str, Seen]:
        """As many bare workers."""
        return {name: await self.bare() for name in SERVICES}

    async def bare(self) -> Seen:
        """A bare worker, once."""
        command = [sys.executable, "-m", "waybill.bench.bare", self._stack.urls["temporal"], f"bare-{uuid.uuid4()}"]
        return await observe(command, base_environment())

    async def _start(self, name: str) -> Seen:
        [port] = free_ports(1)
        command = self._stack.plan.service(name, port, self._stack.env.get(name, {}))
        return await observe(command.command, command.environment)

    def contests(self) -> Sequence[Contest]:
        """Both look at the same processes."""
        ours, theirs = Shared(self.services), Shared(self.bares)

        def against(name: str, unit: str, one: One, of: Look, note: str) -> Contest:
            def detail() -> Detail:
                words, also = BESIDE[name]
                beside = [side.middle(_over(one, also)) for side in (ours, theirs)]
                each = {service: ours.middle(_service(service, of)) for service in SERVICES}
                return {**each, words: f"{beside[0]:g} against {beside[1]:g}"}

            return Contest(name, unit, ours.figure(_over(one, of)), theirs.figure(_over(one, of)), note, detail)

        # Of four starts the slowest is the one that was unlucky, on any machine that does other things too.
        start = "the median of four services' starts until they poll; 4 or less"
        return [
            against(MEMORY, "MiB", max, MEMORY_OF, "the largest of four idle services; 2.2 or less"),
            against(START, "s", statistics.median, START_OF, start),
        ]


def _over(one: One, of: Look) -> Callable[[Mapping[str, Seen]], float]:
    return lambda seen: one([of(each) for each in seen.values()])


def _service(name: str, of: Look) -> Callable[[Mapping[str, Seen]], float]:
    return lambda seen: of(seen[name])


@asynccontextmanager
async def setting() -> AsyncIterator[Sequence[Contest]]:
    """A stack whose services have migrated their databases, and are down again."""
    with TemporaryDirectory(prefix="waybill-bench-") as folder:
        async with Stack(Path(folder)) as stack:
            for name in SERVICES:
                await stack.stop(name)
            yield Starts(stack).contests()


GROUP = Group((MEMORY, START), setting)
