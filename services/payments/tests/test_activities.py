import asyncio

import pytest

from payments.contract import Authorisation, Capture, CaptureRequest, Refusal, Reversed, Undo
from payments.gateway import GatewayError
from payments.model import State

from .conftest import (
    SHORT,
    TIMEOUT,
    World,
    assert_books_match,
    assert_nothing_is_left,
    new_order,
    refuses,
    request_for,
    undo,
)
from .fake_gateway import Trouble


async def _state(world: World, order_id: str) -> State:
    books = await world.store.books(order_id)
    assert books is not None
    return books.payment.state


async def test_an_authorised_payment_is_captured(world: World) -> None:
    order_id = new_order()
    authorisation = await world.activities.authorise(request_for(order_id))
    capture = await world.activities.capture(CaptureRequest(order_id))

    assert authorisation == Authorisation(order_id, 1250, "EUR", f"authorisation-of-payment:{order_id}:authorise")
    assert capture == Capture(order_id, 1250, "EUR", f"capture-of-payment:{order_id}:capture")
    books = await world.store.books(order_id)
    assert books is not None
    assert (books.payment.state, books.payment.captured, books.payment.refunded) == (State.CAPTURED, 1250, 0)
    assert books.ledger == {"gateway": 1250, "sales": -1250}
    assert_books_match(world, books)


async def test_a_repeated_step_returns_its_first_result_without_asking_the_gateway(world: World) -> None:
    order_id = new_order()
    first = (
        await world.activities.authorise(request_for(order_id)),
        await world.activities.capture(CaptureRequest(order_id)),
    )
    requests = world.outside.requests.copy()
    again = (
        await world.activities.authorise(request_for(order_id)),
        await world.activities.capture(CaptureRequest(order_id)),
    )
    assert again == first
    assert world.outside.requests == requests


async def test_30_parallel_duplicates_of_each_step_take_effect_once(world: World) -> None:
    order_id = new_order()
    authorised = await asyncio.gather(*(world.activities.authorise(request_for(order_id)) for _ in range(30)))
    captured = await asyncio.gather(*(world.activities.capture(CaptureRequest(order_id)) for _ in range(30)))
    assert world.outside.taken(order_id) == 1250
    reversed_ = await asyncio.gather(*(undo(world.activities, order_id) for _ in range(30)))

    assert len(set(authorised)) == len(set(captured)) == len(set(reversed_)) == 1
    await assert_nothing_is_left(world, order_id)


@pytest.mark.parametrize(
    ("token", "reason"), [("tok_declined", "do_not_honour"), ("tok_insufficient", "insufficient_funds")]
)
async def test_a_declined_card_refuses_with_the_gateways_reason(world: World, token: str, reason: str) -> None:
    order_id = new_order()
    for _ in range(2):
        async with refuses(Refusal.DECLINED, reason):
            await world.activities.authorise(request_for(order_id, card_token=token))
    assert world.outside.requests["authorisations", f"payment:{order_id}:authorise"] == 1
    async with refuses(Refusal.PAYMENT_MISSING):
        await world.activities.capture(CaptureRequest(order_id))
    assert await undo(world.activities, order_id) == Reversed(order_id, 0, 0)


async def test_an_authorisation_that_lapsed_refuses_the_capture(world: World) -> None:
    order_id = new_order()
    await world.activities.authorise(request_for(order_id, card_token="tok_lapsed"))
    for _ in range(2):
        async with refuses(Refusal.DECLINED, "authorisation_lapsed"):
            await world.activities.capture(CaptureRequest(order_id))
    assert await _state(world, order_id) is State.DECLINED
    await undo(world.activities, order_id)
    await assert_nothing_is_left(world, order_id)


async def test_a_capture_without_an_authorisation_is_refused(world: World) -> None:
    async with refuses(Refusal.PAYMENT_MISSING):
        await world.activities.capture(CaptureRequest(new_order()))


async def test_another_amount_for_the_same_order_is_a_conflict(world: World) -> None:
    order_id = new_order()
    await world.activities.authorise(request_for(order_id))
    async with refuses(Refusal.PAYMENT_CONFLICT):
        await world.activities.authorise(request_for(order_id, amount=1251))
    assert world.outside.set_aside(order_id) == 1250


async def test_another_card_is_never_charged_beside_the_first(world: World) -> None:
    order_id = new_order()
    world.outside.trouble["authorisations"] = [Trouble.DROP_AFTER_EFFECT]
    world.outside.trouble["operations"] = [Trouble.ERROR_BEFORE_EFFECT, Trouble.ERROR_BEFORE_EFFECT]
    for _ in range(2):
        with pytest.raises(GatewayError):
            await world.activities.authorise(request_for(order_id))
    # The look-up tells the outcome, not the card: the first one is authorised, which is what the key stands for.
    await world.activities.authorise(request_for(order_id, card_token="tok_other"))
    assert world.outside.set_aside(order_id) == 1250


async def test_an_authorisation_is_voided_by_its_undo(world: World) -> None:
    order_id = new_order()
    await world.activities.authorise(request_for(order_id))
    for _ in range(2):
        assert await undo(world.activities, order_id) == Reversed(order_id, voided=1250, refunded=0)
    await assert_nothing_is_left(world, order_id)


