"""What is counted, and that it is counted once."""

import asyncio
from collections.abc import Awaitable

import pytest
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from shipping.activities import Ask, QuoteRequest
from shipping.contract import DeliveryState, Undo
from shipping.picking import Pick, task_id

from .fake_carriers import DOWN, REFUSED
from .world import ADDRESS, CARRIERS, NOON, QUOTE_SECONDS, World, book_request, new_order, parcel, report_of


def counted(world: World, name: str) -> dict[tuple[str, ...], float]:
    """The series of a counter that are not 0, by their labels' values."""
    return {
        tuple(sample.labels.values()): sample.value
        for metric in world.metrics.registry.collect()
        for sample in metric.samples
        if sample.name == f"{name}_total" and sample.value
    }


async def refused(step: Awaitable[object]) -> None:
    with pytest.raises(ApplicationError):
        await step


async def test_each_quote_counts_by_what_its_carrier_said(world: World) -> None:
    world.outside.unserved.add(("budget", 1500))
    world.outside.quote_fate["swift"] = DOWN
    parcels = (parcel(1, 500), parcel(2, 1500))
    asking = [
        ActivityEnvironment().run(world.activities.quote, QuoteRequest(carrier, "EUR", parcels, ADDRESS, QUOTE_SECONDS))
        for carrier in ("budget", "swift", "steady")
    ]
    await asyncio.gather(*asking, return_exceptions=True)
    assert counted(world, "carrier_quotes") == {
        ("budget", "offered"): 1,
        ("budget", "none"): 1,
        ("swift", "failed"): 2,
        ("steady", "offered"): 2,
    }


async def test_a_booking_and_its_cancellation_count_once_however_often_they_are_asked_for(world: World) -> None:
    request = book_request(new_order())
    await asyncio.gather(*(world.activities.book(request) for _ in range(3)), return_exceptions=True)
    await world.activities.book(request)
    for _ in range(2):
        await world.activities.cancel(Undo(request.order_id, "customer"))
    await world.activities.cancel(Undo(new_order(), "there is nothing to cancel"))
    assert counted(world, "shipments") == {("budget", "booked"): 1, ("budget", "cancelled"): 1}


async def test_a_refusal_counts_once_and_its_cancellation_not_at_all(world: World) -> None:
    world.outside.booking_fates = [REFUSED]
    request = book_request(new_order())
    for _ in range(2):
        await refused(world.activities.book(request))
    await world.activities.cancel(Undo(request.order_id, "no carrier"))
    assert counted(world, "shipments") == {("budget", "refused"): 1}


async def test_an_event_counts_once_by_its_carrier_and_a_strangers_under_other(world: World) -> None:
    row = await world.booked(new_order())
    report = report_of(row, DeliveryState.PICKED_UP)
    for _ in range(2):
        await world.reports.add(report)
    await world.reports.add(report_of(row, DeliveryState.LOST, carrier="a-stranger"))
    assert counted(world, "carrier_events") == {("budget", "picked_up"): 1, ("other", "lost"): 1}


async def test_events_that_asking_brings_count_once_and_so_does_giving_up(world: World) -> None:
    row = await world.booked(new_order())
    assert row.tracking_number is not None
    world.outside.events[row.tracking_number] = [
        {"event_id": "e1", "state": "in_transit", "at": "2026-01-01T12:00:00Z"}
    ]
    ask = Ask(row.order_id, 1, at=NOON, silent_since=NOON, events=1, give_up=True)
    for _ in range(2):
        await ActivityEnvironment().run(world.activities.ask, ask)
    assert counted(world, "carrier_events") == {("budget", "in_transit"): 1, ("waybill", "lost"): 1}


async def test_a_pick_counts_once_and_by_what_became_of_it(world: World) -> None:
    picked, skipped = (await world.booked(new_order())).order_id, (await world.booked(new_order())).order_id
    await world.picks.accept("w", "north", 2)
    await world.picks.gather("w")
    await world.store.fence(skipped, "customer")
    for order_id in (picked, skipped):
        for picker in (1, 2):
            await world.picks.pick(Pick("w", task_id(order_id, 1), picker))
    assert counted(world, "picks") == {("picked",): 1, ("skipped",): 1}


def test_the_known_carriers_are_there_at_0(world: World) -> None:
    for carrier in (*CARRIERS, "other"):
        for result in ("booked", "refused", "cancelled"):
            labels = {"carrier": carrier, "result": result}
            assert world.metrics.registry.get_sample_value("shipments_total", labels) == 0
