"""PlanShipment, BookShipment, CancelShipment with real activities; mostly by a server that skips the waiting."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio
from temporalio import activity
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client, WorkflowFailureError, WorkflowHandle
from temporalio.exceptions import ActivityError, ApplicationError, CancelledError
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from chassis.guard import ArgumentGuard
from shipping import contract
from shipping.activities import QuoteRequest, Terms
from shipping.workflows.registered import WORKFLOWS

from .fake_carriers import DOWN, EFFECT_THEN_HANG, HANG, NOT_SERVED, REFUSED
from .world import (
    CARRIERS,
    QUOTE_SECONDS,
    SHORT_CALL_SECONDS,
    SHORT_QUOTE_SECONDS,
    World,
    book_request,
    new_order,
    parcel,
    plan_request,
    until,
)

Record = Callable[[WorkflowHandle[Any, Any], str], Awaitable[None]]


def worker_of(client: Client, world: World) -> Worker:
    return Worker(
        client,
        task_queue=contract.TASK_QUEUE,
        workflows=WORKFLOWS,
        activities=world.activities.all(),
        interceptors=[ArgumentGuard()],
    )


@pytest_asyncio.fixture
async def client(time_skipping: WorkflowEnvironment, world: World) -> AsyncIterator[Client]:
    async with worker_of(time_skipping.client, world):
        yield time_skipping.client


@pytest_asyncio.fixture
async def real_client(dev_server: WorkflowEnvironment, world: World) -> AsyncIterator[Client]:
    """For cancellations: the server that skips loses an activity whose attempt fails after it was to be cancelled."""
    async with worker_of(dev_server.client, world):
        yield dev_server.client


async def plan(client: Client, request: contract.PlanRequest) -> WorkflowHandle[Any, contract.Plan]:
    return await client.start_workflow(
        contract.PlanShipment.run, request, id=contract.plan_id(request.order_id), task_queue=contract.TASK_QUEUE
    )


async def book(client: Client, request: contract.BookRequest) -> WorkflowHandle[Any, contract.Booking]:
    return await client.start_workflow(
        contract.BookShipment.run,
        request,
        id=contract.book_id(request.order_id, request.planned.parcel.number),
        task_queue=contract.TASK_QUEUE,
    )


async def cancel(client: Client, order_id: str) -> WorkflowHandle[Any, contract.Cancelled]:
    return await client.start_workflow(
        contract.CancelShipment.run,
        contract.Undo(order_id, "customer"),
        id=contract.cancel_id(order_id),
        task_queue=contract.TASK_QUEUE,
    )


async def refusal(handle: WorkflowHandle[Any, Any]) -> ApplicationError:
    """The application error with which a workflow failed, whether its own or its activity's."""
    with pytest.raises(WorkflowFailureError) as caught:
        await handle.result()
    cause: BaseException | None = caught.value.cause
    if isinstance(cause, ActivityError):
        cause = cause.cause
    assert isinstance(cause, ApplicationError)
    assert cause.non_retryable
    return cause


def hurrying(carrier: str) -> Terms:
    """A carrier that hangs is given up soon; the others have all the time."""
    return Terms(CARRIERS, QUOTE_SECONDS, {carrier: SHORT_QUOTE_SECONDS})


async def test_each_parcel_goes_with_the_carrier_that_is_cheapest_for_it(
    client: Client, world: World, record: Record
) -> None:
    world.outside.unserved.add(("budget", 4000))
    handle = await plan(client, plan_request(new_order(), parcel(1, 1500), parcel(2, 4000)))
    made = await handle.result()
    assert [(planned.parcel.number, planned.carrier, planned.price) for planned in made.parcels] == [
        (1, "budget", 600),
        (2, "steady", 2400),
    ]
    assert made.failures == (contract.CarrierFailure("budget", "parcel 2: not_served", parcel=2),)
    await record(handle, "plan_two_parcels")


async def test_one_carriers_failure_is_not_the_plans(client: Client, world: World, record: Record) -> None:
    world.outside.quote_fate = {"budget": DOWN, "steady": HANG}
    world.activities._terms = hurrying("steady")
    handle = await plan(client, plan_request(new_order()))
    made = await handle.result()
    assert [planned.carrier for planned in made.parcels] == ["swift"]
    assert {failure.carrier: failure.reason for failure in made.failures} == {
        "budget": "budget answered 503 down",
        "steady": "steady did not answer within 0.5 s",
    }
    await record(handle, "plan_with_failures")


