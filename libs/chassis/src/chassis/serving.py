"""A service's life: one worker and one HTTP application in one event loop, from start to drain."""

import asyncio
import logging
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, NoReturn, TypeVar, cast

from aiohttp import web
from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.service import RPCError
from temporalio.worker import Worker

from chassis import connection as temporal
from chassis import database, health, logs, oneoff, telemetry, tracing
from chassis.connection import FIRST_PAUSE, LONGEST_PAUSE, Connection
from chassis.entry import exit_now
from chassis.schedules import apply as apply_schedules
from chassis.service import Service
from chassis.settings import EXIT_WRONG_SETTINGS, ServiceSettings, WrongSettings, load

# It takes a twentieth less of a worker's processor time than asyncio's own loop, and does not exist for Windows.
if sys.platform == "win32":
    run_loop = asyncio.run
else:
    from uvloop import run as run_loop

logger = logging.getLogger(__name__)

DRAIN_MARGIN = 3
"""Seconds after the drain within which the worker must have ended. What holds it longer, such as a short write that is
tried again and again while the database is away, is left to whoever takes over."""

LOOK_SECONDS = 1.0
"""How often is looked whether the HTTP server still listens."""

SettingsT = TypeVar("SettingsT", bound=ServiceSettings)


class DrainOverdue(Exception):  # noqa: N818 - it names a state
    """The worker does not end. Nothing is lost: what it still does is done again elsewhere."""


Compose = Callable[[SettingsT, Connection], Service]


def run(
    name: str, compose: Compose[SettingsT], settings_class: type[SettingsT], *, subject: str | None = None
) -> NoReturn:
    """The body of a service's ``__main__``.

    ``python -m SERVICE`` serves, ``python -m SERVICE migrate`` migrates the database, ``python -m SERVICE schedules``
    creates or changes the service's schedules, which serving does too.

    Ends the process: 0 after a drain, 1 if the worker or the HTTP server ended unasked, 2 for wrong settings.

    Args:
        name: Of the service.
        compose: Its composition root.
        settings_class: Its settings.
        subject: Name of the log field for what its workflows work on, the second part of their ids.
    """
    code = 1
    try:
        settings = load(settings_class)
        temporal.options()
        logs.configure(name, settings.log_level.number, subject=subject)
        # The details go into fields of their own, so they need not stand in the message too.
        workflow.logger.workflow_info_on_message = False
        activity.logger.activity_info_on_message = False
        match sys.argv[1:]:
            case []:
                code = run_loop(_serve(name, compose, settings))
            case ["migrate"]:
                code = run_loop(_once(name, compose, settings, oneoff.migrate))
            case ["schedules"]:
                code = run_loop(_once(name, compose, settings, oneoff.schedules))
            case _:
                sys.stderr.write(f"usage: python -m {name} [migrate | schedules]\n")
                code = EXIT_WRONG_SETTINGS
    except WrongSettings as error:
        sys.stderr.write(f"{error}\n")
        code = EXIT_WRONG_SETTINGS
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 1
    except Exception:
        logger.exception("the process ends unasked")
    exit_now(code)


async def _once(
    name: str, compose: Compose[SettingsT], settings: SettingsT, command: Callable[[Service], Awaitable[int]]
) -> int:
    return await command(compose(settings, Connection(name)))


async def _serve(name: str, compose: Compose[SettingsT], settings: SettingsT) -> int:
    traced = tracing.start(name)
    metrics = telemetry.Metrics(name)
    connection = Connection(
        name, runtime=metrics.runtime, health_seconds=settings.temporal_health_seconds, tracing=traced
    )
    service = compose(settings, connection)
    if traced is not None:
        traced.watch(service.database.engine)
    service.registry.register(tracing.SpanCounts(traced.tally if traced is not None else tracing.Tally()))
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    app = service.app(metrics)
    # The drain is the worker's; requests in flight get a moment of their own after it.
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=5)
    await runner.setup()
    try:
        # What aiohttp's own site does, but with the server in hand: nothing else would tell that it ended.
        server = await asyncio.get_running_loop().create_server(
            cast(web.Server, runner.server), settings.host, settings.port
        )
    except OSError as error:
        logger.error(  # noqa: TRY400 - one clear line, no trace
            "cannot listen on %s:%d: %s", settings.host, settings.port, error.strerror
        )
        return 1
    logger.info("HTTP is up on %s:%d", settings.host, settings.port)
    listening = asyncio.create_task(_while_serving(server), name="HTTP")
    try:
        return await _until_stopped(service, app[health.HEALTH], stop, listening)
    except DrainOverdue as overdue:
        logger.error("%s", overdue)  # noqa: TRY400 - one clear line, no trace
        # The loop cannot be closed while the worker holds on to it.
        exit_now(1)
    finally:
        server.close()
        # Closes the connections that clients keep open. Since Python 3.12 a server that is cancelled waits for them.
        await runner.cleanup()
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
        for client in service.clients:
            await client.close()
        await service.database.close()
        if traced is not None:
            await traced.finish()


