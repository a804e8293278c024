import uuid
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from chassis.database import Database
from inventory.books import Books, Receipt, Receiving
from inventory.contract import Line, Refusal, ReservedLine, ReserveRequest
from inventory.store import RefusedError, Store

Stocked = Callable[..., Awaitable[str]]
Shelf = Callable[[str], Awaitable[dict[str, tuple[int, int]]]]
RunOut = Callable[[str], Awaitable[None]]

MOVE = "INSERT INTO movements (kind, reference, sku, warehouse, quantity)"


def order(*lines: tuple[str, int], currency: str = "EUR", partial: bool = False) -> ReserveRequest:
    asked = tuple(Line(sku, quantity) for sku, quantity in lines)
    return ReserveRequest(f"A-{uuid.uuid4().hex}", currency, asked, allow_partial=partial)


async def test_a_reservation_names_prices_weights_and_warehouses(store: Store, stocked: Stocked, shelf: Shelf) -> None:
    sku = await stocked(east=5)
    request = order((sku, 2))
    before = datetime.now(UTC)
    reservation = await store.reserve(request)
    assert reservation.lines == (ReservedLine(sku, 2, "east", 250, 100),)
    assert (reservation.order_id, reservation.currency, reservation.total) == (request.order_id, "EUR", 500)
    assert reservation.missing == ()
    assert abs(reservation.expires_at - before - timedelta(hours=48)) < timedelta(minutes=1)
    assert await shelf(sku) == {"east": (5, 2)}


async def test_a_repeat_gets_the_first_answer_though_prices_changed(
    store: Store, books: Books, stocked: Stocked, shelf: Shelf
) -> None:
    sku = await stocked(east=5)
    request = order((sku, 2))
    first = await store.reserve(request)
    await books.catalogue(sku, 999, {"EUR": 999})
    assert await store.reserve(request) == first
    assert await shelf(sku) == {"east": (5, 2)}


async def test_an_order_may_be_split_over_warehouses(store: Store, stocked: Stocked, shelf: Shelf) -> None:
    sku = await stocked(east=2, west=2)
    reservation = await store.reserve(order((sku, 3)))
    assert [(line.warehouse, line.quantity) for line in reservation.lines] == [("east", 2), ("west", 1)]
    assert await shelf(sku) == {"east": (2, 2), "west": (2, 1)}


async def test_what_is_not_there_is_refused_and_nothing_is_held(
    store: Store, books: Books, stocked: Stocked, shelf: Shelf
) -> None:
    plenty, scarce = await stocked(east=5), await stocked(east=1)
    request = order((plenty, 1), (scarce, 3))
    with pytest.raises(RefusedError, match=f"2 of {scarce}") as refused:
        await store.reserve(request)
    assert refused.value.refusal is Refusal.OUT_OF_STOCK
    assert await shelf(plenty) == {"east": (5, 0)}
    assert await books.orders("", 10) == []


async def test_a_part_is_held_where_the_order_allows_it(store: Store, stocked: Stocked) -> None:
    plenty, scarce = await stocked(east=5), await stocked(east=1)
    reservation = await store.reserve(order((plenty, 1), (scarce, 3), partial=True))
    assert reservation.missing == (Line(scarce, 2),)
    assert reservation.total == 500


async def test_no_part_at_all_is_out_of_stock_even_where_a_part_is_allowed(store: Store, stocked: Stocked) -> None:
    sku = await stocked()
    with pytest.raises(RefusedError) as refused:
        await store.reserve(order((sku, 1), partial=True))
    assert refused.value.refusal is Refusal.OUT_OF_STOCK


async def test_an_unknown_sku_is_named(store: Store, stocked: Stocked) -> None:
    sku = await stocked(east=5)
    with pytest.raises(RefusedError, match="NO-SUCH-THING") as refused:
        await store.reserve(order((sku, 1), ("NO-SUCH-THING", 1)))
    assert refused.value.refusal is Refusal.UNKNOWN_SKU


async def test_a_sku_without_a_price_in_the_currency_is_refused(store: Store, stocked: Stocked) -> None:
    sku = await stocked(east=5)
    with pytest.raises(RefusedError, match=f"not sold in USD: {sku}") as refused:
        await store.reserve(order((sku, 1), currency="USD"))
    assert refused.value.refusal is Refusal.WRONG_CURRENCY


async def test_another_request_for_the_same_order_is_refused(store: Store, stocked: Stocked, shelf: Shelf) -> None:
    sku = await stocked(east=5)
    request = order((sku, 2))
    await store.reserve(request)
    with pytest.raises(RefusedError) as refused:
        await store.reserve(ReserveRequest(request.order_id, "EUR", (Line(sku, 3),)))
    assert refused.value.refusal is Refusal.REQUEST_DIFFERS
    assert await shelf(sku) == {"east": (5, 2)}


async def test_committed_units_leave_once(store: Store, stocked: Stocked, shelf: Shelf) -> None:
    sku = await stocked(east=2, west=2)
    request = order((sku, 3))
    await store.reserve(request)
    assert await store.commit(request.order_id) == 3
    assert await store.commit(request.order_id) == 3
    assert await shelf(sku) == {"east": (0, 0), "west": (1, 0)}


async def test_a_commit_without_a_hold_is_refused(store: Store) -> None:
    with pytest.raises(RefusedError) as refused:
        await store.commit("nobody")
    assert refused.value.refusal is Refusal.HOLD_MISSING