async def test_a_carrier_that_fails_first_loses_nobody_elses_answer(client: Client, world: World) -> None:
    """The well-known fault of a plain gather: the first branch that fails takes the results of all others with it."""
    world.outside.quote_fate = {"budget": NOT_SERVED}
    world.outside.quote_waits = {"swift": asyncio.Event(), "steady": asyncio.Event()}
    handle = await plan(client, plan_request(new_order()))
    await until(lambda: answered(handle, 1))
    # Budget has said no; the workflow still waits for both others, and takes both.
    for carrier in ("steady", "swift"):
        world.outside.quote_waits[carrier].set()
    made = await handle.result()
    assert [planned.carrier for planned in made.parcels] == ["steady"]
    assert [failure.carrier for failure in made.failures] == ["budget"]


async def test_results_are_in_the_order_of_what_was_asked_whoever_answers_first(client: Client, world: World) -> None:
    world.outside.quote_waits = {"swift": asyncio.Event()}
    world.outside.quote_fate = {"swift": NOT_SERVED}
    world.outside.unserved |= {("steady", 3000), ("budget", 4000)}
    handle = await plan(client, plan_request(new_order(), parcel(7, 4000), parcel(2, 3000), parcel(5, 1000)))
    await until(lambda: answered(handle, 2))
    world.outside.quote_waits["swift"].set()
    made = await handle.result()
    assert [(planned.parcel.number, planned.carrier) for planned in made.parcels] == [
        (7, "steady"),
        (2, "budget"),
        (5, "budget"),
    ]
    # The order of the setting, although the first carrier answered last.
    assert [(failure.carrier, failure.parcel) for failure in made.failures] == [
        ("swift", 7),
        ("swift", 2),
        ("swift", 5),
        ("steady", 2),
        ("budget", 7),
    ]


async def test_a_deadline_is_each_carriers_own(time_skipping: WorkflowEnvironment, world: World) -> None:
    world.outside.quote_fate = {"budget": HANG, "steady": HANG}
    world.activities._terms = Terms(CARRIERS, QUOTE_SECONDS, {"steady": 0.2, "budget": SHORT_QUOTE_SECONDS})
    worker = Worker(
        time_skipping.client,
        task_queue=contract.TASK_QUEUE,
        workflows=WORKFLOWS,
        activities=world.activities.all(),
    )
    async with worker:
        made = await (await plan(time_skipping.client, plan_request(new_order()))).result()
    assert [planned.carrier for planned in made.parcels] == ["swift"]
    assert made.failures == (
        contract.CarrierFailure("steady", "steady did not answer within 0.2 s"),
        contract.CarrierFailure("budget", "budget did not answer within 0.5 s"),
    )


async def test_a_cancelled_plan_is_cancelled_and_no_failure_of_a_carrier(real_client: Client, world: World) -> None:
    world.outside.quote_waits = {"swift": asyncio.Event()}
    handle = await plan(real_client, plan_request(new_order()))
    await until(lambda: answered(handle, 2))
    await handle.cancel()
    with pytest.raises(WorkflowFailureError) as caught:
        await handle.result()
    assert isinstance(caught.value.cause, CancelledError)
    world.outside.quote_waits["swift"].set()


async def answered(handle: WorkflowHandle[Any, Any], activities: int) -> bool:
    events = (await handle.fetch_history()).events
    return sum(event.HasField("activity_task_completed_event_attributes") for event in events) >= activities


async def test_a_carrier_is_asked_twice_at_most(client: Client, world: World) -> None:
    world.outside.quote_fate = {"budget": DOWN}
    await (await plan(client, plan_request(new_order()))).result()
    assert sorted(carrier for carrier, _ in world.outside.requests) == ["budget", "budget", "steady", "swift"]


async def test_a_carrier_that_is_down_for_a_moment_is_taken_all_the_same(client: Client, world: World) -> None:
    world.outside.quotes_until_fine["budget"] = 1
    made = await (await plan(client, plan_request(new_order()))).result()
    assert (made.parcels[0].carrier, made.failures) == ("budget", ())


