import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

import pytest

from chassis.testing.waiting import eventually
from sandbox.testing import Client

CARRIERS = ("swift", "steady", "budget")


def new_key() -> str:
    return f"shipment:{uuid4().hex}:1:book"


@pytest.mark.parametrize("weight", [1, 999, 1000, 1001, 25_000, 10**9])
async def test_budget_is_cheapest_and_swift_dearest(sandbox: Client, weight: int) -> None:
    prices = [(await sandbox.quote(carrier, weight=weight)).body["price"] for carrier in CARRIERS]
    assert prices == sorted(prices, reverse=True)
    assert len(set(prices)) == 3


@pytest.mark.parametrize("postcode", ["DOWN-ALL", "down-all", " Down-All "])
@pytest.mark.parametrize("carrier", CARRIERS)
async def test_all_carriers_are_down_for_a_postcode(sandbox: Client, carrier: str, postcode: str) -> None:
    quoted, booked = await sandbox.quote(carrier, postcode), await sandbox.book(carrier, new_key(), postcode)
    assert (quoted.status, quoted.body["error"]) == (503, "down")
    assert (booked.status, booked.body["error"]) == (503, "down")


@pytest.mark.parametrize("down", CARRIERS)
async def test_one_carrier_is_down_for_a_postcode(sandbox: Client, down: str) -> None:
    statuses = {carrier: (await sandbox.quote(carrier, f"DOWN-{down.upper()}")).status for carrier in CARRIERS}
    assert statuses == {carrier: 503 if carrier == down else 200 for carrier in CARRIERS}


async def test_no_carrier_serves_a_postcode(sandbox: Client) -> None:
    for carrier in CARRIERS:
        refused = await sandbox.quote(carrier, "NO-CARRIER")
        assert (refused.status, refused.body["error"]) == (422, "not_served")


@pytest.mark.parametrize("postcode", ["SLOW-ALL", "SLOW-BUDGET"])
async def test_a_slow_carrier_quotes_late(start: Callable[..., Awaitable[Client]], postcode: str) -> None:
    sandbox = await start(slow_seconds=3600)
    slow = asyncio.ensure_future(sandbox.quote("budget", postcode))
    if postcode == "SLOW-BUDGET":
        assert (await sandbox.quote("swift", postcode)).status == 200
    assert (await sandbox.quote("swift")).status == 200
    assert not slow.done()
    slow.cancel()
    hasty = await start(slow_seconds=0.01)
    assert (await hasty.quote("budget", postcode)).status == 200


async def test_a_parcel_that_is_refused_gets_a_quote_but_no_booking(sandbox: Client) -> None:
    key = new_key()
    assert (await sandbox.quote("steady", "REFUSED")).status == 200
    refused = await sandbox.book("steady", key, "REFUSED")
    assert (refused.status, refused.body["error"]) == (422, "refused")
    assert await sandbox.effects(key) == 0


async def test_a_booking_is_made_once_and_can_be_looked_up(sandbox: Client) -> None:
    key = new_key()
    booked = await sandbox.book("steady", key)
    tracking = booked.body["tracking_number"]
    assert booked.status == 201
    assert booked.body == {"key": key, "carrier": "steady", "tracking_number": tracking, "status": "booked"}
    assert await sandbox.book("steady", key) == booked
    assert (await sandbox.get(f"/carriers/steady/v1/bookings/{key}")).body == booked.body
    assert (await sandbox.get(f"/carriers/swift/v1/bookings/{key}")).body["error"] == "unknown_key"
    assert await sandbox.effects(key) == 1


async def test_twenty_bookings_at_once_with_one_key_are_one(sandbox: Client) -> None:
    key = new_key()
    replies = await asyncio.gather(*(sandbox.book("budget", key) for _ in range(20)))
    assert len({reply.body["tracking_number"] for reply in replies}) == 1
    counted = (await sandbox.get(f"/effects?key={key}")).body
    assert (counted["effects"], counted["requests"]) == (1, 20)


async def test_one_key_at_two_carriers_is_two_effects(sandbox: Client) -> None:
    key = new_key()
    await sandbox.book("budget", key)
    await sandbox.book("swift", key)
    assert await sandbox.effects(key) == 2


async def test_a_booking_whose_answer_is_lost_is_found_again(sandbox: Client) -> None:
    key = new_key()
    waiting = asyncio.ensure_future(sandbox.book("steady", key, "BOOK-TIMEOUT"))

    async def booked() -> bool:
        return await sandbox.effects(key) == 1

    await eventually(booked)
    assert not waiting.done()
    waiting.cancel()
    found = await sandbox.get(f"/carriers/steady/v1/bookings/{key}")
    again = await sandbox.book("steady", key, "BOOK-TIMEOUT")
    assert again.status == 201
    assert found.body == again.body
    assert await sandbox.effects(key) == 1


