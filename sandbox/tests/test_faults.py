import asyncio
import random
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from chassis.testing.waiting import eventually
from sandbox.testing import Client, Reply

Start = Callable[..., Awaitable[Client]]
NONE = {"latency_seconds": 0, "error_rate": 0, "outage": False}


class Dice(random.Random):
    """Falls as it is told."""

    def __init__(self, *throws: float) -> None:
        super().__init__()
        self.throws = list(throws)

    def random(self) -> float:
        return self.throws.pop(0)


async def put(sandbox: Client, faults: Any) -> Reply:
    return await sandbox.call("PUT", "/faults", faults)


async def test_nothing_is_wrong_at_first(sandbox: Client) -> None:
    assert (await sandbox.get("/faults")).body == dict.fromkeys(
        ("gateway", "swift", "steady", "budget", "mailbox"), NONE
    )


async def test_an_outage_concerns_its_provider_alone_until_it_ends(sandbox: Client) -> None:
    key = uuid4().hex
    await put(sandbox, {"gateway": {"outage": True}, "swift": {"outage": True}})
    down = await sandbox.authorise(key)
    assert (down.status, down.body["error"], down.content_type) == (503, "down", "application/problem+json")
    assert (await sandbox.quote("swift")).status == 503
    assert (await sandbox.quote("steady")).status == 200
    assert (await sandbox.message(uuid4().hex)).status == 201
    assert (await sandbox.get("/readyz")).status == 200
    assert (await sandbox.get(f"/effects?key={key}")).body["requests"] == 0
    await put(sandbox, {"gateway": {}})
    assert (await sandbox.authorise(key)).status == 201
    assert (await sandbox.quote("swift")).status == 503


async def test_what_is_named_is_replaced_whole_and_nothing_else(sandbox: Client) -> None:
    await put(sandbox, {"budget": {"latency_seconds": 1, "error_rate": 0.5}, "mailbox": {"outage": True}})
    replaced = await put(sandbox, {"budget": {"error_rate": 1}})
    assert replaced.status == 200
    assert replaced.body["budget"] == NONE | {"error_rate": 1}
    assert replaced.body["mailbox"] == NONE | {"outage": True}
    assert (await put(sandbox, {})).body == replaced.body
    assert (await sandbox.get("/faults")).body == replaced.body


async def test_errors_come_before_the_effect_or_after_it(start: Start) -> None:
    # Each request throws once against the rate and, if it fails, once for when it does.
    sandbox = await start(chance=Dice(0.39, 0.51, 0.39, 0.49, 0.40))
    await put(sandbox, {"gateway": {"error_rate": 0.4}})
    before, after, spared = uuid4().hex, uuid4().hex, uuid4().hex
    replies = [await sandbox.authorise(key) for key in (before, after, spared)]
    assert [reply.status for reply in replies] == [500, 500, 201]
    assert replies[0].body["error"] == "fault"
    assert [await sandbox.effects(key) for key in (before, after, spared)] == [0, 1, 1]


async def test_all_requests_fail_at_a_rate_of_one_and_none_at_zero(sandbox: Client) -> None:
    await put(sandbox, {"steady": {"error_rate": 1}})
    assert {(await sandbox.quote("steady")).status for _ in range(30)} == {500}
    await put(sandbox, {"steady": {"error_rate": 0}})
    assert {(await sandbox.quote("steady")).status for _ in range(30)} == {200}


async def test_a_request_whose_sender_gave_up_comes_late_all_the_same(sandbox: Client) -> None:
    key = uuid4().hex
    await put(sandbox, {"gateway": {"latency_seconds": 0.5}})
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(sandbox.authorise(key), 0.1)

    async def charged() -> bool:
        return await sandbox.effects(key) == 1

    assert not await charged()
    assert await eventually(charged)


async def test_latency_delays_its_provider_alone(sandbox: Client) -> None:
    await put(sandbox, {"mailbox": {"latency_seconds": 600}})
    key = uuid4().hex
    late = asyncio.ensure_future(sandbox.message(key))
    assert (await sandbox.authorise(uuid4().hex)).status == 201
    assert (await sandbox.quote("swift")).status == 200
    assert not late.done()
    assert await sandbox.effects(key) == 0
    late.cancel()
    await put(sandbox, {"mailbox": {"latency_seconds": 0.01}})
    assert (await sandbox.message(uuid4().hex)).status == 201


async def test_faults_survive_a_restart(start: Start, tmp_path: Path) -> None:
    database = str(tmp_path / "world.db")
    await put(await start(database=database), {"steady": {"outage": True}})
    assert (await (await start(database=database)).quote("steady")).status == 503


@pytest.mark.parametrize(
    ("faults", "field"),
    [
        ({"pigeon": {}}, "pigeon"),
        ({"gateway": None}, "gateway"),
        ({"gateway": {"latency": 1}}, "gateway.latency"),
        ({"gateway": {"latency_seconds": -1}}, "gateway.latency_seconds"),
        ({"gateway": {"latency_seconds": 601}}, "gateway.latency_seconds"),
        ({"gateway": {"latency_seconds": "1"}}, "gateway.latency_seconds"),
        ({"swift": {"error_rate": 1.01}}, "swift.error_rate"),
        ({"swift": {"error_rate": -0.01}}, "swift.error_rate"),
        ({"swift": {"error_rate": True}}, "swift.error_rate"),
        ({"mailbox": {"outage": 1}}, "mailbox.outage"),
        ([], "body"),
    ],
)
async def test_wrong_faults_are_refused_by_field_and_change_nothing(sandbox: Client, faults: Any, field: str) -> None:
    before = await put(sandbox, {"budget": {"outage": True}})
    refused = await put(sandbox, faults)
    assert (refused.status, refused.body["field"]) == (422, field)
    assert (await sandbox.get("/faults")).body == before.body