async def test_a_parcel_that_no_carrier_takes_refuses_the_plan_and_says_why(
    client: Client, world: World, record: Record
) -> None:
    world.outside.quote_fate = {"budget": NOT_SERVED, "steady": DOWN, "swift": HANG}
    world.activities._terms = hurrying("swift")
    handle = await plan(client, plan_request(new_order()))
    error = await refusal(handle)
    assert error.type == contract.Refusal.NO_CARRIER
    for said in ("budget: parcel 1: not_served", "steady answered 503", "swift did not answer within 0.5 s"):
        assert said in error.message
    await record(handle, "plan_no_carrier")


async def test_equal_prices_go_to_the_carrier_that_the_setting_names_first(client: Client, world: World) -> None:
    world.outside.prices = dict.fromkeys(world.outside.prices, 500)
    made = await (await plan(client, plan_request(new_order()))).result()
    assert made.parcels[0].carrier == "swift"


async def test_a_plan_costs_one_activity_for_each_carrier_and_no_timer(client: Client, world: World) -> None:
    handle = await plan(client, plan_request(new_order(), parcel(1), parcel(2), parcel(3)))
    await handle.result()
    kinds = [event.event_type for event in (await handle.fetch_history()).events]
    assert kinds.count(EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED) == 3
    assert kinds.count(EventType.EVENT_TYPE_MARKER_RECORDED) == 1
    assert kinds.count(EventType.EVENT_TYPE_TIMER_STARTED) == 0


async def test_a_worker_that_dies_while_it_asks_does_not_look_like_a_carrier_for_ever(
    time_skipping: WorkflowEnvironment, world: World
) -> None:
    """An attempt that never comes back ends by its time-out, and the next one answers."""

    @activity.defn(name="shipping.quote")
    async def lost_once(request: QuoteRequest) -> list[Any]:
        if activity.info().attempt == 1:
            activity.raise_complete_async()
        return await world.activities.quote(request)

    world.activities._terms = Terms(CARRIERS, 1)
    worker = Worker(
        time_skipping.client,
        task_queue=contract.TASK_QUEUE,
        workflows=WORKFLOWS,
        activities=[world.activities.terms, lost_once],
    )
    async with worker:
        made = await (await plan(time_skipping.client, plan_request(new_order()))).result()
    assert (made.parcels[0].carrier, made.failures) == ("budget", ())


async def test_a_booking_is_made_and_known(client: Client, world: World, record: Record) -> None:
    request = book_request(new_order())
    handle = await book(client, request)
    assert await handle.result() == contract.Booking(request.order_id, 1, "budget", f"budget-{request.order_id}-1")
    assert await world.state(request.order_id) == "booked"
    await record(handle, "book")


@pytest.mark.parametrize("call_seconds", [SHORT_CALL_SECONDS])
async def test_a_booking_whose_answer_never_comes_is_found_by_its_key(
    client: Client, world: World, record: Record
) -> None:
    world.outside.booking_fates = [EFFECT_THEN_HANG]
    request = book_request(new_order())
    handle = await book(client, request)
    await handle.result()
    assert world.outside.effects == {contract.booking_key(request.order_id, 1): 1}
    assert world.outside.asked("book") == 1
    await record(handle, "book_unknown_outcome")


async def test_a_booking_goes_on_until_the_carrier_is_back(client: Client, world: World) -> None:
    world.outside.booking_fates = [DOWN] * 6
    await (await book(client, book_request(new_order()))).result()
    assert world.outside.effects.total() == 1


async def test_a_refused_booking_fails_with_its_reason(client: Client, world: World, record: Record) -> None:
    world.outside.booking_fates = [REFUSED]
    handle = await book(client, book_request(new_order()))
    error = await refusal(handle)
    assert (error.type, error.message) == (
        contract.Refusal.BOOKING_REFUSED,
        "budget does not take parcel 1: refused",
    )
    await record(handle, "book_refused")


async def test_an_undo_before_its_booking_leaves_the_booking_nothing_to_do(
    client: Client, world: World, record: Record
) -> None:
    order_id = new_order()
    undo = await cancel(client, order_id)
    assert (await undo.result()).parcels == 0
    handle = await book(client, book_request(order_id))
    assert (await refusal(handle)).type == contract.Refusal.SHIPMENT_CANCELLED
    assert world.outside.requests == []
    await record(handle, "book_after_cancel")


