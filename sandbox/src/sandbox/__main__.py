"""``python -m sandbox``: serve the outside world until SIGTERM or SIGINT."""

import asyncio
import logging
import signal
import sqlite3
import sys
from typing import Any

from aiohttp import web

from chassis import logs, tracing
from chassis.settings import EXIT_WRONG_SETTINGS, WrongSettings, load
from sandbox.app import World
from sandbox.settings import Settings
from sandbox.state import State

logger = logging.getLogger("sandbox")

DRAIN_SECONDS = 5
"""How long requests under way may take at the end. None waits on purpose then."""


async def serve(settings: Settings, state: State) -> int:
    """Serve until told to stop.

    Args:
        settings: What the sandbox was told.
        state: Its database.

    Returns:
        The exit code: 0 if it was told to stop, 1 if it cannot go on.
    """
    try:
        traced = tracing.start("sandbox")
    except WrongSettings as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_WRONG_SETTINGS
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    world = World(settings, state)
    runner = web.AppRunner(world.app, access_log=None, shutdown_timeout=DRAIN_SECONDS)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, settings.host, settings.port).start()
        except OSError as error:
            logger.error("cannot listen on %s port %d: %s", settings.host, settings.port, error.strerror)  # noqa: TRY400
            return 1
        logger.info("the sandbox serves http://%s:%d", settings.host, settings.port)
        stopped = asyncio.create_task(stop.wait())
        ends: list[asyncio.Future[Any]] = [stopped, world.failed]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        if world.failed.done():
            logger.error("the carriers' calls ended unasked", exc_info=world.failed.exception())
            stopped.cancel()
            return 1
        logger.info("the sandbox stops")
        return 0
    finally:
        await runner.cleanup()
        if traced is not None:
            await traced.finish()


def main() -> int:
    """Read the settings, open the database, serve.

    Returns:
        The exit code.
    """
    settings = load(Settings)
    try:
        state = State(settings.database)
    except sqlite3.Error as error:
        sys.stderr.write(f"SANDBOX_DATABASE: {error}\n")
        return EXIT_WRONG_SETTINGS
    logs.configure("sandbox", settings.log_level.number)
    try:
        return asyncio.run(serve(settings, state))
    finally:
        state.close()


if __name__ == "__main__":
    sys.exit(main())
