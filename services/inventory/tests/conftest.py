import json
import os
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from pydantic import SecretStr
from sqlalchemy import text
from temporalio.client import Client, WorkflowHandle
from temporalio.testing import WorkflowEnvironment

from chassis import health
from chassis.connection import Connection
from chassis.database import Database
from chassis.service import Service
from chassis.testing.serving import serve_app
from inventory.books import Books, Receipt, Receiving
from inventory.imports import ImportStore
from inventory.metrics import InventoryMetrics
from inventory.settings import Settings
from inventory.store import Store
from inventory.worker import compose


@pytest_asyncio.fixture
async def database(fresh_database: Callable[[str], Awaitable[Database]]) -> Database:
    return await fresh_database("inventory.migrations")


@pytest.fixture
def metrics() -> InventoryMetrics:
    """Of `store` and `books`."""
    return InventoryMetrics()


@pytest.fixture
def store(database: Database, metrics: InventoryMetrics) -> Store:
    return Store(database.engine, metrics)


@pytest.fixture
def books(database: Database, metrics: InventoryMetrics) -> Books:
    return Books(database.engine, metrics)


@pytest.fixture
def imports(database: Database) -> ImportStore:
    return ImportStore(database.engine)


@pytest.fixture
def stocked(books: Books) -> Callable[..., Awaitable[str]]:
    """Makes a product of 250 euro cents and 100 grams, with units in the warehouses that are named."""

    async def make(sku: str | None = None, **units: int) -> str:
        sku = sku or f"SKU-{uuid.uuid4().hex}"
        await books.catalogue(sku, 100, {"EUR": 250})
        for warehouse, quantity in units.items():
            assert await books.receive(Receipt(uuid.uuid4().hex, sku, warehouse, quantity)) is Receiving.BOOKED
        return sku

    return make


@pytest.fixture
def shelf(books: Books) -> Callable[[str], Awaitable[dict[str, tuple[int, int]]]]:
    """Reads (on hand, held) of a SKU by warehouse."""

    async def read(sku: str) -> dict[str, tuple[int, int]]:
        product = await books.product(sku)
        assert product is not None
        return {row["warehouse"]: (row["on_hand"], row["held"]) for row in product["warehouses"]}

    return read


@pytest.fixture
def run_out(database: Database) -> Callable[[str], Awaitable[None]]:
    """Makes an order's hold run out a second ago, so that no test waits for a clock."""

    async def age(order_id: str) -> None:
        async with database.engine.begin() as connection:
            late = "UPDATE holds SET expires_at = clock_timestamp() - interval '1 second' WHERE order_id = :id"
            assert (await connection.execute(text(late), {"id": order_id})).rowcount == 1

    return age


@pytest_asyncio.fixture
async def service(database: Database) -> AsyncIterator[Service]:
    """Inventory as its composition root makes it, on the test's database."""
    settings = Settings(
        database_url=database.engine.url.render_as_string(hide_password=False),
        operator_token=SecretStr("operator-token"),
        expiry_seconds=1,
        expiry_batch=2,
        import_partition_rows=40,
        import_chunk_rows=10,
        import_concurrency=2,
        intake_seconds=0.05,
        stocktake_lease_seconds=2,
        reconcile_seconds=1,
    )
    service = compose(settings, Connection("inventory"))
    yield service
    await service.database.close()


@pytest_asyncio.fixture
async def client(dev_server: WorkflowEnvironment, service: Service) -> AsyncIterator[Client]:
    """A client of a real server on which inventory's worker runs."""
    service.connection.use(dev_server.client)
    async with service.worker(dev_server.client):
        yield dev_server.client


@pytest_asyncio.fixture
async def http(service: Service) -> AsyncIterator[aiohttp.ClientSession]:
    """An operator's HTTP client of inventory's surface."""
    app = service.app()
    app[health.HEALTH].storing = True
    token = {"Authorization": "Bearer operator-token"}
    async with serve_app(app) as url, aiohttp.ClientSession(url, headers=token) as session:
        yield session


@pytest.fixture
def record() -> Callable[[WorkflowHandle[Any, Any], str], Awaitable[None]]:
    """Writes a workflow's history for the replay test, if RECORD_HISTORIES is set."""

    async def write(handle: WorkflowHandle[Any, Any], name: str) -> None:
        if os.environ.get("RECORD_HISTORIES"):
            history = json.loads((await handle.fetch_history()).to_json())
            path = Path(__file__).parent / "histories" / f"{name}.json"
            path.write_text(json.dumps(_anonymous(history), indent=1) + "\n")

    return write


def _anonymous(value: Any) -> Any:
    """Without the names of the machine and the folders where it was recorded; replay does not look at them."""
    if isinstance(value, dict):
        return {
            key: "recorded" if key == "identity" else _anonymous(inner)
            for key, inner in value.items()
            if key != "stackTrace"
        }
    return [_anonymous(inner) for inner in value] if isinstance(value, list) else value
