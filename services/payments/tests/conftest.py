"""The world of payments' tests: a real database, and a gateway of our own behind real HTTP."""

import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, cast

import pytest
import pytest_asyncio
from pydantic import SecretStr
from temporalio.client import Client
from temporalio.exceptions import ApplicationError
from temporalio.testing import WorkflowEnvironment

from chassis.connection import Connection
from chassis.converter import DATA_CONVERTER
from chassis.database import Database
from chassis.http import HttpClient
from chassis.service import Service
from chassis.testing.programs import program
from chassis.testing.serving import serve_app
from payments.account_activities import AccountActivities
from payments.account_store import AccountStore
from payments.account_terms import Move
from payments.activities import Activities
from payments.contract import AuthoriseRequest, Reversed, Undo
from payments.credit_payments import CreditPayments
from payments.gateway import Gateway
from payments.metrics import PaymentsMetrics
from payments.model import Books, State
from payments.settings import Settings
from payments.store import Store
from payments.store_credit import StoreCredit
from payments.worker import compose

from .direct_credit import DirectCredit
from .fake_gateway import FakeGateway

TIMEOUT = 4.0
"""Of a request to the fake gateway, seconds. It answers at once or never: the most that the setting takes."""
SHORT = 1.0
"""The same where a test has the gateway hang, and waits until it is given up."""


@dataclass
class World:
    database: Database
    store: Store
    outside: FakeGateway
    gateway: Gateway
    accounts: AccountStore
    credit: DirectCredit
    activities: Activities
    metrics: PaymentsMetrics


@pytest.fixture
def gateway_seconds() -> float:
    """Of the world's requests to the gateway. Tests name another as a parameter."""
    return TIMEOUT


@pytest_asyncio.fixture
async def world(fresh_database: Callable[[str], Awaitable[Database]], gateway_seconds: float) -> AsyncIterator[World]:
    database = await fresh_database("payments.migrations")
    outside = FakeGateway()
    http = HttpClient(timeout_seconds=gateway_seconds)
    async with serve_app(outside.app()) as url:
        metrics = PaymentsMetrics()
        store, gateway = Store(database.engine, metrics), Gateway(f"{url}/gateway", http)
        accounts = AccountStore(database.engine, metrics)
        credit = DirectCredit(AccountActivities(accounts))
        activities = Activities(store, gateway, CreditPayments(store, cast(StoreCredit, credit)), metrics)
        yield World(database, store, outside, gateway, accounts, credit, activities, metrics)
        outside.released.set()
        await http.close()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def forgetful_server() -> AsyncIterator[WorkflowEnvironment]:
    """A real server that wants workflows to continue as new after a few events."""
    environment = await WorkflowEnvironment.start_local(
        dev_server_existing_path=program("temporal"),
        data_converter=DATA_CONVERTER,
        dev_server_log_level="error",
        dev_server_extra_args=[
            *("--dynamic-config-value", "history.transferProcessorMaxPollRPS=2000"),
            *("--dynamic-config-value", "limit.historyCount.suggestContinueAsNew=40"),
        ],
    )
    async with environment:
        yield environment


def composed(world: World, client: Client, **settings: Any) -> Service:
    """The service as in production, on the world's database and gateway."""
    connection = Connection("payments")
    connection.use(client)
    return compose(
        Settings(
            database_url=world.database.engine.url.render_as_string(hide_password=False),
            operator_token=SecretStr("operator-token"),
            gateway_url=world.gateway._base,
            gateway_seconds=TIMEOUT,
            **settings,
        ),
        connection,
    )


@asynccontextmanager
async def serving(world: World, environment: WorkflowEnvironment, **settings: Any) -> AsyncIterator[Client]:
    """The service's own worker, put together as in production, at work on a test server."""
    service = composed(world, environment.client, **settings)
    try:
        async with service.worker(environment.client):
            yield environment.client
    finally:
        for client in service.clients:
            await client.close()
        await service.database.close()


def new_account() -> str:
    return f"account-{uuid.uuid4().hex[:12]}"


def new_key() -> str:
    return f"key-{uuid.uuid4().hex[:12]}"


def credit_request(order_id: str, account_id: str, *, amount: int = 1250, currency: str = "EUR") -> AuthoriseRequest:
    return AuthoriseRequest(order_id, amount, currency, card_token="", account_id=account_id)


def credit_of(world: World, client: Client) -> StoreCredit:
    """Store credit as production asks for it, through Temporal."""
    connection = Connection("payments")
    connection.use(client)
    return StoreCredit(connection, world.accounts)


async def account_with(world: World, amount: int) -> str:
    account_id = new_account()
    await world.accounts.deposit(account_id, Move(new_key(), amount, "EUR"))
    return account_id


async def balance_of(world: World, account_id: str) -> int:
    """What an account holds, after its table, its statement and the ledger have been held against each other."""
    account = await world.accounts.account(account_id)
    assert account is not None
    entries = await world.accounts.statement(account_id, 0, 1000)
    running = 0
    for number, entry in enumerate(entries, 1):
        running += entry.amount
        assert (entry.entry, entry.balance_after) == (number, running)
        assert running >= 0
    assert account.balance == running
    assert account.entries == len(entries)
    return account.balance


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