async def test_released_units_are_free_again_and_cannot_be_committed(
    store: Store, stocked: Stocked, shelf: Shelf
) -> None:
    sku = await stocked(east=5)
    request = order((sku, 2))
    await store.reserve(request)
    assert await store.release(request.order_id, "changed my mind") == 2
    assert await store.release(request.order_id, "again") == 2
    assert await shelf(sku) == {"east": (5, 0)}
    with pytest.raises(RefusedError) as refused:
        await store.commit(request.order_id)
    assert refused.value.refusal is Refusal.HOLD_RELEASED


async def test_a_released_commit_is_put_back_by_a_movement(
    store: Store, books: Books, stocked: Stocked, shelf: Shelf
) -> None:
    sku = await stocked(east=5)
    request = order((sku, 2))
    await store.reserve(request)
    await store.commit(request.order_id)
    assert await store.release(request.order_id, "refused at the gate") == 2
    assert await store.release(request.order_id, "again") == 2
    assert await shelf(sku) == {"east": (5, 0)}
    assert await books.orders("", 10) == [{"order_id": request.order_id, "state": "released", "held": 0, "out": 0}]
    assert await books.discrepancies() == []


async def test_a_late_reserve_after_release_does_nothing(store: Store, stocked: Stocked, shelf: Shelf) -> None:
    sku = await stocked(east=5)
    request = order((sku, 2))
    assert await store.release(request.order_id, "overtook the reserve\0 \ud800") == 0
    with pytest.raises(RefusedError) as refused:
        await store.reserve(request)
    assert refused.value.refusal is Refusal.HOLD_RELEASED
    assert await shelf(sku) == {"east": (5, 0)}
    assert await store.release(request.order_id, "again") == 0


async def test_a_hold_that_ran_out_cannot_be_committed_and_its_units_are_free(
    store: Store, stocked: Stocked, shelf: Shelf, run_out: RunOut
) -> None:
    sku = await stocked(east=5)
    request = order((sku, 2))
    await store.reserve(request)
    await run_out(request.order_id)
    for _ in range(2):
        with pytest.raises(RefusedError) as refused:
            await store.commit(request.order_id)
        assert refused.value.refusal is Refusal.HOLD_EXPIRED
    assert await shelf(sku) == {"east": (5, 0)}
    with pytest.raises(RefusedError) as refused:
        await store.reserve(request)
    assert refused.value.refusal is Refusal.HOLD_EXPIRED
    assert await store.release(request.order_id, "undo") == 0


async def test_expiry_takes_only_what_ran_out_and_the_oldest_first(
    store: Store, books: Books, stocked: Stocked, shelf: Shelf, run_out: RunOut
) -> None:
    sku = await stocked(east=9)
    requests = [order((sku, units)) for units in (1, 2, 3)]
    for request in requests:
        await store.reserve(request)
    for request in requests[:2]:
        await run_out(request.order_id)
    assert await store.release_expired(1) == (1, 1)
    assert await store.release_expired(9) == (1, 2)
    assert await store.release_expired(9) == (0, 0)
    assert await shelf(sku) == {"east": (9, 3)}
    states = {item["order_id"]: item["state"] for item in await books.orders("", 10)}
    assert [states[request.order_id] for request in requests] == ["expired", "expired", "held"]


async def test_a_receipt_counts_once(books: Books, stocked: Stocked, shelf: Shelf) -> None:
    sku = await stocked()
    receipt = Receipt(uuid.uuid4().hex, sku, "east", 4)
    assert await books.receive(receipt) is Receiving.BOOKED
    assert await books.receive(receipt) is Receiving.REPEATED
    assert await books.receive(Receipt(receipt.receipt_id, sku, "west", 4)) is Receiving.CONFLICT
    assert await shelf(sku) == {"east": (4, 0)}


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE stock SET on_hand = on_hand + 1",
        "UPDATE stock SET held = on_hand + 1",
        "UPDATE stock SET held = -1",
        "INSERT INTO stock (sku, warehouse, on_hand) SELECT sku, 'nowhere', 1 FROM products",
        "DELETE FROM stock",
        "UPDATE movements SET quantity = quantity + 1",
        "DELETE FROM movements",
        f"{MOVE} SELECT 'commit', 'x', sku, 'east', -9 FROM stock",
        f"{MOVE} SELECT 'receipt', 'x', sku, 'east', -1 FROM stock",
        f"{MOVE} SELECT 'receipt', 'x', sku, 'nowhere', 1 FROM stock",
    ],
)
async def test_the_database_refuses_units_that_appear_or_vanish(
    statement: str, database: Database, books: Books, stocked: Stocked, shelf: Shelf
) -> None:
    sku = await stocked(east=5)
    with pytest.raises(IntegrityError):
        async with database.engine.begin() as connection:
            await connection.execute(text(statement))
    assert await shelf(sku) == {"east": (5, 0)}
    assert await books.discrepancies() == []


async def test_the_audit_finds_what_went_round_the_triggers(database: Database, books: Books, stocked: Stocked) -> None:
    sku = await stocked(east=5)
    async with database.engine.begin() as connection:
        await connection.execute(text("SET LOCAL session_replication_role = replica"))
        await connection.execute(text("UPDATE stock SET on_hand = on_hand + 1"))
    assert await books.discrepancies() == [
        {"sku": sku, "warehouse": "east", "on_hand": 6, "held": 0, "moved": 5, "lines": 0}
    ]
