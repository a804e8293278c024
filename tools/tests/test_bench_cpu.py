"""What orders cost in CPU seconds, as benchmarks measure it."""

import asyncio
import os
import sys

import psutil  # type: ignore[import-untyped]  # its types are a package of their own
import pytest

from waybill.bench import twin_contests


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
