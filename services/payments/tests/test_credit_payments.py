"""Orders paid with store credit, their activities stopped, overtaken and unanswered anywhere."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from itertools import count

import pytest
from temporalio.exceptions import ApplicationError

from payments.activities import Activities
from payments.contract import Authorisation, Capture, CaptureRequest, Refusal, Reversed
from payments.model import Books, Method, State
from payments.store_credit import Unanswered

from .conftest import (
    World,
    account_with,
    balance_of,
    credit_request,
    new_account,
    new_order,
    refuses,
    request_for,
    undo,
)
from .direct_credit import Lost
from .seams import At, Crash, crash, seamed

HELD = 2000
Step = Callable[[Activities, str, str], Awaitable[object]]


async def _authorise(activities: Activities, order_id: str, account_id: str) -> object:
    return await activities.authorise(credit_request(order_id, account_id))


async def _capture(activities: Activities, order_id: str, account_id: str) -> object:
    return await activities.capture(CaptureRequest(order_id))


BEFORE: dict[Step, list[Step]] = {_authorise: [], _capture: [_authorise]}
UNDONE_AFTER: list[list[Step]] = [[], [_authorise], [_authorise, _capture]]

each_step = pytest.mark.parametrize("step", BEFORE)
each_undo = pytest.mark.parametrize("steps", UNDONE_AFTER)
each_loss = pytest.mark.parametrize("lost", [None, *Lost])


async def _books(world: World, order_id: str) -> Books:
    books = await world.store.books(order_id)
    assert books is not None
    assert books.balanced
    # An undo that came before its step knows of no account, and burns the key at the gateway, too.
    assert books.payment.method is Method.CARD or not any(order_id in key for _, key in world.outside.requests)
    return books


async def _assert_nothing_is_left(world: World, order_id: str, account_id: str) -> None:
    books = await _books(world, order_id)
    assert books.payment.state is State.REVERSED
    assert books.payment.captured == books.payment.refunded
    assert not any(books.ledger.values())
    assert await balance_of(world, account_id) == HELD


async def _prepared(world: World, steps: list[Step]) -> tuple[str, str]:
    order_id, account_id = new_order(), await account_with(world, HELD)
    world.credit.lost.clear()
    for step in steps:
        await step(world.activities, order_id, account_id)
    return order_id, account_id


async def _until_answered(world: World, step: Callable[[], Awaitable[object]]) -> object:
    while True:  # as the retry policy has it
        try:
            return await step()
        except Unanswered:
            continue


async def test_an_order_is_paid_with_store_credit_and_the_gateway_hears_nothing(world: World) -> None:
    order_id, account_id = new_order(), await account_with(world, HELD)
    key = f"payment:{order_id}"
    authorisation = await world.activities.authorise(credit_request(order_id, account_id))
    assert authorisation == Authorisation(order_id, 1250, "EUR", f"{key}:authorise")
    assert await balance_of(world, account_id) == 750
    assert (await _books(world, order_id)).ledger == {"reserved": -1250, "store_credit": 1250}
    assert await world.activities.capture(CaptureRequest(order_id)) == Capture(order_id, 1250, "EUR", f"{key}:capture")
    books = await _books(world, order_id)
    assert (books.payment.state, books.payment.method) == (State.CAPTURED, Method.STORE_CREDIT)
    assert books.ledger == {"reserved": 0, "sales": -1250, "store_credit": 1250}
    assert await undo(world.activities, order_id) == Reversed(order_id, voided=0, refunded=1250)
    await _assert_nothing_is_left(world, order_id, account_id)


async def test_what_was_set_aside_is_put_back_also_to_a_closed_account(world: World) -> None:
    order_id, account_id = await _prepared(world, [_authorise])
    await world.accounts.set_open(account_id, open=False)
    assert await undo(world.activities, order_id) == Reversed(order_id, voided=1250, refunded=0)
    assert await undo(world.activities, order_id) == Reversed(order_id, voided=1250, refunded=0)
    await _assert_nothing_is_left(world, order_id, account_id)


async def test_an_account_that_will_not_declines_the_order_for_good(world: World) -> None:
    account_id = await account_with(world, 100)
    for request, reason in (
        (credit_request(new_order(), account_id), "insufficient_funds"),
        (credit_request(new_order(), account_id, amount=1, currency="USD"), "currency_mismatch"),
        (credit_request(new_order(), new_account()), "unknown_account"),
    ):
        async with refuses(Refusal.DECLINED, reason):
            await world.activities.authorise(request)
    await world.accounts.set_open(account_id, open=False)
    late = credit_request(new_order(), account_id, amount=1)
    async with refuses(Refusal.DECLINED, "account_closed"):
        await world.activities.authorise(late)
    await world.accounts.set_open(account_id, open=True)
    async with refuses(Refusal.DECLINED, "account_closed"):
        await world.activities.authorise(late)
    assert await balance_of(world, account_id) == 100
    assert (await undo(world.activities, late.order_id)).voided == 0


async def test_an_order_has_one_payment_by_one_method(world: World) -> None:
    order_id, account_id = await _prepared(world, [_authorise])
    other = await account_with(world, HELD)
    for request in (request_for(order_id), credit_request(order_id, other)):
        async with refuses(Refusal.PAYMENT_CONFLICT):
            await world.activities.authorise(request)
    assert (await balance_of(world, account_id), await balance_of(world, other)) == (750, HELD)


async def test_30_parallel_duplicates_of_each_step_take_effect_once(world: World) -> None:
    order_id, account_id = new_order(), await account_with(world, HELD)
    for step in (_authorise, _capture):
        assert len(set(await asyncio.gather(*(step(world.activities, order_id, account_id) for _ in range(30))))) == 1
        assert await balance_of(world, account_id) == 750
    assert len(set(await asyncio.gather(*(undo(world.activities, order_id) for _ in range(30))))) == 1
    await _assert_nothing_is_left(world, order_id, account_id)


async def test_20_orders_at_once_never_spend_more_than_there_is(world: World) -> None:
    account_id = await account_with(world, 5 * 1250 + 100)
    orders = [new_order() for _ in range(20)]
    answers = await asyncio.gather(
        *(_authorise(world.activities, order_id, account_id) for order_id in orders), return_exceptions=True
    )
    assert sum(isinstance(answer, Authorisation) for answer in answers) == 5
    assert await balance_of(world, account_id) == 100


@each_loss
@each_step
async def test_a_step_that_crashed_anywhere_is_done_once_when_tried_again(
    world: World, step: Step, lost: Lost | None
) -> None:
    for number in count():
        order_id, account_id = await _prepared(world, BEFORE[step])
        world.credit.lost = [] if lost is None else [lost]
        at = At(number, crash)
        with suppress(Crash, Unanswered):
            await step(seamed(world, at), order_id, account_id)
        await _until_answered(world, lambda o=order_id, a=account_id: step(world.activities, o, a))  # type: ignore[misc]
        books = await _books(world, order_id)
        assert books.payment.state is (State.AUTHORISED if step is _authorise else State.CAPTURED)
        assert await balance_of(world, account_id) == HELD - 1250
        if not at.reached:
            assert number >= 4
            return


@each_loss
@each_step
async def test_a_step_that_crashed_anywhere_is_undone_and_refused_afterwards(
    world: World, step: Step, lost: Lost | None
) -> None:
    for number in count():
        order_id, account_id = await _prepared(world, BEFORE[step])
        world.credit.lost = [] if lost is None else [lost]
        at = At(number, crash)
        with suppress(Crash, Unanswered):
            await step(seamed(world, at), order_id, account_id)
        await _until_answered(world, lambda o=order_id: undo(world.activities, o))  # type: ignore[misc]
        async with refuses(Refusal.PAYMENT_REVERSED):
            await step(world.activities, order_id, account_id)
        await _assert_nothing_is_left(world, order_id, account_id)
        if not at.reached:
            return


@each_step
async def test_an_undo_that_overtakes_a_step_anywhere_leaves_nothing(world: World, step: Step) -> None:
    refused: set[str | None] = set()
    for number in count():
        order_id, account_id = await _prepared(world, BEFORE[step])

        async def overtake(order_id: str = order_id) -> None:
            await undo(world.activities, order_id)

        at = At(number, overtake)
        try:
            await step(seamed(world, at), order_id, account_id)
        except ApplicationError as refusal:
            refused.add(refusal.type)
        if not at.reached:
            assert refused == {Refusal.PAYMENT_REVERSED}
            return
        await _assert_nothing_is_left(world, order_id, account_id)


@each_loss
@each_undo
async def test_an_undo_that_crashed_anywhere_is_finished_when_tried_again(
    world: World, steps: list[Step], lost: Lost | None
) -> None:
    for number in count():
        order_id, account_id = await _prepared(world, steps)
        world.credit.lost = [] if lost is None or not steps else [lost]
        at = At(number, crash)
        with suppress(Crash, Unanswered):
            await undo(seamed(world, at), order_id)
        await _until_answered(world, lambda o=order_id: undo(world.activities, o))  # type: ignore[misc]
        if steps:
            await _assert_nothing_is_left(world, order_id, account_id)
        if not at.reached:
            return


async def test_a_withdrawal_that_arrives_after_the_undo_finds_the_fence(world: World) -> None:
    order_id, account_id = new_order(), await account_with(world, HELD)
    await world.store.begin_authorisation(order_id, 1250, "EUR", account_id)
    assert await undo(world.activities, order_id) == Reversed(order_id, 0, 0)
    async with refuses(Refusal.PAYMENT_REVERSED):
        await _authorise(world.activities, order_id, account_id)
    async with world.database.engine.connect() as connection:
        statement = "SELECT kind FROM bookings WHERE booking_key = %s"
        kinds = (await connection.exec_driver_sql(statement, (f"payment:{order_id}:authorise",))).scalars().all()
    assert kinds == ["fence"]
    await _assert_nothing_is_left(world, order_id, account_id)