async def test_a_booking_under_a_known_key_with_another_body_is_refused(sandbox: Client) -> None:
    key = new_key()
    await sandbox.book("steady", key)
    refused = await sandbox.book("steady", key, order="another")
    assert (refused.status, refused.body["error"]) == (422, "key_reused")


async def test_a_cancellation_is_made_once_and_burns_the_key(sandbox: Client) -> None:
    key = new_key()
    tracking = (await sandbox.book("steady", key)).body["tracking_number"]
    for _ in range(2):
        cancelled = await sandbox.cancel("steady", key)
        assert (cancelled.status, cancelled.body) == (200, {"status": "cancelled"})
    assert (await sandbox.get(f"/carriers/steady/v1/bookings/{key}")).body["status"] == "cancelled"
    assert (await sandbox.get(f"/carriers/steady/v1/shipments/{tracking}")).body["state"] == "cancelled"
    late = await sandbox.book("steady", key)
    assert (late.status, late.body["error"]) == (409, "key_burned")
    counted = (await sandbox.get(f"/effects?key={key}")).body
    assert (counted["effects"], counted["undos"]) == (1, 1)


async def test_a_cancellation_that_overtakes_its_booking_burns_the_key(sandbox: Client) -> None:
    key = new_key()
    for _ in range(2):
        assert (await sandbox.cancel("steady", key)).body == {"status": "burned"}
    assert (await sandbox.book("steady", key)).body["error"] == "key_burned"
    found = await sandbox.get(f"/carriers/steady/v1/bookings/{key}")
    assert (found.body["status"], found.body["tracking_number"]) == ("burned", None)
    assert (await sandbox.get(f"/effects?key={key}")).body["undos"] == 0


@pytest.mark.parametrize(
    ("postcode", "states"),
    [
        ("10115", ["picked_up", "in_transit", "delivered"]),
        ("RETURNED", ["picked_up", "in_transit", "returned"]),
        ("LOST", ["picked_up"]),
    ],
)
async def test_a_parcel_can_be_followed(
    start: Callable[..., Awaitable[Client]], postcode: str, states: list[str]
) -> None:
    sandbox = await start(delivery_seconds=0)
    tracking = (await sandbox.book("swift", new_key(), postcode)).body["tracking_number"]
    followed = (await sandbox.get(f"/carriers/swift/v1/shipments/{tracking}")).body
    assert [event["state"] for event in followed["events"]] == states
    assert (followed["tracking_number"], followed["state"]) == (tracking, states[-1])


async def test_a_parcel_that_nothing_happened_to_is_booked(start: Callable[..., Awaitable[Client]]) -> None:
    sandbox = await start(delivery_seconds=10**6)
    tracking = (await sandbox.book("swift", new_key())).body["tracking_number"]
    followed = (await sandbox.get(f"/carriers/swift/v1/shipments/{tracking}")).body
    assert followed == {"tracking_number": tracking, "state": "booked", "events": []}


async def test_an_unknown_shipment_and_an_unknown_carrier_are_not_found(sandbox: Client) -> None:
    assert (await sandbox.get("/carriers/swift/v1/shipments/SW1")).body["error"] == "unknown_shipment"
    unknown = await sandbox.quote("pigeon")
    assert (unknown.status, unknown.body["error"]) == (404, "unknown_carrier")


@pytest.mark.parametrize(
    ("field", "value"),
    [("weight", 0), ("weight", 1.5), ("weight", True), ("parcel", 0), ("address", None), ("warehouse", "")],
)
async def test_a_wrong_booking_is_refused_by_field(sandbox: Client, field: str, value: Any) -> None:
    address = {"name": "Ada", "street": "Weg 1", "city": "Berlin", "postcode": "10115", "country": "DE"}
    body = {"reference": "order", "parcel": 1, "weight": 1200, "warehouse": "BER", "address": address} | {field: value}
    refused = await sandbox.post("/carriers/steady/v1/bookings", body, new_key())
    assert (refused.status, refused.body["field"]) == (422, field)


async def test_a_wrong_address_is_refused_by_field(sandbox: Client) -> None:
    address = {"name": "Ada", "street": "Weg 1", "city": "Berlin", "postcode": "10115", "country": "Germany"}
    body = {"reference": "order", "parcel": 1, "weight": 1200, "warehouse": "BER", "address": address}
    refused = await sandbox.post("/carriers/steady/v1/bookings", body, new_key())
    assert (refused.status, refused.body["field"]) == (422, "address.country")
