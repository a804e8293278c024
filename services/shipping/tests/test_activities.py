import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from shipping.activities import CARRIER_UNAVAILABLE, QUOTE_ATTEMPTS, Activities, Ask, Look, QuoteRequest, Terms
from shipping.carriers import Carriers
from shipping.contract import BookRequest, DeliveryState, Refusal, Undo, booking_key
from shipping.store import Store

from .fake_carriers import DOWN, EFFECT_THEN_DOWN, EFFECT_THEN_HANG, HANG, REFUSED
from .world import (
    ADDRESS,
    CALL_SECONDS,
    CARRIERS,
    NOON,
    QUOTE_SECONDS,
    SHORT_CALL_SECONDS,
    SHORT_QUOTE_SECONDS,
    World,
    book_request,
    new_order,
    parcel,
    report_of,
)


def attempt(number: int) -> ActivityEnvironment:
    environment = ActivityEnvironment()
    environment.info = replace(environment.info, attempt=number)
    return environment


async def refusal(call: Awaitable[Any]) -> ApplicationError:
    with pytest.raises(ApplicationError) as caught:
        await call
    return caught.value


async def until_done(call: Callable[[], Awaitable[Any]], attempts: int = 5) -> Any:
    """What Temporal does with an activity that fails: run it again."""
    for _ in range(attempts):
        try:
            return await call()
        except ApplicationError as error:
            if error.non_retryable:
                raise
        except Crash:
            continue
    raise AssertionError("it never came to an end")


class Crash(Exception):  # noqa: N818 - it names an event
    """The process dies."""


class CrashingStore(Store):
    """Dies once, before or after a method's transaction."""

    def __init__(self, world: World, method: str, *, after: bool) -> None:
        super().__init__(world.database.engine, world.metrics)
        self.method, self.after, self.armed = method, after, True

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        if name.startswith("_") or name != super().__getattribute__("method"):
            return found

        async def dying(*args: Any, **kwargs: Any) -> Any:
            armed, self.armed = self.armed, False
            if armed and not self.after:
                raise Crash(name)
            result = await found(*args, **kwargs)
            if armed:
                raise Crash(name)
            return result

        return dying


def dying(world: World, method: str, *, after: bool) -> Activities:
    return Activities(
        CrashingStore(world, method, after=after),
        world.reports,
        world.carriers,
        Terms(CARRIERS, QUOTE_SECONDS),
        world.metrics,
    )


def quotes(carrier: str, *weights: int, seconds: float = QUOTE_SECONDS) -> QuoteRequest:
    parcels = tuple(parcel(1 + index, weight) for index, weight in enumerate(weights))
    return QuoteRequest(carrier, "EUR", parcels, ADDRESS, seconds)


# Quotes


async def test_a_carrier_quotes_for_all_parcels_at_once(world: World) -> None:
    said = await attempt(1).run(world.activities.quote, quotes("budget", 500, 1500))
    assert [(quote.parcel, quote.price) for quote in said] == [(1, 300), (2, 600)]


async def test_a_parcel_that_is_not_served_leaves_the_others_their_prices(world: World) -> None:
    world.outside.unserved.add(("budget", 1500))
    said = await attempt(1).run(world.activities.quote, quotes("budget", 500, 1500))
    assert [(quote.price, quote.reason) for quote in said] == [(300, ""), (None, "not_served")]


async def test_a_parcel_without_an_answer_is_asked_for_again_and_then_left_out(world: World) -> None:
    world.outside.quotes_until_fine["budget"] = 1
    error = await refusal(attempt(1).run(world.activities.quote, quotes("budget", 500, 1500)))
    assert (error.type, error.non_retryable) == (CARRIER_UNAVAILABLE, False)
    world.outside.quotes_until_fine["budget"] = 1
    said = await attempt(QUOTE_ATTEMPTS).run(world.activities.quote, quotes("budget", 500, 1500))
    assert sorted(quote.price is None for quote in said) == [False, True]


@pytest.mark.parametrize(("fate", "seconds"), [(DOWN, QUOTE_SECONDS), (HANG, SHORT_QUOTE_SECONDS)])
async def test_a_carrier_without_any_answer_fails_on_the_last_attempt_too(
    world: World, fate: str, seconds: float
) -> None:
    world.outside.quote_fate["budget"] = fate
    asked = quotes("budget", 500, seconds=seconds)
    error = await refusal(attempt(QUOTE_ATTEMPTS).run(world.activities.quote, asked))
    assert error.type == CARRIER_UNAVAILABLE


# Booking


