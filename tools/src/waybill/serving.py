"""A small HTTP surface beside a command that runs for long."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

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
