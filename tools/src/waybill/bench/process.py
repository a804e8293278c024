"""The worker processes of benchmarks."""

import asyncio
import os
import sys
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from chassis.testing.tether import tethered


@asynccontextmanager
async def worker(module: str, address: str, environment: Mapping[str, str] | None = None) -> AsyncIterator[str]:
    """Run ``python -m MODULE ADDRESS QUEUE`` on a queue of its own.

    Args:
        module: Of the worker, which says a line when it polls.
        address: Of Temporal.
        environment: Further variables.

    Yields:
        Its task queue.

    Raises:
        RuntimeError: If it ends instead.
    """
    queue = f"bench-{uuid.uuid4()}"
    process = await asyncio.create_subprocess_exec(
        *tethered([sys.executable, "-m", module, address, queue]),
        env={**os.environ, **(environment or {})},
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        if process.stdout is None or not await process.stdout.readline():
            raise RuntimeError(f"{module} ended before it polled")
        yield queue
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