async def test_a_booking_is_recorded_and_a_repeat_finds_it_without_asking(world: World) -> None:
    request = book_request(new_order())
    first = await world.activities.book(request)
    requests = len(world.outside.requests)
    assert await world.activities.book(request) == first
    assert len(world.outside.requests) == requests
    assert await world.state(request.order_id) == "booked"


@pytest.mark.parametrize(
    ("method", "after"), [("intend", False), ("intend", True), ("booked", False), ("booked", True)]
)
async def test_a_crash_around_any_transaction_of_a_booking_books_once(world: World, method: str, after: bool) -> None:
    request = book_request(new_order())
    activities = dying(world, method, after=after)
    booking = await until_done(lambda: activities.book(request))
    assert booking.tracking_number == f"budget-{request.order_id}-1"
    assert world.outside.effects == {booking_key(request.order_id, 1): 1}
    assert world.outside.asked("book") == 1
    assert await world.state(request.order_id) == "booked"


@pytest.mark.parametrize(
    ("fate", "call_seconds"), [(EFFECT_THEN_HANG, SHORT_CALL_SECONDS), (EFFECT_THEN_DOWN, CALL_SECONDS)]
)
async def test_a_booking_with_unknown_outcome_is_looked_up_and_not_repeated(world: World, fate: str) -> None:
    world.outside.booking_fates = [fate]
    request = book_request(new_order())
    booking = await until_done(lambda: world.activities.book(request))
    assert booking.tracking_number == f"budget-{request.order_id}-1"
    assert (world.outside.asked("book"), world.outside.asked("find")) == (1, 1)


@pytest.mark.parametrize(("fate", "call_seconds"), [(DOWN, CALL_SECONDS), (HANG, SHORT_CALL_SECONDS)])
async def test_a_booking_that_took_no_effect_is_tried_again(world: World, fate: str) -> None:
    world.outside.booking_fates = [fate]
    request = book_request(new_order())
    await until_done(lambda: world.activities.book(request))
    assert (world.outside.asked("book"), world.outside.asked("find")) == (2, 1)
    assert world.outside.effects.total() == 1


async def test_bookings_in_parallel_take_effect_once(world: World) -> None:
    request = book_request(new_order())
    bookings = await asyncio.gather(*(until_done(lambda: world.activities.book(request)) for _ in range(8)))
    assert len(set(bookings)) == 1
    assert world.outside.effects == {booking_key(request.order_id, 1): 1}


async def test_a_refused_parcel_stays_refused_without_asking_again(world: World) -> None:
    world.outside.booking_fates = [REFUSED]
    request = book_request(new_order())
    for _ in range(2):
        error = await refusal(world.activities.book(request))
        assert (error.type, error.non_retryable) == (Refusal.BOOKING_REFUSED, True)
        assert "budget does not take parcel 1" in error.message
    assert world.outside.asked("book") == 1


async def test_a_refused_parcel_may_go_with_another_carrier(world: World) -> None:
    world.outside.booking_fates = [REFUSED]
    order_id = new_order()
    await refusal(world.activities.book(book_request(order_id, carrier="budget")))
    booking = await world.activities.book(book_request(order_id, carrier="swift"))
    assert booking.carrier == "swift"


@pytest.mark.parametrize("after", [False, True])
async def test_a_crash_around_the_record_of_a_refusal_refuses(world: World, after: bool) -> None:
    world.outside.booking_fates = [REFUSED, REFUSED]
    activities = dying(world, "refused", after=after)
    request = book_request(new_order())
    error = await refusal(until_done(lambda: activities.book(request)))
    assert error.type == Refusal.BOOKING_REFUSED
    assert world.outside.effects.total() == 0


async def test_a_carrier_that_does_not_exist_books_nothing(world: World) -> None:
    request = book_request(new_order(), carrier="../gateway")
    error = await refusal(world.activities.book(request))
    assert error.type == Refusal.BOOKING_REFUSED
    assert world.outside.requests == []
    assert await world.state(request.order_id) is None


# Cancelling


async def test_a_late_booking_after_cancel_does_nothing(world: World) -> None:
    order_id = new_order()
    cancelled = await world.activities.cancel(Undo(order_id, "customer"))
    assert cancelled.parcels == 0
    error = await refusal(world.activities.book(book_request(order_id)))
    assert (error.type, error.non_retryable) == (Refusal.SHIPMENT_CANCELLED, True)
    assert world.outside.requests == []


