"""What is counted, and that it is counted once."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from pydantic import SecretStr

from chassis.database import Database
from inventory import jobs
from inventory.applying import Applier
from inventory.books import Books, Receipt
from inventory.contract import Line, Refusal, ReserveRequest
from inventory.counting import CountingStore
from inventory.imports import ImportStore
from inventory.metrics import MOVEMENTS, InventoryMetrics
from inventory.parsing import COLUMNS
from inventory.settings import Settings
from inventory.staging import Staging
from inventory.store import RefusedError, Store
from inventory.tables import MovementKind

Stocked = Callable[..., Awaitable[str]]
RunOut = Callable[[str], Awaitable[None]]


def counted(metrics: InventoryMetrics, name: str) -> dict[str, float]:
    """The series of a counter that are not 0, by their label's value."""
    return {
        next(iter(sample.labels.values())): sample.value
        for metric in metrics.registry.collect()
        for sample in metric.samples
        if sample.name == f"{name}_total" and sample.value
    }


def a_request(sku: str, quantity: int, *, allow_partial: bool = False) -> ReserveRequest:
    return ReserveRequest(uuid.uuid4().hex, "EUR", (Line(sku, quantity),), allow_partial)


async def test_a_reservation_counts_once_and_so_do_its_units(
    store: Store, metrics: InventoryMetrics, stocked: Stocked
) -> None:
    sku = await stocked(east=5, west=2)
    request = a_request(sku, 6)
    await asyncio.gather(*(store.reserve(request) for _ in range(5)))
    await store.reserve(a_request(sku, 3, allow_partial=True))
    with pytest.raises(RefusedError):
        await store.reserve(a_request(sku, 1))
    assert counted(metrics, "reservations") == {"done": 1, "partial": 1, "out_of_stock": 1}
    assert counted(metrics, "stock_moved_units") == {"receipt": 7, "reserve": 7}


async def test_commit_and_put_back_count_their_units_once(
    store: Store, metrics: InventoryMetrics, stocked: Stocked
) -> None:
    request = a_request(await stocked(east=5), 4)
    await store.reserve(request)
    for _ in range(2):
        await store.commit(request.order_id)
    for _ in range(2):
        await store.release(request.order_id, "undo")
    assert counted(metrics, "stock_moved_units") == {"receipt": 5, "reserve": 4, "commit": 4, "put_back": 4}


async def test_what_is_let_go_counts_as_released_or_expired(
    store: Store, metrics: InventoryMetrics, stocked: Stocked, run_out: RunOut
) -> None:
    sku = await stocked(east=9)
    released, expired, late = (a_request(sku, quantity) for quantity in (1, 2, 3))
    for request in (released, expired, late):
        await store.reserve(request)
    for _ in range(2):
        await store.release(released.order_id, "undo")
    await run_out(expired.order_id)
    for _ in range(2):
        await store.release_expired(10)
    await run_out(late.order_id)
    with pytest.raises(RefusedError):
        await store.commit(late.order_id)
    assert counted(metrics, "stock_moved_units") == {"receipt": 9, "reserve": 6, "release": 1, "expire": 5}


async def test_a_receipt_counts_once(books: Books, metrics: InventoryMetrics, stocked: Stocked) -> None:
    receipt = Receipt(uuid.uuid4().hex, await stocked(), "east", 3)
    for _ in range(3):
        await books.receive(receipt)
    assert counted(metrics, "stock_moved_units") == {"receipt": 3}


async def test_lines_of_a_list_count_once_and_units_whichever_way_they_go(
    database: Database, metrics: InventoryMetrics, stocked: Stocked, imports: ImportStore
) -> None:
    more, fewer, bad = await stocked(east=5), await stocked(east=5), await stocked(east=5)
    rows = [f"{more},100,EUR,250,east,7", f"{fewer},100,EUR,250,east,2", f"{bad},100,EUR,250,east,many"]

    async def body() -> AsyncIterator[bytes]:
        yield "\n".join([",".join(COLUMNS), *rows]).encode()

    settings = Settings(
        database_url=database.engine.url.render_as_string(hide_password=False),
        operator_token=SecretStr("operator-token"),
    )
    import_id = uuid.uuid4().hex
    await imports.accept(import_id, await Staging(database.engine, settings).stage(body(), is_csv=True))
    await imports.prepare(import_id, jobs.Portions())
    for _ in range(2):
        await Applier(database.engine, metrics).chunk(import_id, 0, 100, 1)
    assert counted(metrics, "import_rows") == {"done": 2, "failed": 1}
    assert counted(metrics, "stock_moved_units") == {"receipt": 15, "import": 2 + 3}


async def test_a_stocktake_counts_the_units_that_it_found_and_missed_once(
    database: Database, metrics: InventoryMetrics, stocked: Stocked
) -> None:
    more, fewer, round_id = await stocked(east=5), await stocked(east=5), uuid.uuid4().hex
    counting, key = CountingStore(database.engine, metrics), jobs.stocktake_key(round_id, "east")
    job = jobs.Stocktake(key, round_id, "east", jobs.Counting.SHEET, deadline_seconds=60, lease_seconds=60)
    await counting.close(job)
    await counting.write("east", {more: 9, fewer: 2}, complete=True)
    for _ in range(2):
        await counting.correct(job)
    assert counted(metrics, "stock_moved_units") == {"receipt": 10, "stocktake": 4 + 3}


def test_every_kind_of_movement_is_on_the_list() -> None:
    assert {str(kind) for kind in MovementKind} <= set(MOVEMENTS)


def test_every_refusal_is_there_at_0(metrics: InventoryMetrics) -> None:
    for result in ("done", "partial", *Refusal):
        assert metrics.registry.get_sample_value("reservations_total", {"result": result}) == 0