async def _while_serving(server: asyncio.AbstractServer) -> None:
    """Wait until a server is closed. ``serve_forever`` would do on asyncio's loop; on uvloop's it does not end then."""
    while server.is_serving():  # noqa: ASYNC110 - it gives no event
        await asyncio.sleep(LOOK_SECONDS)


async def _until_stopped(
    service: Service, state: health.Health, stop: asyncio.Event, listening: "asyncio.Task[None]"
) -> int:
    """Work until asked to stop.

    Returns:
        0 if asked, and the drain is done; 1 if something ended by itself.
    """
    work = asyncio.create_task(_work(service, state, stop))
    asked = asyncio.create_task(stop.wait())
    await asyncio.wait({work, asked, listening}, return_when=asyncio.FIRST_COMPLETED)
    unasked = not stop.is_set()
    if unasked and work.done():
        asked.cancel()
        work.result()  # raises what ended it
        logger.error("the worker ended unasked")
        return 1
    if unasked:
        logger.error("the HTTP server ended unasked")
        stop.set()
    state.draining = True
    logger.info("draining")
    await work
    logger.info("drained")
    return 1 if unasked else 0


async def _work(service: Service, state: health.Health, stop: asyncio.Event) -> None:
    """Wait for what the worker needs, run it, and drain it once asked to stop."""
    client = await _or_stop(_prepare(service, state), stop)
    if client is None:
        return
    worker = service.worker(client)
    parts = [
        asyncio.create_task(part(service.connection), name=getattr(part, "__qualname__", repr(part)))
        for part in (service.sampling, *service.background)
    ]
    running = asyncio.create_task(worker.run())
    asked = asyncio.create_task(stop.wait())
    state.polling = True
    logger.info("polling", extra={"task_queue": service.task_queue, "identity": service.connection.identity})
    try:
        await asyncio.wait({running, asked, *parts}, return_when=asyncio.FIRST_COMPLETED)
        for part in parts:
            if part.done():
                logger.error("ended unasked: %s", part.get_name())
                part.result()  # raises what ended it
    finally:
        state.polling = False
        asked.cancel()
        for part in parts:
            part.cancel()
        await asyncio.gather(*parts, return_exceptions=True)
        if not running.done():
            await _drain(worker, service.settings.drain_seconds)
        await running


async def _drain(worker: Worker, seconds: float) -> None:
    """Let the worker finish what it has, within the drain.

    Raises:
        DrainOverdue: If it does not end.
    """
    ending = asyncio.create_task(worker.shutdown())
    _, overdue = await asyncio.wait({ending}, timeout=seconds + DRAIN_MARGIN)
    if overdue:
        raise DrainOverdue(f"the worker has not ended {DRAIN_MARGIN} s after its drain of {seconds:g} s")
    ending.result()


async def _prepare(service: Service, state: health.Health) -> Client:
    """Database first, so that the HTTP surface can take work while Temporal is away."""
    await _prepare_database(service)
    state.storing = True
    client = await service.connection.connect()

    async def schedules() -> None:
        await apply_schedules(client, service.schedules, service.name)

    await _insist(schedules, (RPCError,), "schedules cannot be applied yet")
    return client


async def _prepare_database(service: Service) -> None:
    async def prepare() -> None:
        if service.settings.migrate_at_start:
            await service.database.migrate(service.migrations)
        else:
            await service.database.expect(service.migrations)

    expected = (*database.AWAY, database.SchemaBehind, TimeoutError)
    await _insist(prepare, expected, "the database is not there yet")


async def _insist(attempt: Callable[[], Awaitable[None]], expected: tuple[type[Exception], ...], say: str) -> None:
    """Try until it succeeds; what is not expected ends the process, and its supervisor starts it anew."""
    pause = FIRST_PAUSE
    while True:
        try:
            await attempt()
        except expected as error:
            logger.warning("%s: %s", say, (str(error).splitlines() or [""])[0])
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)
        else:
            return


async def _or_stop(preparation: Coroutine[Any, Any, Client], stop: asyncio.Event) -> Client | None:
    """What is prepared, or None if the process is asked to stop before it is."""
    preparing = asyncio.create_task(preparation)
    asked = asyncio.create_task(stop.wait())
    await asyncio.wait({preparing, asked}, return_when=asyncio.FIRST_COMPLETED)
    asked.cancel()
    if preparing.done():
        return preparing.result()
    preparing.cancel()
    await asyncio.gather(preparing, return_exceptions=True)
    return None
