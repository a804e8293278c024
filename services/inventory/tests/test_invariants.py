"""Any interleaving of operations keeps the books: found by hypothesis, on a real database."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr
from sqlalchemy import text

from chassis.database import Database
from inventory import jobs
from inventory.applying import Applier
from inventory.books import Books, Receipt
from inventory.contract import Line, Refusal, Reservation, ReserveRequest
from inventory.counting import CountingStore, LeaseLostError
from inventory.imports import ImportStore
from inventory.metrics import InventoryMetrics
from inventory.parsing import COLUMNS
from inventory.settings import Settings
from inventory.staging import Staging
from inventory.store import RefusedError, Store

SKUS = ("tea", "pot", "cup")
WAREHOUSES = ("east", "west")
SETTINGS = Settings(database_url="postgresql://nowhere/none", operator_token=SecretStr("operator-token"))
ORDERS = ("first", "second", "third")


@dataclass(frozen=True)
class Receive:
    sku: str
    warehouse: str
    quantity: int
    receipt: int


@dataclass(frozen=True)
class Reserve:
    order: str
    wanted: tuple[tuple[str, int], ...]
    partial: bool


@dataclass(frozen=True)
class Step:
    verb: str
    order: str


@dataclass(frozen=True)
class Expire:
    limit: int


@dataclass(frozen=True)
class Import:
    """A supplier's list of one chunk."""

    rows: tuple[tuple[str, str, int], ...]


@dataclass(frozen=True)
class Count:
    """A whole stocktake: another one under way for the warehouse is taken over."""

    warehouse: str
    counted: tuple[tuple[str, int], ...]
    reopens: bool


Operation = Receive | Reserve | Step | Expire | Import | Count

orders = st.sampled_from(ORDERS)
operations: st.SearchStrategy[Operation] = st.one_of(
    st.builds(Receive, st.sampled_from(SKUS), st.sampled_from(WAREHOUSES), st.integers(1, 5), st.integers(1, 4)),
    st.builds(
        Reserve,
        orders,
        st.lists(
            st.tuples(st.sampled_from(SKUS), st.integers(1, 4)), min_size=1, max_size=3, unique_by=lambda line: line[0]
        ).map(tuple),
        st.booleans(),
    ),
    st.builds(Step, st.sampled_from(["commit", "release", "run_out"]), orders),
    st.builds(Expire, st.integers(1, 3)),
    st.builds(
        Import,
        st.lists(
            st.tuples(st.sampled_from(SKUS), st.sampled_from(WAREHOUSES), st.integers(0, 6)), min_size=1, max_size=4
        ).map(tuple),
    ),
    st.builds(
        Count,
        st.sampled_from(WAREHOUSES),
        st.lists(st.tuples(st.sampled_from(SKUS), st.integers(0, 6)), max_size=3, unique_by=lambda row: row[0]).map(
            tuple
        ),
        st.booleans(),
    ),
)
# The operations of a wave run at the same moment; the waves follow each other.
waves = st.lists(st.lists(operations, min_size=1, max_size=5), min_size=1, max_size=6)
opening = st.lists(st.integers(0, 6), min_size=len(SKUS) * len(WAREHOUSES), max_size=len(SKUS) * len(WAREHOUSES))


