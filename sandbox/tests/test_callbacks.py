import hashlib
import hmac
import json
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web
from pydantic import SecretStr

from chassis.testing.serving import serve_app
from chassis.testing.waiting import eventually
from sandbox.app import World
from sandbox.callbacks import LONGEST_BACKOFF_SECONDS, backoff
from sandbox.settings import Settings
from sandbox.state import State
from sandbox.testing import Client

SECRET = "between carriers and us"
Start = Callable[..., Awaitable[Client]]


@dataclass
class Receiver:
    """Takes calls, or refuses them with the statuses that a test lays ready."""

    refusals: list[int] = field(default_factory=list)
    calls: list[tuple[str, dict[str, Any], int]] = field(default_factory=list)
    wrong_signatures: int = 0
    url: str = ""

    async def receive(self, request: web.Request) -> web.Response:
        raw = await request.read()
        expected = f"sha256={hmac.new(SECRET.encode(), raw, hashlib.sha256).hexdigest()}"
        self.wrong_signatures += request.headers["X-Waybill-Signature"] != expected
        status = self.refusals.pop(0) if self.refusals else 204
        self.calls.append((request.match_info["carrier"], json.loads(raw), status))
        return web.Response(status=status)

    def taken(self, key: str) -> list[str]:
        return [call["state"] for _, call, status in self.calls if call["reference"] == key and status < 300]


@pytest_asyncio.fixture
async def receiver() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    app = web.Application()
    app.router.add_post("/webhooks/carriers/{carrier}", receiver.receive)
    async with serve_app(app) as receiver.url:
        yield receiver


def new_key() -> str:
    return f"shipment:{uuid4().hex}:1:book"


def calling(receiver: Receiver, **settings: Any) -> dict[str, Any]:
    return {"webhook_url": receiver.url, "webhook_secret": SecretStr(SECRET), "delivery_seconds": 0.05} | settings


@pytest.mark.parametrize(
    ("postcode", "states"),
    [
        ("10115", ["picked_up", "in_transit", "delivered"]),
        ("returned", ["picked_up", "in_transit", "returned"]),
        ("LOST", ["picked_up"]),
    ],
)
async def test_a_carrier_tells_of_each_event_once_signed_and_in_order(
    start: Start, receiver: Receiver, postcode: str, states: list[str]
) -> None:
    sandbox = await start(**calling(receiver))
    key, other = new_key(), new_key()
    booked = (await sandbox.book("steady", key, postcode)).body
    await eventually(lambda: len(receiver.taken(key)) == len(states))
    await sandbox.book("swift", other)  # when its last event is told, a fourth of the first parcel would have been too
    await eventually(lambda: len(receiver.taken(other)) == 3)
    assert receiver.taken(key) == states
    assert receiver.wrong_signatures == 0
    carrier, call, _ = receiver.calls[0]
    assert carrier == "steady"
    assert set(call) == {"event_id", "reference", "tracking_number", "state", "at"}
    assert call["tracking_number"] == booked["tracking_number"]
    assert datetime.fromisoformat(call["at"]).utcoffset() == datetime.now(UTC).utcoffset()
    events = (await sandbox.get(f"/carriers/steady/v1/shipments/{booked['tracking_number']}")).body["events"]
    assert events[0] == {name: call[name] for name in ("event_id", "state", "at")}


@pytest.mark.parametrize("status", [500, 503, 401, 404, 302])
async def test_a_call_is_repeated_until_it_is_taken(start: Start, receiver: Receiver, status: int) -> None:
    receiver.refusals = [status, status]
    sandbox = await start(**calling(receiver))
    key = new_key()
    await sandbox.book("steady", key)
    await eventually(lambda: receiver.taken(key) == ["picked_up", "in_transit", "delivered"])
    tries = [call["event_id"] for _, call, _ in receiver.calls[:3]]
    assert len(set(tries)) == 1
    assert len(receiver.calls) == 5


async def test_calls_are_repeated_while_the_receiver_is_away(
    start: Start, receiver: Receiver, unused_tcp_port: int
) -> None:
    sandbox = await start(**calling(receiver, webhook_url=f"http://127.0.0.1:{unused_tcp_port}"))
    key = new_key()
    await sandbox.book("steady", key)
    late = Receiver()
    app = web.Application()
    app.router.add_post("/webhooks/carriers/{carrier}", late.receive)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", unused_tcp_port).start()
    await eventually(lambda: late.taken(key) == ["picked_up", "in_transit", "delivered"])
    await runner.cleanup()


async def test_a_cancelled_booking_calls_no_more(start: Start, receiver: Receiver) -> None:
    receiver.refusals = [500]
    sandbox = await start(**calling(receiver, delivery_seconds=0))
    key, other = new_key(), new_key()
    await sandbox.book("steady", key)
    await eventually(lambda: bool(receiver.calls))
    await sandbox.cancel("steady", key)
    await sandbox.book("steady", other)
    await eventually(lambda: len(receiver.taken(other)) == 3)
    receiver.refusals = [500]
    await sandbox.book("steady", again := new_key())  # its repeat comes after the one of the cancelled would have
    await eventually(lambda: len(receiver.taken(again)) == 3)
    assert receiver.taken(key) == []


async def test_nobody_is_called_without_a_url(start: Start, receiver: Receiver, tmp_path: Path) -> None:
    silent = await start(database=str(tmp_path / "world.db"), delivery_seconds=0)
    key, other = new_key(), new_key()
    tracking = (await silent.book("steady", key)).body["tracking_number"]
    assert (await silent.get(f"/carriers/steady/v1/shipments/{tracking}")).body["state"] == "delivered"
    calling_again = await start(**calling(receiver, database=str(tmp_path / "world.db"), delivery_seconds=0))
    await calling_again.book("steady", other)
    await eventually(lambda: len(receiver.taken(other)) == 3)
    assert receiver.taken(key) == []


def test_the_pause_between_calls_doubles_up_to_a_limit() -> None:
    pauses = [backoff(attempts) for attempts in range(1, 2000)]
    assert pauses[1] == 2 * pauses[0]
    assert pauses == sorted(pauses)
    assert pauses[-1] == LONGEST_BACKOFF_SECONDS


async def test_a_sandbox_that_cannot_call_any_more_says_so(receiver: Receiver) -> None:
    state = State(":memory:")
    told = Settings(
        operator_token=SecretStr("operators!"), webhook_url=receiver.url, webhook_secret=SecretStr(SECRET), port=9000
    )
    world = World(told, state)
    async with serve_app(world.app) as url, aiohttp.ClientSession(url) as session:
        sandbox = Client(session)
        await sandbox.book("steady", new_key())
        await eventually(lambda: bool(receiver.calls))
        state.close()
        with pytest.raises((sqlite3.Error, ExceptionGroup)):  # a group if it was in the middle of a call
            await world.failed
        unready = await sandbox.get("/readyz")
        assert unready.status == 503
        assert set(unready.body["problems"]) == {"callbacks", "database"}
        assert (await sandbox.authorise(new_key())).status == 500
