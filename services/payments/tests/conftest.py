"""The world of payments' tests: a real database, and a gateway of our own behind real HTTP."""

import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
import pytest_asyncio
from pydantic import SecretStr
from temporalio.client import Client
from temporalio.exceptions import ApplicationError
from temporalio.testing import WorkflowEnvironment

from chassis.connection import Connection
from chassis.database import Database
from chassis.http import HttpClient
from chassis.testing.serving import serve_app
from payments.activities import Activities
from payments.contract import AuthoriseRequest, Reversed, Undo
from payments.gateway import Gateway
from payments.model import Books, State
from payments.settings import Settings
from payments.store import Store
from payments.worker import compose

from .fake_gateway import FakeGateway

TIMEOUT = 0.5
"""Of a request to the fake gateway: it answers at once or never."""


@dataclass
class World:
    database: Database
    store: Store
    outside: FakeGateway
    gateway: Gateway
    activities: Activities


@pytest_asyncio.fixture
async def world(fresh_database: Callable[[str], Awaitable[Database]]) -> AsyncIterator[World]:
    database = await fresh_database("payments.migrations")
    outside = FakeGateway()
    http = HttpClient(timeout_seconds=TIMEOUT)
    async with serve_app(outside.app()) as url:
        store, gateway = Store(database.engine), Gateway(f"{url}/gateway", http)
        yield World(database, store, outside, gateway, Activities(store, gateway))
        outside.released.set()
        await http.close()


@asynccontextmanager
async def serving(world: World, environment: WorkflowEnvironment) -> AsyncIterator[Client]:
    """The service's own worker, put together as in production, at work on a test server."""
    settings = Settings(
        database_url=world.database.engine.url.render_as_string(hide_password=False),
        operator_token=SecretStr("operator-token"),
        gateway_url=world.gateway._base,
        gateway_seconds=TIMEOUT,
    )
    connection = Connection("payments")
    connection.use(environment.client)
    service = compose(settings, connection)
    try:
        async with service.worker(environment.client):
            yield environment.client
    finally:
        for client in service.clients:
            await client.close()
        await service.database.close()


def new_order() -> str:
    return f"order-{uuid.uuid4().hex[:12]}"


def request_for(order_id: str, *, amount: int = 1250, card_token: str = "tok_ok") -> AuthoriseRequest:
    return AuthoriseRequest(order_id=order_id, amount=amount, currency="EUR", card_token=card_token)


async def undo(activities: Activities, order_id: str) -> Reversed:
    """What ReversePayment does."""
    request = Undo(order_id=order_id, reason="test")
    outcome = await activities.void(request)
    return outcome.reversed or await activities.refund(request)


async def assert_nothing_is_left(world: World, order_id: str) -> None:
    """After an undo the customer has the money, nothing happened twice, and the books say so."""
    books = await world.store.books(order_id)
    assert books is not None
    assert books.payment.state is State.REVERSED
    assert books.payment.captured == books.payment.refunded
    assert world.outside.taken(order_id) == 0
    assert world.outside.set_aside(order_id) == 0
    assert_books_match(world, books)


def assert_books_match(world: World, books: Books) -> None:
    """Our books say what the gateway says, and each effect happened once at most."""
    order_id = books.payment.order_id
    assert books.balanced
    assert sum(books.ledger.values()) == 0
    assert books.payment.captured - books.payment.refunded == books.ledger.get("gateway", 0)
    assert books.payment.captured - books.payment.refunded == world.outside.taken(order_id)
    assert all(count <= 1 for key, count in world.outside.effects.items() if f":{order_id}:" in key)


@asynccontextmanager
async def refuses(kind: str, message: str = "") -> AsyncIterator[None]:
    """The block is refused for good, with a type of the contract."""
    with pytest.raises(ApplicationError) as caught:
        yield
    assert caught.value.type == kind
    assert message in caught.value.message
    assert caught.value.non_retryable