async def test_a_capture_is_refunded_by_its_undo_and_both_are_booked(world: World) -> None:
    order_id = new_order()
    await world.activities.authorise(request_for(order_id))
    await world.activities.capture(CaptureRequest(order_id))
    for _ in range(2):
        assert await undo(world.activities, order_id) == Reversed(order_id, voided=0, refunded=1250)
    await assert_nothing_is_left(world, order_id)
    books = await world.store.books(order_id)
    assert books is not None
    assert books.ledger == {"gateway": 0, "sales": 0}


async def test_an_undo_without_a_payment_succeeds_and_steps_that_arrive_later_do_nothing(world: World) -> None:
    order_id = new_order()
    assert await undo(world.activities, order_id) == Reversed(order_id, 0, 0)
    async with refuses(Refusal.PAYMENT_REVERSED):
        await world.activities.authorise(request_for(order_id))
    async with refuses(Refusal.PAYMENT_REVERSED):
        await world.activities.capture(CaptureRequest(order_id))
    assert world.outside.operations[f"payment:{order_id}:authorise"].status == "burned"
    await assert_nothing_is_left(world, order_id)


async def test_an_undo_takes_a_reason_that_a_database_would_not(world: World) -> None:
    order_id = new_order()
    await world.activities.void(Undo(order_id, "\x00\ud800" + "x" * 10_000))
    books = await world.store.books(order_id)
    assert books is not None
    assert books.payment.reverse_reason == "??" + "x" * 198


AFTER = [
    (Trouble.HANG_AFTER_EFFECT, SHORT),
    (Trouble.DROP_AFTER_EFFECT, TIMEOUT),
    (Trouble.ERROR_AFTER_EFFECT, TIMEOUT),
    (Trouble.NONSENSE_AFTER_EFFECT, TIMEOUT),
]


@pytest.mark.parametrize(("trouble", "gateway_seconds"), AFTER)
async def test_an_effect_without_an_answer_is_found_by_its_key_and_not_repeated(world: World, trouble: Trouble) -> None:
    order_id = new_order()
    for what in ("authorisations", "captures", "voids", "refunds"):
        world.outside.trouble[what] = [trouble]

    await world.activities.authorise(request_for(order_id))
    await world.activities.capture(CaptureRequest(order_id))
    assert world.outside.taken(order_id) == 1250
    assert await undo(world.activities, order_id) == Reversed(order_id, voided=0, refunded=1250)

    await assert_nothing_is_left(world, order_id)
    for what, step in (("authorisations", "authorise"), ("captures", "capture"), ("refunds", "refund")):
        assert world.outside.requests[what, f"payment:{order_id}:{step}"] == 1


@pytest.mark.parametrize(("trouble", "gateway_seconds"), AFTER)
async def test_a_void_without_an_answer_is_found_by_its_key(world: World, trouble: Trouble) -> None:
    order_id = new_order()
    await world.activities.authorise(request_for(order_id))
    world.outside.trouble["voids"] = [trouble]
    assert await undo(world.activities, order_id) == Reversed(order_id, voided=1250, refunded=0)
    assert world.outside.requests["voids", f"payment:{order_id}:authorise"] == 1


@pytest.mark.parametrize("trouble", [Trouble.DROP_BEFORE_EFFECT, Trouble.ERROR_BEFORE_EFFECT])
async def test_a_request_without_an_effect_is_repeated_only_after_a_look_up(world: World, trouble: Trouble) -> None:
    order_id = new_order()
    key = f"payment:{order_id}:authorise"
    world.outside.trouble["authorisations"] = [trouble]
    with pytest.raises(GatewayError):
        await world.activities.authorise(request_for(order_id))
    assert (world.outside.requests["authorisations", key], world.outside.requests["operations", key]) == (1, 1)

    await world.activities.authorise(request_for(order_id))
    assert (world.outside.requests["authorisations", key], world.outside.requests["operations", key]) == (2, 2)
    assert world.outside.set_aside(order_id) == 1250


@pytest.mark.parametrize("gateway_seconds", [SHORT])
async def test_nothing_is_concluded_while_the_look_up_fails_too(world: World) -> None:
    order_id = new_order()
    world.outside.trouble["authorisations"] = [Trouble.HANG_AFTER_EFFECT]
    world.outside.trouble["operations"] = [Trouble.ERROR_BEFORE_EFFECT, Trouble.DROP_BEFORE_EFFECT]
    with pytest.raises(GatewayError):
        await world.activities.authorise(request_for(order_id))
    assert await _state(world, order_id) is State.AUTHORISING
    await world.activities.authorise(request_for(order_id))
    assert world.outside.requests["authorisations", f"payment:{order_id}:authorise"] == 1


async def test_an_authorisation_that_the_gateway_lost_cannot_be_captured(world: World) -> None:
    order_id = new_order()
    await world.activities.authorise(request_for(order_id))
    del world.outside.operations[f"payment:{order_id}:authorise"]
    async with refuses(Refusal.PAYMENT_MISSING):
        await world.activities.capture(CaptureRequest(order_id))


async def test_money_is_paid_back_even_where_our_row_was_lost(world: World) -> None:
    order_id = new_order()
    key = f"payment:{order_id}"
    for _ in range(2):
        await world.gateway.authorise(f"{key}:authorise", amount=7, currency="EUR", card_token="tok_ok", reference="x")
        await world.gateway.capture(f"{key}:capture", authorisation_key=f"{key}:authorise")
    assert await undo(world.activities, order_id) == Reversed(order_id, voided=0, refunded=7)
    await assert_nothing_is_left(world, order_id)