async def test_all_parcels_of_an_order_are_cancelled_at_their_carriers(world: World) -> None:
    order_id = new_order()
    await world.activities.book(book_request(order_id, 1, "budget"))
    await world.activities.book(book_request(order_id, 2, "swift"))
    for _ in range(2):
        assert (await world.activities.cancel(Undo(order_id, "customer"))).parcels == 2
    assert world.outside.asked("cancel") == 2
    assert {known["status"] for known in world.outside.bookings.values()} == {"cancelled"}
    assert [await world.state(order_id, number) for number in (1, 2)] == ["cancelled", "cancelled"]


async def test_an_intent_that_no_carrier_heard_of_is_burned(world: World) -> None:
    order_id = new_order()
    activities = dying(world, "intend", after=True)
    with pytest.raises(Crash):
        await activities.book(book_request(order_id))
    assert (await world.activities.cancel(Undo(order_id, "customer"))).parcels == 0
    assert world.outside.bookings[booking_key(order_id, 1)]["status"] == "burned"
    assert (await refusal(activities.book(book_request(order_id)))).type == Refusal.SHIPMENT_CANCELLED


async def test_a_booking_whose_outcome_is_unknown_is_cancelled_by_its_key(world: World) -> None:
    world.outside.booking_fates = [EFFECT_THEN_DOWN]
    order_id = new_order()
    await refusal(world.activities.book(book_request(order_id)))
    assert (await world.activities.cancel(Undo(order_id, "customer"))).parcels == 1
    assert world.outside.bookings[booking_key(order_id, 1)]["status"] == "cancelled"


async def test_a_booking_under_way_while_its_order_is_cancelled_finds_its_key_burned(world: World) -> None:
    order_id = new_order()
    world.outside.gate.clear()
    booking = asyncio.create_task(world.activities.book(book_request(order_id)))
    await world.outside.entered.wait()
    await world.activities.cancel(Undo(order_id, "customer"))
    world.outside.gate.set()
    assert (await refusal(booking)).type == Refusal.SHIPMENT_CANCELLED
    assert world.outside.effects.total() == 0


class CancelsFirst(Carriers):
    """Lets a whole undo happen between the carrier's answer and its record."""

    world: World

    async def book(self, *args: Any, **kwargs: Any) -> str:
        number = await super().book(*args, **kwargs)
        await self.world.activities.cancel(Undo(args[2], "race"))
        return number


async def test_a_booking_that_took_effect_before_the_undo_reached_the_carrier_is_cancelled_there(world: World) -> None:
    order_id = new_order()
    racing = CancelsFirst(world.carriers._http, world.carriers._base)
    racing.world = world
    activities = Activities(world.store, world.reports, racing, Terms(CARRIERS, QUOTE_SECONDS), world.metrics)
    assert (await refusal(activities.book(book_request(order_id)))).type == Refusal.SHIPMENT_CANCELLED
    assert world.outside.bookings[booking_key(order_id, 1)]["status"] == "cancelled"
    assert await world.state(order_id) == "cancelled"


@pytest.mark.parametrize(
    ("method", "after"), [("fence", False), ("fence", True), ("cancelled", False), ("cancelled", True)]
)
async def test_a_crash_around_any_transaction_of_an_undo_still_cancels_all(
    world: World, method: str, after: bool
) -> None:
    order_id = new_order()
    await world.activities.book(book_request(order_id, 1))
    await world.activities.book(book_request(order_id, 2))
    activities = dying(world, method, after=after)
    cancelled = await until_done(lambda: activities.cancel(Undo(order_id, "customer")))
    assert cancelled.parcels == 2
    assert {known["status"] for known in world.outside.bookings.values()} == {"cancelled"}


@pytest.mark.parametrize(
    ("fate", "call_seconds"),
    [(DOWN, CALL_SECONDS), (HANG, SHORT_CALL_SECONDS), (EFFECT_THEN_DOWN, CALL_SECONDS)],
)
async def test_a_carrier_that_was_not_told_is_told_again_and_the_others_are_not(world: World, fate: str) -> None:
    order_id = new_order()
    for number in (1, 2, 3):
        await world.activities.book(book_request(order_id, number))
    world.outside.cancel_fates = [fate]
    error = await refusal(world.activities.cancel(Undo(order_id, "customer")))
    assert (error.type, error.non_retryable) == (CARRIER_UNAVAILABLE, False)
    assert (await world.activities.cancel(Undo(order_id, "customer"))).parcels == 3
    assert world.outside.asked("cancel") == 4


async def test_undos_in_parallel_agree(world: World) -> None:
    order_id = new_order()
    await world.activities.book(book_request(order_id))
    undone = await asyncio.gather(*(world.activities.cancel(Undo(order_id, "customer")) for _ in range(5)))
    assert [cancelled.parcels for cancelled in undone] == [1] * 5


