"""How orders end, each by the fate that its card and its postcode choose."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from orchestrator.contract import message_key
from payments.contract import authorise_key, capture_key
from shipping.contract import booking_key

from .world import EXPENSIVE, World

REJECTED = "rejected"


async def test_an_order_goes_from_stock_to_the_customers_door(world: World) -> None:
    order_id = await world.place({await world.product(north=5): 2, await world.product(8_900, south=5): 1})
    document = await world.reached(order_id)
    assert (document["status"], document["total"], document["parcels"]) == ("fulfilled", 11_400, 2)
    assert len(set(document["tracking_numbers"])) == 2
    way = ["reserving", "authorising", "booking", "committing", "capturing", "fulfilled"]
    assert [state for state in await world.states_of(order_id) if state != "accepted"] == way
    await world.delivered([order_id])
    assert await world.happened(authorise_key(order_id)) == {"authorisation": 1}
    assert await world.happened(capture_key(order_id)) == {"capture": 1}
    assert await world.happened(booking_key(order_id, 2)) == {"booking": 1}
    await world.closed(f"follow:{order_id}")
    assert await world.messages(order_id) == ["fulfilled", "review"]


Happened = Mapping[Callable[[str], str], Mapping[str, int]]


@dataclass(frozen=True)
class Case:
    """A fate, and what must come of it."""

    status: str
    reason: str | None = None
    choices: Mapping[str, Any] = field(default_factory=dict)
    stock: int = 10
    happened: Happened = field(default_factory=dict)


def _booking_key(order_id: str) -> str:
    return booking_key(order_id, 1)


VOIDED: Happened = {authorise_key: {"authorisation": 1, "void": 1}, capture_key: {}, _booking_key: {}}
NO_CHARGE: Happened = {authorise_key: {}, capture_key: {}, _booking_key: {}}
SENT: Happened = {authorise_key: {"authorisation": 1}, capture_key: {"capture": 1}, _booking_key: {"booking": 1}}
CASES = {
    "out of stock": Case(REJECTED, "out_of_stock", stock=0, happened=NO_CHARGE),
    "price changed": Case(REJECTED, "price_changed", {"expected_total": 1}, happened=NO_CHARGE),
    "declined": Case(REJECTED, "declined", {"card": "tok_declined"}, happened=NO_CHARGE),
    "charged, then timed out, and found again": Case(
        "fulfilled", None, {"card": "tok_timeout_after_charge"}, happened=SENT
    ),
    "timed out before the charge, and asked again": Case(
        "fulfilled", None, {"card": "tok_timeout_before_charge"}, happened=SENT
    ),
    "captured, then timed out, and found again": Case(
        "fulfilled", None, {"card": "tok_timeout_after_capture"}, happened=SENT
    ),
    "gateway failed once": Case("fulfilled", None, {"card": "tok_error_once"}, happened=SENT),
    "authorisation lapsed": Case(
        REJECTED,
        "declined",
        {"card": "tok_lapsed"},
        happened={
            authorise_key: {"authorisation": 1, "void": 1},
            capture_key: {},
            _booking_key: {"booking": 1, "cancellation": 1},
        },
    ),
    "all carriers down": Case(REJECTED, "no_carrier", {"postcode": "DOWN-ALL"}, happened=VOIDED),
    "all carriers too slow": Case(REJECTED, "no_carrier", {"postcode": "SLOW-ALL"}, happened=VOIDED),
    "booking refused": Case(REJECTED, "booking_refused", {"postcode": "REFUSED"}, happened=VOIDED),
    "booked, then timed out, and found again": Case("fulfilled", None, {"postcode": "BOOK-TIMEOUT"}, happened=SENT),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
async def test_an_order_ends_as_its_fate_says(world: World, case: Case) -> None:
    order_id = await world.place(await world.product(north=case.stock), **case.choices)
    assert await world.ended(order_id) == (case.status, case.reason)
    for key, effects in case.happened.items():
        assert await world.happened(key(order_id)) == effects
    await world.told(order_id)
    assert await world.happened(message_key(order_id, case.status)) == {"message": 1}


async def test_what_there_is_is_sent_where_the_order_allows_a_part(world: World) -> None:
    there, gone = await world.product(north=1), await world.product(north=0)
    order_id = await world.place({there: 1, gone: 1}, allow_partial=True)
    assert await world.ended(order_id) == ("partially_fulfilled", None)
    assert (await world.order(order_id))["total"] == 1_250


async def test_one_carrier_is_down_and_the_next_cheapest_takes_the_parcel(world: World) -> None:
    order_id = await world.place(postcode="DOWN-BUDGET")
    assert await world.ended(order_id) == ("fulfilled", None)
    # Pages begin after a key: one that is a little smaller than the order's own.
    page = await world.ask("GET", "shipping", f"/audit?limit=100&after={order_id[:-1]}")
    [mine] = [item for item in page.document["items"] if item["order_id"] == order_id]
    assert [parcel["carrier"] for parcel in mine["parcels"]] == ["steady"]


async def test_an_expensive_order_waits_for_an_approver_and_goes_on(world: World) -> None:
    order_id = await world.place(price=EXPENSIVE)
    await world.reached(order_id, "awaiting_approval")
    assert (await world.decide(order_id, "approve")).status == 200
    assert await world.ended(order_id) == ("fulfilled", None)
    assert (await world.decide(order_id, "refuse")).status == 409


async def test_an_approver_refuses(world: World) -> None:
    order_id = await world.place(price=EXPENSIVE)
    await world.reached(order_id, "awaiting_approval")
    assert (await world.decide(order_id, "refuse")).status == 200
    assert await world.ended(order_id) == (REJECTED, "approval_refused")


async def test_nobody_approves_in_time(world: World) -> None:
    order_id = await world.place(price=EXPENSIVE, approval_limit_seconds=1)
    assert await world.ended(order_id) == (REJECTED, "approval_timed_out")


async def test_the_same_order_twice_is_one_and_another_under_its_id_is_refused(world: World) -> None:
    sku = await world.product(north=5)
    body = world.body(sku)
    answers = [await world.insist("POST", "orchestrator", "/orders", body) for _ in range(2)]
    assert [answer.status for answer in answers] == [202, 202]
    other = await world.insist("POST", "orchestrator", "/orders", {**body, "lines": [{"sku": sku, "quantity": 2}]})
    assert other.status == 409
    assert await world.ended(body["order_id"]) == ("fulfilled", None)
    assert await world.happened(capture_key(body["order_id"])) == {"capture": 1}