class Shop:
    """Operations on SKUs and orders of one example's own."""

    def __init__(self, database: Database) -> None:
        self.prefix = uuid.uuid4().hex
        self.database = database
        self.store = Store(database.engine, InventoryMetrics())
        self.books = Books(database.engine, InventoryMetrics())

    def name(self, short: str) -> str:
        return f"{self.prefix}-{short}"

    async def do(self, operation: Operation) -> object:
        try:
            return await self._do(operation)
        except RefusedError as refused:
            return refused.refusal

    async def _do(self, operation: Operation) -> object:
        match operation:
            case Receive(sku, warehouse, quantity, receipt):
                return await self.books.receive(
                    Receipt(self.name(str(receipt)), self.name(sku), self.name(warehouse), quantity)
                )
            case Reserve(order, wanted, partial):
                lines = tuple(Line(self.name(sku), quantity) for sku, quantity in wanted)
                return await self.store.reserve(ReserveRequest(self.name(order), "EUR", lines, partial))
            case Step("commit", order):
                return await self.store.commit(self.name(order))
            case Step("release", order):
                return await self.store.release(self.name(order), "property")
            case Step(_, order):
                await self._run_out(self.name(order))
                return None
            case Expire(limit):
                return await self.store.release_expired(limit)
            case Import(rows):
                return await self._import(rows)
            case Count():
                return await self._count(operation)

    async def _import(self, rows: tuple[tuple[str, str, int], ...]) -> jobs.ImportResult:
        lines = [f"{self.name(sku)},100,EUR,250,{self.name(warehouse)},{units}" for sku, warehouse, units in rows]

        async def body() -> AsyncIterator[bytes]:
            yield "\n".join([",".join(COLUMNS), *lines]).encode()

        imports, import_id = ImportStore(self.database.engine), uuid.uuid4().hex
        await imports.accept(import_id, await Staging(self.database.engine, SETTINGS).stage(body(), is_csv=True))
        await imports.prepare(import_id, jobs.Portions())
        applied = await Applier(self.database.engine, InventoryMetrics()).chunk(import_id, 0, 100, 1)
        assert (applied.finished, applied.rows) == (True, len(rows))
        return await imports.finish(import_id, "completed")

    async def _count(self, operation: Count) -> object:
        counting, round_id, warehouse = (
            CountingStore(self.database.engine, InventoryMetrics()),
            uuid.uuid4().hex,
            operation.warehouse,
        )
        name = self.name(warehouse)
        key = jobs.stocktake_key(round_id, name)
        job = jobs.Stocktake(key, round_id, name, jobs.Counting.SHEET, deadline_seconds=60, lease_seconds=60)
        try:
            await counting.close(job)
            await counting.write(name, {self.name(sku): units for sku, units in operation.counted}, complete=True)
            result = await counting.correct(job)
        except LeaseLostError:
            result = jobs.Counted(name, key, jobs.CountStatus.CANCELLED)
        if operation.reopens:
            await counting.reopen(job, result)
        return result

    async def _run_out(self, order_id: str) -> None:
        async with self.database.engine.begin() as connection:
            late = "UPDATE holds SET expires_at = clock_timestamp() - interval '1 second' WHERE order_id = :id"
            await connection.execute(text(late), {"id": order_id})

    async def shelves(self) -> dict[tuple[str, str], tuple[int, int]]:
        found = {}
        for sku in SKUS:
            product = await self.books.product(self.name(sku))
            assert product is not None
            for row in product["warehouses"]:
                found[sku, row["warehouse"]] = (row["on_hand"], row["held"])
        return found

    async def received(self) -> int:
        async with self.database.engine.connect() as connection:
            query = text(
                "SELECT coalesce(sum(quantity), 0) FROM movements"
                " WHERE kind IN ('receipt', 'import', 'stocktake') AND sku LIKE :mine"
            )
            return int((await connection.execute(query, {"mine": f"{self.prefix}-%"})).scalar_one())

    async def items(self) -> dict[str, dict[str, Any]]:
        page = await self.books.orders(self.prefix, len(ORDERS) + 1)
        return {item["order_id"]: item for item in page if item["order_id"].startswith(self.prefix)}


async def check(shop: Shop) -> None:
    shelves, items = await shop.shelves(), await shop.items()
    assert all(on_hand >= held >= 0 for on_hand, held in shelves.values())
    assert await shop.books.discrepancies() == []
    # What came in is on a shelf or gone with an order: units neither appear nor vanish.
    gone = sum(item["out"] for item in items.values())
    assert await shop.received() == sum(on_hand for on_hand, _ in shelves.values()) + gone
    assert sum(item["held"] for item in items.values()) == sum(held for _, held in shelves.values())
    for item in items.values():
        assert (item["held"] > 0) == (item["state"] == "held")
        assert (item["out"] > 0) == (item["state"] == "committed")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(opening, waves)
async def test_any_interleaving_keeps_the_books(
    database: Database, units: list[int], waves: list[list[Operation]]
) -> None:
    shop = Shop(database)
    for sku in SKUS:
        await shop.books.catalogue(shop.name(sku), 100, {"EUR": 250})
    for number, quantity in enumerate(units):
        sku, warehouse = SKUS[number // len(WAREHOUSES)], WAREHOUSES[number % len(WAREHOUSES)]
        if quantity:
            await shop.do(Receive(sku, warehouse, quantity, 100 + number))
    ended: dict[str, str] = {}
    for wave in waves:
        answers = await asyncio.gather(*(shop.do(operation) for operation in wave))
        await check(shop)
        items = await shop.items()
        for order_id, state in ended.items():
            assert items[order_id]["state"] == state  # nothing leads out of released or expired
        ended = {key: item["state"] for key, item in items.items() if item["state"] in ("released", "expired")}
        for operation, answer in zip(wave, answers, strict=True):
            if isinstance(operation, Reserve) and isinstance(answer, Reservation):
                taken = {sku: 0 for sku, _ in operation.wanted}
                for line in answer.lines:
                    taken[line.sku.removeprefix(f"{shop.prefix}-")] += line.quantity
                assert all(units <= dict(operation.wanted)[sku] for sku, units in taken.items())
                assert operation.partial or taken == dict(operation.wanted)
            elif isinstance(operation, Reserve):
                assert answer in set(Refusal) - {Refusal.UNKNOWN_SKU, Refusal.WRONG_CURRENCY, Refusal.HOLD_MISSING}