async def test_booking_and_undo_in_any_interleaving_leave_no_carrier_coming(world: World) -> None:
    async def book(request: BookRequest) -> None:
        error = await refusal(until_done(lambda: world.activities.book(request)))
        assert error.type == Refusal.SHIPMENT_CANCELLED

    for _ in range(10):
        order_id = new_order()
        world.outside.booking_fates = [EFFECT_THEN_DOWN, DOWN, EFFECT_THEN_DOWN]
        await asyncio.gather(
            *(until_done(lambda: world.activities.book(book_request(order_id, n))) for n in (1, 2)),  # noqa: B023
            until_done(lambda: world.activities.cancel(Undo(order_id, "race"))),  # noqa: B023
            return_exceptions=True,
        )
        assert (await refusal(world.activities.book(book_request(order_id)))).type == Refusal.SHIPMENT_CANCELLED
    assert "booked" not in {known["status"] for known in world.outside.bookings.values()}


# Looking and asking


async def test_looking_for_a_parcel_that_is_not_booked_is_refused(world: World) -> None:
    order_id = new_order()
    assert (await refusal(world.activities.look(Look(order_id, 1)))).type == Refusal.NOT_BOOKED
    await world.store.intend(order_id, 1, booking_key(order_id, 1), "swift")
    assert (await refusal(world.activities.look(Look(order_id, 1)))).type == Refusal.NOT_BOOKED
    await world.activities.cancel(Undo(order_id, "customer"))
    assert (await refusal(world.activities.look(Look(order_id, 1)))).type == Refusal.SHIPMENT_CANCELLED


def ask(order_id: str, *, events: int = 0, give_up: bool = False) -> Ask:
    return Ask(order_id, 1, at=NOON, silent_since=NOON, events=events, give_up=give_up)


async def test_asking_twice_records_one_silence_and_each_event_once(world: World) -> None:
    row = await world.booked(new_order())
    assert row.tracking_number is not None
    said = {"event_id": "e1", "state": "in_transit", "at": "2026-01-01T12:00:00Z"}
    world.outside.events[row.tracking_number] = [said, said]
    for _ in range(2):
        seen = await ActivityEnvironment().run(world.activities.ask, ask(row.order_id))
        assert (seen.state, seen.events) == (DeliveryState.IN_TRANSIT, 1)
    silences = await world.reports.silences(0, 10)
    assert [(found["order_id"], found["news"]) for found in silences] == [(row.order_id, 1)]


@pytest.mark.parametrize(
    ("fate", "said", "call_seconds"),
    [
        (DOWN, "answered 503", CALL_SECONDS),
        (HANG, "did not answer", SHORT_CALL_SECONDS),
        (None, "does not know", CALL_SECONDS),
    ],
)
async def test_a_carrier_that_cannot_say_is_part_of_the_record(world: World, fate: str | None, said: str) -> None:
    row = await world.booked(new_order())
    world.outside.shipment_fate = fate
    seen = await ActivityEnvironment().run(world.activities.ask, ask(row.order_id))
    assert seen.state is DeliveryState.BOOKED
    assert said in (await world.reports.silences(0, 10))[0]["detail"]


async def test_a_parcel_is_given_up_only_while_there_is_no_news(world: World) -> None:
    row = await world.booked(new_order())
    await world.reports.add(report_of(row, DeliveryState.PICKED_UP))
    seen = await ActivityEnvironment().run(world.activities.ask, ask(row.order_id, events=0, give_up=True))
    assert (seen.state, seen.events) == (DeliveryState.PICKED_UP, 1)
    for _ in range(2):
        seen = await ActivityEnvironment().run(world.activities.ask, ask(row.order_id, events=1, give_up=True))
        assert (seen.state, seen.at, seen.events) == (DeliveryState.LOST, NOON, 2)


async def test_a_booking_promises_a_day_and_a_repeat_promises_the_same(world: World) -> None:
    activities = Activities(
        world.store,
        world.reports,
        world.carriers,
        Terms(CARRIERS, QUOTE_SECONDS),
        world.metrics,
        promise=timedelta(days=5),
    )
    request = book_request(new_order())
    booking = await attempt(1).run(activities.book, request)
    row = await world.store.parcel(request.order_id, 1)
    assert row is not None
    assert booking.promised_at is not None
    assert booking.promised_at == row.promised_at == (await world.reports.sighting(row)).promised_at
    assert (await attempt(2).run(activities.book, request)) == booking