async def test_an_undo_cancels_what_was_booked_and_waits_for_carriers_that_are_down(
    client: Client, world: World, record: Record
) -> None:
    order_id = new_order()
    for number in (1, 2):
        await (await book(client, book_request(order_id, number))).result()
    world.outside.cancel_fates = [DOWN] * 6
    undo = await cancel(client, order_id)
    assert await undo.result() == contract.Cancelled(order_id, 2)
    assert {known["status"] for known in world.outside.bookings.values()} == {"cancelled"}
    await record(undo, "cancel")


async def test_a_cancelled_booking_settles_before_its_workflow_closes(real_client: Client, world: World) -> None:
    world.outside.gate.clear()
    request = book_request(new_order())
    handle = await book(real_client, request)
    await world.outside.entered.wait()
    await handle.cancel()
    world.outside.gate.set()
    await asyncio.wait([asyncio.ensure_future(handle.result())])
    # Closed means settled: nothing books any more, so the undo that follows sees all there is.
    effects = world.outside.effects.total()
    undone = await (await cancel(real_client, request.order_id)).result()
    assert undone.parcels == effects == world.outside.effects.total()


async def test_a_booking_for_a_carrier_that_stays_down_can_be_cancelled(real_client: Client, world: World) -> None:
    world.outside.booking_fates = [DOWN] * 1000
    request = book_request(new_order())
    handle = await book(real_client, request)
    await world.outside.entered.wait()
    await handle.cancel()
    with pytest.raises(WorkflowFailureError) as caught:
        await handle.result()
    assert isinstance(caught.value.cause, CancelledError | ActivityError)
    world.outside.booking_fates = []
    assert (await (await cancel(real_client, request.order_id)).result()).parcels == 0


async def test_a_booking_that_fails_after_it_was_cancelled_is_not_tried_again(
    real_client: Client, world: World
) -> None:
    world.outside.booking_fates = [DOWN] * 1000
    world.outside.gate.clear()
    handle = await book(real_client, book_request(new_order()))
    await world.outside.entered.wait()
    await handle.cancel()

    async def passed_on() -> bool:
        events = (await handle.fetch_history()).events
        return any(event.HasField("activity_task_cancel_requested_event_attributes") for event in events)

    await until(passed_on)
    world.outside.gate.set()
    with pytest.raises(WorkflowFailureError) as caught:
        await handle.result()
    assert isinstance(caught.value.cause, ActivityError)
    assert world.outside.asked("book") == 1


@pytest.mark.parametrize(
    ("workflow", "argument", "said"),
    [
        ("shipping.PlanShipment", "nonsense", "dict"),
        ("shipping.PlanShipment", {"order_id": "A-1", "currency": "EUR", "parcels": [], "address": {}}, "address"),
        ("shipping.BookShipment", {"order_id": 7}, ""),
        ("shipping.BookShipment", None, ""),
        ("shipping.CancelShipment", {"order_id": "a\x00b", "reason": ""}, "order_id has 1 to 200 characters"),
        ("shipping.CancelShipment", {"order_id": "A-1", "reason": 5}, "expected str, got int"),
        ("shipping.TrackShipment", {"order_id": "A-1", "parcel": 1.5}, "expected int, got float"),
        ("shipping.TrackShipment", {"order_id": "A-1", "parcel": True}, "expected int, got bool"),
        ("shipping.TrackShipment", {"order_id": "A-1", "parcel": 1, "silence_seconds": -1}, "silence_seconds"),
    ],
)
async def test_nonsense_from_a_raw_client_fails_clearly_and_the_worker_lives(
    client: Client, world: World, workflow: str, argument: object, said: str
) -> None:
    handle = await client.start_workflow(
        workflow,
        argument,
        id=new_order(),
        task_queue=contract.TASK_QUEUE,
        task_timeout=timedelta(seconds=2),
        execution_timeout=timedelta(days=1),
    )
    error = await refusal(handle)
    assert said in error.message
    assert (await (await plan(client, plan_request(new_order()))).result()).parcels


@pytest.mark.parametrize("workflow", [workflow.__name__ for workflow in WORKFLOWS])
async def test_a_workflow_without_an_argument_fails_clearly(client: Client, world: World, workflow: str) -> None:
    handle = await client.start_workflow(
        f"shipping.{workflow}", id=new_order(), task_queue=contract.TASK_QUEUE, execution_timeout=timedelta(days=1)
    )
    error = await refusal(handle)
    assert (error.type, error.message) == ("InvalidInput", "expected 1 arguments, got 0")
