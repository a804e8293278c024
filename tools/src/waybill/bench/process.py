"""The processes of benchmarks."""

import asyncio
import sys
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import cast

from chassis.testing.tether import tethered
from waybill.bench.bare import POLLING
from waybill.bench.harness import BenchError
from waybill.stack import Stack
from waybill.stack.plan import base_environment

START_SECONDS = 60.0
"""How long a start may take on a busy machine."""


@dataclass(frozen=True)
class Polling:
    """A worker that polls.

    Attributes:
        queue: Its task queue.
        pid: Of its process.
    """

    queue: str
    pid: int


@asynccontextmanager
async def worker(
    module: str, address: str, environment: Mapping[str, str] | None = None, queue: str | None = None
) -> AsyncIterator[Polling]:
    """Run ``python -m MODULE ADDRESS QUEUE``.

    Args:
        module: Of the worker, which writes a line with ``POLLING`` in it when it polls.
        address: Of Temporal.
        environment: Further variables.
        queue: Its task queue; by default one of its own.

    Yields:
        What it polls, and its process.

    Raises:
        BenchError: If it ends instead, or does not poll in time.
    """
    queue = queue or f"bench-{uuid.uuid4()}"
    process = await asyncio.create_subprocess_exec(
        *tethered([sys.executable, "-m", module, address, queue]),
        env={**base_environment(), **(environment or {})},
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        await until_polling(process, module)
        yield Polling(queue, process.pid)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def until_polling(process: asyncio.subprocess.Process, name: str) -> asyncio.StreamReader:
    """Wait until a worker polls.

    Args:
        process: Of the worker. Its output is ours to read.
        name: For a person.

    Returns:
        What else it writes.

    Raises:
        BenchError: If it ends instead, or does not poll in time.
    """
    output = cast(asyncio.StreamReader, process.stdout)
    try:
        async with asyncio.timeout(START_SECONDS):
            while POLLING not in (line := (await output.readline()).decode()):
                if not line:
                    raise BenchError(f"{name} ended before it polled")
    except TimeoutError:
        raise BenchError(f"{name} did not poll within {START_SECONDS:g} s") from None
    return output


def pids_of(stack: Stack, names: Sequence[str]) -> dict[str, int]:
    """Process ids, by name.

    Args:
        stack: That runs them.
        names: Of the processes.

    Raises:
        BenchError: If one of them is down.
    """
    alive = stack.pids
    if gone := [name for name in names if name not in alive]:
        raise BenchError(f"{', '.join(gone)}: down, so that nobody knows what it takes")
    return {name: alive[name] for name in names}
