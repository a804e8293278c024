"""Whatever dies, and comes back, in the middle of orders: nothing is lost and nothing happens twice."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from chassis.testing.waiting import eventually
from inventory.contract import release_id, reserve_id
from orchestrator.contract import message_key
from payments.contract import authorise_id, authorise_key, capture_id, capture_key
from shipping.contract import book_id, booking_key, plan_id
from waybill.stack import SERVICES

from .world import EXPENSIVE, World

FULFILLED = ("fulfilled", None)


async def test_a_worker_of_each_service_is_killed_in_the_middle_of_an_order_and_of_an_undo(world: World) -> None:
    """Side by side, for each kill is followed by a wait for the dead worker's time-out."""
    sku = await world.product(north=1)

    async def inventory() -> str:
        async with world.stock_locked(sku):
            order_id = await world.place(sku)
            await world.busy(reserve_id(order_id))
            await world.stack.kill("inventory")
        return order_id

    async def payments() -> str:
        order_id = await world.place(card="tok_timeout_after_charge")
        await world.busy(authorise_id(order_id))
        await world.requested(authorise_key(order_id), "authorisation")
        await world.stack.kill("payments")
        return order_id

    async def shipping() -> str:
        order_id = await world.place(postcode="BOOK-TIMEOUT")
        await world.busy(book_id(order_id, 1))
        await world.requested(booking_key(order_id, 1), "booking")
        await world.stack.kill("shipping")
        return order_id

    async def orchestrator() -> str:
        order_id = await world.place(card="tok_timeout_after_capture")
        await world.busy(capture_id(order_id))
        await world.stack.kill("orchestrator")
        return order_id

    async def undo() -> str:
        expensive = await world.product(EXPENSIVE, north=1)
        order_id = await world.place(expensive)
        await world.reached(order_id, "awaiting_approval")
        async with world.stock_locked(expensive):
            assert (await world.cancel(order_id)).status == 202
            await world.busy(release_id(order_id))
            await asyncio.gather(world.stack.kill("inventory"), world.stack.kill("orchestrator"))
        return order_id

    order_ids = [await kill() for kill in (inventory, payments, shipping, orchestrator)]
    undone = await undo()
    assert await world.all_ended(order_ids) == {FULFILLED}
    for order_id in order_ids:
        assert await world.happened(authorise_key(order_id)) == {"authorisation": 1}
        assert await world.happened(capture_key(order_id)) == {"capture": 1}
        assert await world.happened(booking_key(order_id, 1)) == {"booking": 1}
        await world.told(order_id)
        assert await world.happened(message_key(order_id, "fulfilled")) == {"message": 1}
    await world.delivered(order_ids)
    assert await world.ended(undone) == ("cancelled", "by_customer")


@pytest.mark.parametrize("part", ["temporal", "postgres", "sandbox"])
async def test_what_all_stand_on_is_killed_and_comes_back_in_the_middle_of_orders(world: World, part: str) -> None:
    waiting = await world.place(price=EXPENSIVE)
    undone = await world.place(price=EXPENSIVE)
    booking = await world.place(postcode="BOOK-TIMEOUT")
    # The last, since the gateway's silence is the shortest of what is waited for here.
    authorising = await world.place(card="tok_timeout_after_charge")
    await asyncio.gather(
        world.reached(waiting, "awaiting_approval"),
        world.reached(undone, "awaiting_approval"),
        world.busy(authorise_id(authorising)),
        # Carriers that are all away at that moment would be no carriers, which is an outcome of its own.
        world.closed(plan_id(authorising)),
        world.busy(book_id(booking, 1)),
    )
    await world.stack.kill(part, 0.5)
    await world.stack.wait_ready(part)
    assert (await world.decide(waiting, "approve")).status == 200
    assert (await world.decide(undone, "refuse")).status == 200
    assert await world.ended(undone) == ("rejected", "approval_refused")
    fulfilled = [waiting, authorising, booking]
    assert await world.all_ended(fulfilled) == {FULFILLED}
    for order_id in fulfilled:
        assert await world.happened(capture_key(order_id)) == {"capture": 1}
        assert await world.happened(booking_key(order_id, 1)) == {"booking": 1}
    await world.delivered(fulfilled)


@asynccontextmanager
async def load(world: World, sku: str, seconds_between: float) -> AsyncIterator[list[str]]:
    """Place orders one after the other for as long as the block runs."""
    order_ids: list[str] = []
    over = asyncio.Event()

    async def customers() -> None:
        while not over.is_set():
            order_ids.append(await world.place(sku))
            try:
                await asyncio.wait_for(over.wait(), seconds_between)
            except TimeoutError:
                continue

    placing = asyncio.create_task(customers())
    try:
        yield order_ids
    finally:
        over.set()
        await placing


@pytest.mark.timeout(400)  # orders come in for as long as four restarts take
async def test_sigterm_of_each_service_under_load_loses_nothing_and_repeats_nothing(world: World) -> None:
    # Slow enough for each moment to find requests under way.
    await world.faults(**{name: {"latency_seconds": 0.2} for name in ("gateway", "budget", "mailbox")})
    sku = await world.product(north=1_000)
    async with load(world, sku, seconds_between=0.25) as order_ids:
        for service in SERVICES:
            so_far = len(order_ids)
            await eventually(lambda so_far=so_far: len(order_ids) >= so_far + 4)  # type: ignore[misc]
            await world.stack.restart(service)
    assert await world.all_ended(order_ids) == {FULFILLED}
    once = {"effects": 1, "requests": 1}
    for order_id in order_ids:
        assert await world.counts(authorise_key(order_id)) == {"authorisation": once}
        assert await world.counts(capture_key(order_id)) == {"capture": once}
        assert await world.counts(booking_key(order_id, 1)) == {"booking": once}
        await world.told(order_id)
        assert await world.counts(message_key(order_id, "fulfilled")) == {"message": once}
    await world.delivered(order_ids)
