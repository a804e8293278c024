"""The worker processes of benchmarks."""

import asyncio
import sys
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from chassis.testing.tether import tethered
from waybill.stack.plan import base_environment


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
        module: Of the worker, which says a line when it polls.
        address: Of Temporal.
        environment: Further variables.
        queue: Its task queue; by default one of its own.

    Yields:
        What it polls, and its process.

    Raises:
        RuntimeError: If it ends instead.
    """
    queue = queue or f"bench-{uuid.uuid4()}"
    process = await asyncio.create_subprocess_exec(
        *tethered([sys.executable, "-m", module, address, queue]),
        env={**base_environment(), **(environment or {})},
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        if process.stdout is None or not await process.stdout.readline():
            raise RuntimeError(f"{module} ended before it polled")
        yield Polling(queue, process.pid)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
