"""What a command needs that runs until it is told to stop: its end, and a small HTTP surface."""

import asyncio
import signal
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web


@asynccontextmanager
async def served(address: tuple[str, int] | None, routes: Sequence[web.RouteDef]) -> AsyncIterator[None]:
    """Answer requests while the block runs.

    Args:
        address: Host and port; None serves nothing.
        routes: What is answered.

    Raises:
        OSError: If nobody can listen there.
    """
    if address is None:
        yield
        return
    app = web.Application()
    app.add_routes(routes)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        await web.TCPSite(runner, *address).start()
        yield
    finally:
        await runner.cleanup()


async def until_stopped(work: Coroutine[Any, Any, None]) -> None:
    """Work until SIGTERM or SIGINT. What ends the work before is raised."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    numbers = (signal.SIGTERM, signal.SIGINT)
    for number in numbers:
        loop.add_signal_handler(number, stop.set)
    working, stopping = asyncio.create_task(work), asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            working.result()
    finally:
        for task in (working, stopping):
            task.cancel()
        await asyncio.gather(working, stopping, return_exceptions=True)
        for number in numbers:
            loop.remove_signal_handler(number)
