import asyncio
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable

import pytest

from inventory.books import Books, Receipt, Receiving
from inventory.contract import Line, Refusal, ReserveRequest
from inventory.store import RefusedError, Store

Stocked = Callable[..., Awaitable[str]]
Shelf = Callable[[str], Awaitable[dict[str, tuple[int, int]]]]
RunOut = Callable[[str], Awaitable[None]]

ROUNDS = 15


def order(*lines: tuple[str, int]) -> ReserveRequest:
    return ReserveRequest(f"A-{uuid.uuid4().hex}", "EUR", tuple(Line(sku, quantity) for sku, quantity in lines))


async def outcome(step: Awaitable[object]) -> object:
    """A step's answer, or the refusal."""
    try:
        return await step
    except RefusedError as refused:
        return refused.refusal


async def test_thirty_takers_of_ten_units_get_ten(store: Store, stocked: Stocked, shelf: Shelf) -> None:
    sku = await stocked(east=6, west=4)
    answers = await asyncio.gather(*(outcome(store.reserve(order((sku, 1)))) for _ in range(30)))
    assert Counter(answer is Refusal.OUT_OF_STOCK for answer in answers) == {True: 20, False: 10}
    assert await shelf(sku) == {"east": (6, 6), "west": (4, 4)}


async def test_orders_with_opposite_lines_do_not_wait_for_each_other(store: Store, stocked: Stocked) -> None:
    skus = [await stocked(east=500, west=500) for _ in range(4)]
    requests = [order(*((sku, 2) for sku in (skus if number % 2 else reversed(skus)))) for number in range(30)]
    # PostgreSQL ends one of two transactions that wait for each other, with an error that nothing here catches.
    await asyncio.gather(*(store.reserve(request) for request in requests))
    half = len(requests) // 2
    answers = await asyncio.gather(
        *(outcome(store.commit(request.order_id)) for request in requests[:half]),
        *(outcome(store.release(request.order_id, "race")) for request in reversed(requests)),
        *(outcome(store.reserve(order(*((sku, 1) for sku in reversed(skus))))) for _ in range(10)),
    )
    assert Refusal.OUT_OF_STOCK not in answers


async def test_expiry_does_not_wait_for_orders_nor_they_for_it(
    store: Store, books: Books, stocked: Stocked, run_out: RunOut
) -> None:
    skus = [await stocked(east=500) for _ in range(3)]
    old = [order(*((sku, 1) for sku in (skus if number % 2 else reversed(skus)))) for number in range(20)]
    await asyncio.gather(*(store.reserve(request) for request in old))
    await asyncio.gather(*(run_out(request.order_id) for request in old))
    await asyncio.gather(
        *(store.release_expired(5) for _ in range(6)),
        *(outcome(store.commit(request.order_id)) for request in old[::2]),
        *(store.release(request.order_id, "race") for request in old[::3]),
        *(store.reserve(order(*((sku, 1) for sku in reversed(skus)))) for _ in range(10)),
    )
    await store.release_expired(100)
    states = Counter(item["state"] for item in await books.orders("", 100))
    assert states["held"] == 10
    assert states["expired"] + states["released"] == 20
    assert await books.discrepancies() == []


async def test_duplicates_at_the_same_moment_take_effect_once(store: Store, stocked: Stocked, shelf: Shelf) -> None:
    sku = await stocked(east=9)
    request = order((sku, 2))
    reservations = await asyncio.gather(*(store.reserve(request) for _ in range(8)))
    assert all(reservation == reservations[0] for reservation in reservations)
    assert await shelf(sku) == {"east": (9, 2)}
    assert await asyncio.gather(*(store.commit(request.order_id) for _ in range(8))) == [2] * 8
    assert await shelf(sku) == {"east": (7, 0)}
    assert await asyncio.gather(*(store.release(request.order_id, "race") for _ in range(8))) == [2] * 8
    assert await shelf(sku) == {"east": (9, 0)}


async def test_a_receipt_booked_at_the_same_moment_by_many_counts_once(
    books: Books, stocked: Stocked, shelf: Shelf
) -> None:
    sku = await stocked()
    receipt = Receipt(uuid.uuid4().hex, sku, "east", 4)
    answers = Counter(await asyncio.gather(*(books.receive(receipt) for _ in range(8))))
    assert answers == {Receiving.BOOKED: 1, Receiving.REPEATED: 7}
    assert await shelf(sku) == {"east": (4, 0)}


async def test_reserve_and_its_undo_at_the_same_moment_leave_nothing_held(
    store: Store, stocked: Stocked, shelf: Shelf
) -> None:
    sku = await stocked(east=9)
    for _ in range(ROUNDS):
        request = order((sku, 1))
        await asyncio.gather(outcome(store.reserve(request)), store.release(request.order_id, "race"))
        assert await outcome(store.reserve(request)) is Refusal.HOLD_RELEASED
    assert await shelf(sku) == {"east": (9, 0)}


async def test_commit_and_release_at_the_same_moment_leave_the_stock_as_it_was(
    store: Store, books: Books, stocked: Stocked, shelf: Shelf
) -> None:
    sku = await stocked(east=9)
    for _ in range(ROUNDS):
        request = order((sku, 1))
        await store.reserve(request)
        committed, released = await asyncio.gather(
            outcome(store.commit(request.order_id)), store.release(request.order_id, "race")
        )
        assert committed in (1, Refusal.HOLD_RELEASED)
        assert released == 1
    assert await shelf(sku) == {"east": (9, 0)}
    assert await books.discrepancies() == []


@pytest.mark.parametrize("released_too", [False, True])
async def test_commit_and_expiry_of_a_hold_that_ran_out_free_it_once(
    released_too: bool, store: Store, stocked: Stocked, shelf: Shelf, run_out: RunOut
) -> None:
    sku = await stocked(east=9)
    for _ in range(ROUNDS):
        request = order((sku, 1))
        await store.reserve(request)
        await run_out(request.order_id)
        undo = [store.release(request.order_id, "race")] if released_too else []
        committed, *_ = await asyncio.gather(outcome(store.commit(request.order_id)), store.release_expired(10), *undo)
        assert committed in ((Refusal.HOLD_EXPIRED, Refusal.HOLD_RELEASED) if released_too else (Refusal.HOLD_EXPIRED,))
    assert await shelf(sku) == {"east": (9, 0)}
