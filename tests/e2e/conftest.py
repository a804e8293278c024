"""One stack of real processes for all tests; each test ends with everything running again, and its orders audited."""

from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
from temporalio.client import Client

from waybill.audit.reading import Reader
from waybill.audit.run import audit
from waybill.stack import Stack
from waybill.stack.plan import NAMESPACE

from .world import World

ENV = {
    # A parcel's whole life, and the question after it, within a test.
    "orchestrator": {"ORCHESTRATOR_REVIEW_SECONDS": "0", "ORCHESTRATOR_INTAKE_SECONDS": "0.5"},
    "sandbox": {"SANDBOX_DELIVERY_SECONDS": "0.5"},
    # Silence of a carrier or of the gateway is waited for by several tests.
    "shipping": {"SHIPPING_QUOTE_SECONDS": "2"},
    "payments": {"PAYMENTS_GATEWAY_SECONDS": "2"},
}
ASK_SECONDS = 15


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    directory: Path = tmp_path_factory.mktemp("stack")
    async with Stack(directory, env=ENV) as running:
        yield running
        # What came late for an order, after its own test had looked, is found here.
        async with aiohttp.ClientSession() as session:
            report = await audit(Reader(session, running.urls, running.operator_token), wait_seconds=30)
        assert not report.violations, "\n".join(str(violation) for violation in report.violations)


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    # A connection that is kept over the restart of its server fails the next request.
    connector = aiohttp.TCPConnector(force_close=True)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=ASK_SECONDS)) as opened:
        yield opened


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def client(stack: Stack) -> Client:
    return await Client.connect(stack.urls["temporal"], namespace=NAMESPACE, identity="customer@e2e")


@pytest_asyncio.fixture
async def world(stack: Stack, client: Client, session: aiohttp.ClientSession) -> AsyncIterator[World]:
    world = World(stack, client, session)
    yield world
    await world.made_whole()
    violations = await world.audited()
    assert not violations, "\n".join(str(violation) for violation in violations)
