"""Stacks of real processes that keep their spans, and the orders of which the tests speak."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
from temporalio.client import Client

from waybill.stack import SERVICES, Stack
from waybill.stack.plan import NAMESPACE

from .watching import Watched

ENV = {
    # A parcel's whole life, and the question after it, within a test.
    "orchestrator": {"ORCHESTRATOR_REVIEW_SECONDS": "0", "ORCHESTRATOR_INTAKE_SECONDS": "0.5"},
    "sandbox": {"SANDBOX_DELIVERY_SECONDS": "0.5"},
    # The most it takes: on a machine that is slow to begin, an answer that comes later is one more look-up to see.
    "payments": {"PAYMENTS_GATEWAY_SECONDS": "4"},
}
ASK_SECONDS = 15


@dataclass(frozen=True)
class Run:
    """A run of orders of several fates, all of them ended.

    Attributes:
        watched: Where they were placed.
        fulfilled: An order whose every step succeeds, delivered.
        refused: An order that no carrier takes: all that was done is undone.
        unsold: An order of what is not in stock.
        unknown: An order whose charge is answered too late, and looked up.
        unheard: An order of which the customer is told late, for the mail provider fails first.
        approved: An order that somebody approved.
        declined: An order whose card is declined.
    """

    watched: Watched
    fulfilled: str
    refused: str
    unsold: str
    unknown: str
    unheard: str
    approved: str
    declined: str


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    connector = aiohttp.TCPConnector(force_close=True)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=ASK_SECONDS)) as opened:
        yield opened


async def watched(stack: Stack, session: aiohttp.ClientSession) -> Watched:
    """A view of a stack."""
    client = await Client.connect(stack.urls["temporal"], namespace=NAMESPACE, identity="customer@telemetry")
    return Watched(stack, client, session)


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def run(tmp_path_factory: pytest.TempPathFactory, session: aiohttp.ClientSession) -> AsyncIterator[Run]:
    """One run of orders for all tests."""
    directory: Path = tmp_path_factory.mktemp("stack")
    async with Stack(directory, env=ENV, spans=True) as stack:
        world = await watched(stack, session)
        # Alone, since no message of another order is to fail.
        await world.faults(mailbox={"outage": True})
        unheard = await world.place()
        await world.tried_twice(f"fulfil:{unheard}")
        await world.faults(mailbox={})
        fulfilled, refused, unsold, unknown, approved, declined = await asyncio.gather(
            world.place(),
            world.place(postcode="REFUSED"),
            world.place(await world.product(north=0)),
            world.place(card="tok_timeout_after_charge"),
            world.place(price=200_000),
            world.place(card="tok_declined"),
        )
        await world.reached(approved, "awaiting_approval")
        assert (await world.decide(approved, "approve")).status == 200
        await asyncio.gather(*(world.settled(order_id) for order_id in world.placed))
        # What is refused at the door is told there too.
        nonsense = {**world.body("NO-SUCH"), "lines": []}
        world.placed.remove(nonsense["order_id"])
        assert (await world.ask("POST", "orchestrator", "/orders", nonsense)).status == 422
        ended = Run(world, fulfilled, refused, unsold, unknown, unheard, approved, declined)
        yield ended
        assert not await world.audited()


@pytest_asyncio.fixture(scope="module")
async def forgetful(tmp_path_factory: pytest.TempPathFactory, session: aiohttp.ClientSession) -> AsyncIterator[Watched]:
    """A stack whose workers remember one workflow, so that most tasks of several at a time replay the whole history."""
    env = {name: {**ENV.get(name, {}), f"{name.upper()}_CACHED_WORKFLOWS": "1"} for name in SERVICES}
    async with Stack(tmp_path_factory.mktemp("forgetful"), env=ENV | env, spans=True) as stack:
        yield await watched(stack, session)
