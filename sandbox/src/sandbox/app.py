"""The sandbox put together: one aiohttp application with all providers."""

import asyncio
import random
import sqlite3
from collections.abc import AsyncIterator

from aiohttp import web

from chassis.access import access_middleware
from chassis.problems import Handler, Problem, problem_middleware
from sandbox.callbacks import Callbacks
from sandbox.carriers import Carriers
from sandbox.faults import Faults
from sandbox.gateway import Gateway
from sandbox.ledger import Ledger
from sandbox.mailbox import Mailbox
from sandbox.settings import Settings
from sandbox.state import State
from sandbox.wire import Pauses

MAX_BODY = 256 * 1024


class World:
    """The providers on one database, and their application. Make it inside a running loop."""

    def __init__(self, settings: Settings, state: State, chance: random.Random | None = None) -> None:
        """Put the providers together; nothing is called before the application starts.

        Args:
            settings: What the sandbox was told.
            state: Its database, which stays the caller's to close.
            chance: Which requests a fault strikes; random unless a test decides.
        """
        self._state = state
        self._pauses = Pauses(settings.hang_seconds)
        self._callbacks = Callbacks(state, settings.webhook_url, settings.webhook_secret)
        self._stopping = False
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Gets the exception if the carriers' calls end unasked."""
        faults = Faults(state, self._pauses, chance or random.Random())  # noqa: S311 - not for secrets
        carriers = Carriers(
            state,
            self._pauses,
            self._callbacks,
            slow_seconds=settings.slow_seconds,
            delivery_seconds=settings.delivery_seconds,
        )
        self.app = web.Application(
            middlewares=[access_middleware, problem_middleware, _error_codes, faults.middleware],
            client_max_size=MAX_BODY,
        )
        """Serves everything on one port."""
        for part in (
            Gateway(state, self._pauses),
            carriers,
            Mailbox(state, self._pauses),
            faults,
            Ledger(state, settings.operator_token),
        ):
            self.app.add_routes(part.routes())
        self.app.add_routes([web.get("/livez", self._get_livez), web.get("/readyz", self._get_readyz)])
        self.app.cleanup_ctx.append(self._calling)
        self.app.on_shutdown.append(self._stop)

    async def _calling(self, _: web.Application) -> AsyncIterator[None]:
        calls = asyncio.create_task(self._callbacks.run())
        calls.add_done_callback(self._calls_ended)
        yield
        calls.cancel()
        await asyncio.wait([calls])

    def _calls_ended(self, calls: asyncio.Task[None]) -> None:
        if not calls.cancelled() and (error := calls.exception()) is not None and not self.failed.done():
            self.failed.set_exception(error)

    async def _stop(self, _: web.Application) -> None:
        self._stopping = True
        self._pauses.stop()

    async def _get_livez(self, _: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def _get_readyz(self, _: web.Request) -> web.Response:
        problems: dict[str, str] = {}
        try:
            self._state.check()
        except sqlite3.Error as error:
            problems["database"] = str(error)
        if self.failed.done():
            problems["callbacks"] = "ended"
        if self._stopping:
            problems["process"] = "stopping"
        return web.json_response({"ready": not problems, "problems": problems}, status=503 if problems else 200)


@web.middleware
async def _error_codes(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Give a code to the problems that have none, of bodies and parameters: ``invalid_request`` and the like."""
    try:
        return await handler(request)
    except Problem as problem:
        problem.members.setdefault("error", problem.title.lower().replace(" ", "_"))
        raise
