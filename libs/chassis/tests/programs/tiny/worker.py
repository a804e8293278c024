"""Composition root of the tiny service, and the rest of it."""

import asyncio
import gc
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web
from pydantic import Field
from sqlalchemy import text
from temporalio import activity
from temporalio.plugin import SimplePlugin

from chassis.connection import Connection
from chassis.database import Database
from chassis.http import HttpClient
from chassis.schedules import ServiceSchedule
from chassis.service import Service
from chassis.settings import ServiceSettings, env

from .flows import Errand, Insist, Listen, Run
from .tracks import TRACKS

logger = logging.getLogger(__name__)


class Settings(ServiceSettings):
    """Variables begin with ``TINY_``."""

    model_config = env("TINY_")

    task_queue: str
    """Each test has its own."""
    worker: str = "lives"
    """What the worker does: lives, dies."""
    background: str = "forever"
    """What the task beside the worker does: forever, dies, returns, closes the server."""
    sizes: list[int] = Field(default=[1])
    """A setting in JSON."""


@activity.defn(name="tiny.write")
async def write(errand: Errand) -> None:
    """Say begin, wait for leave to go on, say end."""
    path = Path(errand.path)
    append(path, "begin")
    activity.logger.info("at it")
    try:
        int("two\nlines")
    except ValueError:
        logger.exception("something on\nseveral lines")
    while not path.with_suffix(".go").exists():  # noqa: ASYNC110 - the leave comes from another process
        await asyncio.sleep(0.02)
    append(path, "end")


@activity.defn(name="tiny.fail")
async def fail() -> None:
    """What a database that is away does to a write."""
    activity.logger.info("failing")
    raise ConnectionError("nobody is there")


def append(path: Path, line: str) -> None:
    with path.open("a") as lines:
        lines.write(f"{line}\n")


@asynccontextmanager
async def dying(*, now: bool = True) -> AsyncIterator[None]:
    """What a worker runs in that is to end as a fatal error of its core ends it."""
    if now:
        raise RuntimeError("the worker died")
    yield


def compose(settings: Settings, connection: Connection) -> Service:
    """Put it together."""
    database = Database(settings.database_url, pool_size=2)

    async def count(_: web.Request) -> web.Response:
        async with database.engine.connect() as rows:
            return web.json_response({"notes": await rows.scalar(text("SELECT count(*) FROM notes"))})

    async def beside(_: Connection) -> None:
        if settings.background == "closes the server":
            # Of whichever event loop: they have no base class in common.
            named = (each for each in gc.get_objects() if type(each).__name__ == "Server")
            [server] = [
                each for each in named if isinstance(each, asyncio.AbstractServer) or hasattr(each, "is_serving")
            ]
            server.close()
            await asyncio.Event().wait()
        if settings.background == "dies":
            raise RuntimeError("the task beside the worker died")
        if settings.background == "forever":
            await asyncio.Event().wait()

    return Service(
        name="tiny",
        settings=settings,
        connection=connection,
        database=database,
        migrations="tiny.migrations",
        task_queue=settings.task_queue,
        workflows=[Run, Listen, Insist, *TRACKS],
        activities=[write, fail],
        worker_options={"plugins": [SimplePlugin("deadly", run_context=dying)]} if settings.worker == "dies" else {},
        routes=[web.get("/notes", count)],
        background=[beside],
        schedules=[
            ServiceSchedule(f"{settings.task_queue}-nightly", "tiny.Listen", settings.task_queue, cron="0 3 * * *")
        ],
        clients=[HttpClient(timeout_seconds=1)],
        providers={"nobody": "http://127.0.0.1:9"},
    )
