import asyncio
import os
import signal
import socket
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web

from chassis.testing.serving import serve_app
from chassis.testing.waiting import eventually
from sandbox.testing import Client

Launch = Callable[..., Awaitable[tuple[Process, Client]]]


def environment(port: int, **settings: str) -> dict[str, str]:
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("SANDBOX_")},
        "SANDBOX_PORT": str(port),
        "SANDBOX_OPERATOR_TOKEN": "operators!",
        **settings,
    }


@pytest_asyncio.fixture
async def launch(unused_tcp_port: int) -> AsyncIterator[Launch]:
    """Starts the program, each time on the same port, and waits until it is ready."""
    async with AsyncExitStack() as stack:

        async def begin(**settings: str) -> tuple[Process, Client]:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "sandbox", env=environment(unused_tcp_port, **settings)
            )

            async def end() -> None:
                if process.returncode is None:
                    process.kill()
                await process.wait()

            stack.push_async_callback(end)
            session = await stack.enter_async_context(aiohttp.ClientSession(f"http://127.0.0.1:{unused_tcp_port}"))
            client = Client(session)

            async def ready() -> bool:
                assert process.returncode is None, "the sandbox ended"
                try:
                    return (await client.get("/readyz")).status == 200
                except aiohttp.ClientConnectionError:
                    return False

            await eventually(ready)
            return process, client

        yield begin


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_it_cleanly_though_requests_hang(launch: Launch, number: signal.Signals) -> None:
    process, sandbox = await launch(SANDBOX_HANG_SECONDS="3600", SANDBOX_SLOW_SECONDS="3600")
    key = uuid4().hex
    hanging = asyncio.ensure_future(sandbox.authorise(key, "tok_timeout_after_charge"))

    async def charged() -> bool:
        return await sandbox.effects(key) == 1

    await eventually(charged)
    process.send_signal(number)
    assert await process.wait() == 0
    told = await hanging
    assert (told.status, told.body["error"]) == (503, "stopping")


async def test_it_forgets_nothing_when_it_is_killed(launch: Launch, tmp_path: Path) -> None:
    process, sandbox = await launch(SANDBOX_DATABASE=str(tmp_path / "world.db"))
    await sandbox.authorise("charged", order="o")
    await sandbox.void("burned")
    await sandbox.authorise("failed", "tok_error_once")
    booked = await sandbox.book("steady", "booked", order="o")
    await sandbox.message("told", "o")
    await sandbox.call("PUT", "/faults", {"swift": {"outage": True}})
    process.kill()
    await process.wait()

    _, sandbox = await launch(SANDBOX_DATABASE=str(tmp_path / "world.db"))
    assert (await sandbox.authorise("charged", order="o")).status == 201
    assert (await sandbox.authorise("burned")).body["error"] == "key_burned"
    assert (await sandbox.authorise("failed", "tok_error_once")).status == 201
    assert await sandbox.book("steady", "booked", order="o") == booked
    assert len((await sandbox.get("/mailbox/v1/messages?reference=o")).body["messages"]) == 1
    assert (await sandbox.quote("swift")).status == 503
    assert (await sandbox.get("/effects?key=charged")).body["effects"] == 1
    assert (await sandbox.get("/effects?key=charged")).body["requests"] == 2


async def test_calls_that_were_not_taken_survive_a_kill(launch: Launch, tmp_path: Path) -> None:
    calls: list[dict[str, Any]] = []
    answers = {"status": 503}

    async def receive(request: web.Request) -> web.Response:
        calls.append(await request.json() | answers)
        return web.Response(status=answers["status"])

    app = web.Application()
    app.router.add_post("/webhooks/carriers/steady", receive)
    async with serve_app(app) as url:
        settings = {
            "SANDBOX_DATABASE": str(tmp_path / "world.db"),
            "SANDBOX_WEBHOOK_URL": url,
            "SANDBOX_WEBHOOK_SECRET": "between carriers and us",
            "SANDBOX_DELIVERY_SECONDS": "0",
        }
        process, sandbox = await launch(**settings)
        await sandbox.book("steady", "parcel")
        await eventually(lambda: bool(calls))
        process.kill()
        await process.wait()
        answers["status"] = 200
        await launch(**settings)
        await eventually(lambda: sum(call["status"] == 200 for call in calls) == 3)
    taken = [call for call in calls if call["status"] == 200]
    assert [call["state"] for call in taken] == ["picked_up", "in_transit", "delivered"]
    assert taken[0]["event_id"] == calls[0]["event_id"]


async def test_a_port_that_is_taken_ends_it_with_an_error() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "sandbox", env=environment(taken.getsockname()[1]), stderr=PIPE
        )
        _, errors = await process.communicate()
    assert process.returncode == 1
    assert b"cannot listen" in errors
