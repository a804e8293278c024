"""The stack's own HTTP endpoint on loopback, by which other commands act on a running stack, and its client."""

import math
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import aiohttp
from aiohttp import web

from waybill.stack import state
from waybill.stack.oneoff import apply_schedules
from waybill.stack.ports import LOOPBACK
from waybill.stack.spec import StackError

if TYPE_CHECKING:
    from waybill.stack.stack import Stack

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

ASK_SECONDS = 150
"""Time-out of a command: a restart waits for a drain and for readiness."""
MAX_SECONDS = 86_400


class Control:
    """The endpoint. It belongs to whoever runs the stack, and ends with it."""

    def __init__(self, stack: "Stack", token: str) -> None:
        """Prepare.

        Args:
            stack: What it acts on.
            token: Bearer token that opens it.
        """
        self.token = token
        self.url = ""
        self._stack = stack
        self._runner: web.AppRunner | None = None

    async def open(self) -> None:
        """Listen on a free port of loopback."""
        app = web.Application(middlewares=[self._guard])
        app.add_routes(
            [
                web.get("/status", self._status),
                web.post("/down", self._down),
                web.post("/schedules", self._schedules),
                web.post("/processes/{name}/{action}", self._act),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await self._runner.setup()
        await web.TCPSite(self._runner, LOOPBACK, 0).start()
        self.url = f"http://{LOOPBACK}:{self._runner.addresses[0][1]}"

    async def close(self) -> None:
        """Listen no more."""
        self.url = ""
        if self._runner is not None:
            await self._runner.cleanup()

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Take only those who can read the note, and answer what cannot be done in one line."""
        if request.headers.get("Authorization") != f"Bearer {self.token}":
            return web.json_response({"error": "wrong token"}, status=401)
        try:
            return await handler(request)
        except StackError as error:
            return web.json_response({"error": str(error)}, status=409)

    async def _status(self, _: web.Request) -> web.Response:
        return web.json_response([asdict(status) for status in await self._stack.status()])

    async def _down(self, _: web.Request) -> web.Response:
        self._stack.down_asked.set()
        return web.json_response({})

    async def _schedules(self, _: web.Request) -> web.Response:
        return web.json_response(await apply_schedules(self._stack))

    async def _act(self, request: web.Request) -> web.Response:
        name, action = request.match_info["name"], request.match_info["action"]
        body = await request.json() if request.can_read_body else {}
        stack = self._stack
        match action:
            case "kill":
                await stack.kill(name, seconds_in(body) or 0.0)
            case "pause":
                stack.pause(name, seconds_in(body))
            case "resume":
                stack.resume(name)
            case "restart":
                await stack.restart(name)
            case "start":
                await stack.start(name)
            case "stop":
                await stack.stop(name)
            case "scale":
                replicas = body.get("replicas")
                if not isinstance(replicas, int) or isinstance(replicas, bool):
                    raise StackError("replicas must be a whole number")
                await stack.scale(name, replicas)
            case _:
                raise StackError(f"there is no action {action!r}")
        return web.json_response({})


def seconds_in(body: dict[str, Any]) -> float | None:
    """The duration that a command carries, if it does.

    Raises:
        StackError: If it is not a number of seconds from 0 to a day.
    """
    seconds = body.get("seconds")
    if seconds is None:
        return None
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds <= MAX_SECONDS:
        raise StackError(f"seconds must be a number from 0 to {MAX_SECONDS}")
    if math.isnan(seconds):
        raise StackError("seconds must be a number")
    return float(seconds)


class ControlClient:
    """Acts on the stack that runs in a directory."""

    def __init__(self, directory: Path) -> None:
        """Find the stack.

        Raises:
            StackError: If none runs there.
        """
        self.state = state.read(directory)
        self._directory = directory
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            headers={"Authorization": f"Bearer {self.state.control_token}"},
            timeout=aiohttp.ClientTimeout(total=ASK_SECONDS),
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def status(self) -> list[dict[str, Any]]:
        """What every process is doing.

        Raises:
            StackError: If the stack does not answer.
        """
        statuses: list[dict[str, Any]] = await self._ask("GET", "/status")
        return statuses

    async def act(self, name: str, action: str, **arguments: float | None) -> None:
        """Do something to a process.

        Args:
            name: Of a service, a replica, or a part of the infrastructure.
            action: kill, pause, resume, restart, start, stop or scale.
            **arguments: ``seconds`` or ``replicas``.

        Raises:
            StackError: If it cannot be done.
        """
        await self._ask("POST", f"/processes/{name}/{action}", arguments)

    async def apply_schedules(self) -> dict[str, dict[str, str]]:
        """Let each service apply its schedules.

        Returns:
            By service: what became of each schedule, by its id.

        Raises:
            StackError: If one cannot.
        """
        applied: dict[str, dict[str, str]] = await self._ask("POST", "/schedules")
        return applied

    async def down(self) -> None:
        """Ask for the end; does not wait for it."""
        await self._ask("POST", "/down")

    async def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        if self._session is None:
            raise StackError("the client is used as an async context manager")
        try:
            async with self._session.request(method, f"{self.state.control_url}{path}", json=body) as response:
                answer = await response.json()
                if response.status >= 400:
                    raise StackError(str(answer.get("error", answer)))
                return answer
        except aiohttp.ClientConnectionError:
            raise StackError(state.no_stack(self._directory)) from None
        except TimeoutError:
            raise StackError(f"the stack did not do it within {ASK_SECONDS} s") from None
        except aiohttp.ClientError as error:
            raise StackError(f"the stack does not answer: {error}") from None
