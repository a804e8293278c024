"""What is counted, and that it is counted once."""

import asyncio
from datetime import UTC, datetime

import pytest

from payments.account_terms import AccountRefused, Move
from payments.contract import CaptureRequest
from payments.gateway import GatewayError
from payments.metrics import ACCOUNT_KINDS, RESULTS
from payments.model import Kind
from payments.settlement_activities import SettlementActivities
from payments.settlement_store import SettlementStore
from payments.settlement_terms import Due

from .conftest import World, account_with, credit_request, new_account, new_key, new_order, refuses, request_for, undo
from .fake_gateway import Trouble


def payments(world: World) -> dict[tuple[str, str], float]:
    """What was counted of payments, without the zeros."""
    counted = {
        (operation, result): world.metrics.registry.get_sample_value(
            "payments_total", {"operation": operation, "result": result}
        )
        for operation, results in RESULTS.items()
        for result in results
    }
    return {key: value for key, value in counted.items() if value}


def bookings(world: World) -> dict[tuple[str, str], float]:
    counted = {
        (str(kind), result): world.metrics.registry.get_sample_value(
            "account_bookings_total", {"kind": kind, "result": result}
        )
        for kind in ACCOUNT_KINDS
        for result in ("done", "refused")
    }
    return {key: value for key, value in counted.items() if value}


async def test_each_operation_counts_once_however_often_it_is_asked_for(world: World) -> None:
    order_id = new_order()
    await asyncio.gather(*(world.activities.authorise(request_for(order_id)) for _ in range(5)))
    await asyncio.gather(*(world.activities.capture(CaptureRequest(order_id)) for _ in range(5)))
    await asyncio.gather(*(undo(world.activities, order_id) for _ in range(5)))
    assert payments(world) == {("authorise", "done"): 1, ("capture", "done"): 1, ("refund", "done"): 1}


async def test_a_void_counts_as_done_where_it_set_something_free_and_as_nothing_where_not(world: World) -> None:
    order_id = new_order()
    await world.activities.authorise(request_for(order_id))
    await undo(world.activities, order_id)
    await undo(world.activities, new_order())
    assert payments(world) == {("authorise", "done"): 1, ("void", "done"): 1, ("void", "nothing"): 1}


async def test_a_decline_counts_once_and_is_no_failure(world: World) -> None:
    request = request_for(new_order(), card_token="tok_declined")
    for _ in range(2):
        async with refuses("declined"):
            await world.activities.authorise(request)
    assert payments(world) == {("authorise", "declined"): 1}


async def test_each_attempt_that_gets_no_answer_counts_as_failed(world: World) -> None:
    order_id = new_order()
    world.outside.trouble["authorisations"] = [Trouble.ERROR_BEFORE_EFFECT] * 2
    for _ in range(2):
        with pytest.raises(GatewayError):
            await world.activities.authorise(request_for(order_id))
    await world.activities.authorise(request_for(order_id))
    assert payments(world) == {("authorise", "failed"): 2, ("authorise", "done"): 1}


async def test_orders_on_store_credit_count_as_payments_and_as_bookings(world: World) -> None:
    account_id, kept, released = await account_with(world, 5000), new_order(), new_order()
    for order_id in (kept, released):
        for _ in range(2):
            await world.activities.authorise(credit_request(order_id, account_id))
    await world.activities.capture(CaptureRequest(kept))
    for order_id in (kept, released):
        for _ in range(2):
            await undo(world.activities, order_id)
    async with refuses("declined"):
        await world.activities.authorise(credit_request(new_order(), account_id, amount=999_999))
    assert payments(world) == {
        ("authorise", "done"): 2,
        ("authorise", "declined"): 1,
        ("capture", "done"): 1,
        ("refund", "done"): 1,
        ("void", "done"): 1,
    }
    assert bookings(world) == {
        ("deposit", "done"): 1,
        ("reserve", "done"): 2,
        ("reserve", "refused"): 1,
        ("release", "done"): 1,
        ("refund", "done"): 1,
    }


async def test_deposits_and_withdrawals_count_once_under_one_key(world: World) -> None:
    account_id, deposit, withdrawal = new_account(), Move(new_key(), 100, "EUR"), Move(new_key(), 60, "EUR")
    for _ in range(2):
        await world.accounts.deposit(account_id, deposit)
        await world.accounts.withdraw(account_id, withdrawal)
    with pytest.raises(AccountRefused):
        await world.accounts.withdraw(account_id, Move(new_key(), 60, "EUR"))
    assert bookings(world) == {
        ("deposit", "done"): 1,
        ("withdrawal", "done"): 1,
        ("withdrawal", "refused"): 1,
    }


async def test_a_settlement_counts_once_a_day(world: World) -> None:
    settlements = SettlementActivities(SettlementStore(world.database.engine, world.metrics), world.metrics)
    for day in ("2026-11-24", "2026-11-24", "2026-11-25"):
        await settlements.settle(Due(day, datetime(2999, 1, 1, tzinfo=UTC)))
    with pytest.raises(ValueError, match="isoformat"):
        await settlements.settle(Due("someday", datetime(2999, 1, 1, tzinfo=UTC)))
    counted = [
        world.metrics.registry.get_sample_value("settlements_total", {"result": result})
        for result in ("done", "failed")
    ]
    assert counted == [2, 1]


def test_every_kind_of_booking_that_moves_an_account_is_on_the_list() -> None:
    assert set(ACCOUNT_KINDS) == set(Kind) - {Kind.CAPTURE, Kind.FENCE}
