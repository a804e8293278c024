"""TrackShipment over days and months, by a server that skips them."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio
from temporalio import workflow
from temporalio.client import Client, WorkflowFailureError, WorkflowHandle
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from chassis.converter import DATA_CONVERTER
from chassis.testing.programs import program
from shipping import contract
from shipping.contract import DeliveryState
from shipping.delivery import Progress, Sighting
from shipping.workflows.registered import WORKFLOWS
from shipping.workflows.track_shipment import PROGRESS

from .fake_carriers import DOWN
from .world import NOON, World, is_done, new_order, report_of, until

Record = Callable[[WorkflowHandle[Any, Any], str], Awaitable[None]]
DAY = timedelta(days=1)
PARENTS = "parents-of-trackers"


@workflow.defn(name="test.Parent", sandboxed=False)
class Parent:
    """Follows a parcel as the orchestrator does, and keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    @workflow.signal(name=contract.DELIVERY_PROGRESSED)
    def progressed(self, delivery: contract.Delivery) -> None:
        self.told.append(str(delivery.state))

    @workflow.query
    def told_so_far(self) -> list[str]:
        return self.told

    @workflow.run
    async def run(self, request: contract.TrackRequest) -> list[str]:
        await workflow.execute_child_workflow(
            contract.TrackShipment.run,
            request,
            id=contract.track_id(request.order_id, request.parcel),
            task_queue=contract.TASK_QUEUE,
        )
        return self.told


@workflow.defn(name="test.LeavingParent", sandboxed=False)
class LeavingParent:
    """Starts to follow a parcel, and goes."""

    @workflow.run
    async def run(self, request: contract.TrackRequest) -> None:
        await workflow.start_child_workflow(
            contract.TrackShipment.run,
            request,
            id=contract.track_id(request.order_id, request.parcel),
            task_queue=contract.TASK_QUEUE,
            parent_close_policy=workflow.ParentClosePolicy.ABANDON,
        )


@asynccontextmanager
async def workers(client: Client, world: World) -> AsyncIterator[None]:
    shipping = Worker(client, task_queue=contract.TASK_QUEUE, workflows=WORKFLOWS, activities=world.activities.all())
    parents = Worker(client, task_queue=PARENTS, workflows=[Parent, LeavingParent])
    async with shipping, parents:
        yield


@pytest_asyncio.fixture
async def client(time_skipping: WorkflowEnvironment, world: World) -> AsyncIterator[Client]:
    async with workers(time_skipping.client, world):
        yield time_skipping.client


async def follow(client: Client, request: contract.TrackRequest) -> WorkflowHandle[Parent, list[str]]:
    return await client.start_workflow(Parent.run, request, id=f"parent:{request.order_id}", task_queue=PARENTS)


def tracker(client: Client, order_id: str) -> WorkflowHandle[Any, contract.Delivery]:
    return client.get_workflow_handle(contract.track_id(order_id, 1), result_type=contract.Delivery)


async def tell(client: Client, order_id: str) -> bool:
    """Signals a tracker.

    Returns:
        Whether it is there.
    """
    try:
        await tracker(client, order_id).signal(contract.LOOK_AGAIN)
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            return False
        raise
    return True


async def has_heard(parent: WorkflowHandle[Parent, Any], told: list[str]) -> bool:
    return await parent.query(Parent.told_so_far) == told


async def test_a_parcel_is_followed_to_its_delivery_and_the_parent_hears_of_each_change(
    client: Client, world: World, record: Record
) -> None:
    row = await world.booked(new_order())
    parent = await follow(client, contract.TrackRequest(row.order_id, 1))
    told: list[str] = []
    for state in (DeliveryState.PICKED_UP, DeliveryState.IN_TRANSIT, DeliveryState.DELIVERED):
        await world.reports.add(report_of(row, state))
        await until(lambda: tell(client, row.order_id))
        told.append(str(state))
        await until(lambda: has_heard(parent, told))
    assert await parent.result() == told
    assert (await tracker(client, row.order_id).result()) == contract.Delivery(
        row.order_id, 1, DeliveryState.DELIVERED, NOON
    )
    await record(tracker(client, row.order_id), "track_delivered")


async def test_what_was_stored_before_the_start_is_read_at_the_start(client: Client, world: World) -> None:
    row = await world.booked(new_order())
    await world.reports.add(report_of(row, DeliveryState.RETURNED))
    parent = await follow(client, contract.TrackRequest(row.order_id, 1))
    assert await parent.result() == ["returned"]


async def test_late_and_repeated_events_move_nothing_backwards(client: Client, world: World) -> None:
    row = await world.booked(new_order())
    await world.reports.add(report_of(row, DeliveryState.IN_TRANSIT))
    parent = await follow(client, contract.TrackRequest(row.order_id, 1))
    await until(lambda: has_heard(parent, ["in_transit"]))
    for state in (DeliveryState.PICKED_UP, DeliveryState.IN_TRANSIT, DeliveryState.BOOKED):
        await world.reports.add(report_of(row, state))
        await tell(client, row.order_id)
    await world.reports.add(report_of(row, DeliveryState.DELIVERED))
    await world.reports.add(report_of(row, DeliveryState.LOST))
    await tell(client, row.order_id)
    assert await parent.result() == ["in_transit", "delivered"]


async def test_silence_is_escalated_and_what_the_carrier_says_when_asked_counts(
    client: Client, world: World, record: Record
) -> None:
    row = await world.booked(new_order())
    assert row.tracking_number is not None
    world.outside.events[row.tracking_number] = [
        {"event_id": "e1", "state": "picked_up", "at": "2026-01-01T12:00:00Z"},
        {"event_id": "e2", "state": "delivered", "at": "2026-01-02T12:00:00Z"},
    ]
    parent = await follow(client, contract.TrackRequest(row.order_id, 1))
    assert await parent.result() == ["delivered"]
    (silence,) = await world.reports.silences(0, 10)
    assert (silence["news"], silence["at"] - silence["silent_since"] >= 3 * DAY) == (2, True)
    await record(tracker(client, row.order_id), "track_silence")


async def test_a_parcel_of_which_nothing_is_heard_is_lost_after_its_limit(
    client: Client, world: World, record: Record
) -> None:
    row = await world.booked(new_order())
    world.outside.shipment_fate = DOWN
    parent = await follow(client, contract.TrackRequest(row.order_id, 1))
    assert await parent.result() == ["lost"]
    silences = await world.reports.silences(0, 20)
    # Every three days of thirty, the last time at the limit itself.
    assert len(silences) == 10
    assert silences[-1]["at"] - silences[-1]["silent_since"] >= 30 * DAY
    assert (await world.reports.sighting(row)).state is DeliveryState.LOST
    await record(tracker(client, row.order_id), "track_lost")


async def test_an_event_moves_the_timers(
    time_skipping: WorkflowEnvironment, client: Client, world: World, record: Record
) -> None:
    row = await world.booked(new_order())
    parent = await follow(client, contract.TrackRequest(row.order_id, 1, lost_seconds=4 * 24 * 3600))
    for state in (DeliveryState.PICKED_UP, DeliveryState.IN_TRANSIT, DeliveryState.PICKED_UP):
        # Two days of silence, less than the three that are escalated; six in all, more than the four of a loss.
        await time_skipping.sleep(2 * DAY)
        await world.reports.add(report_of(row, state))
        await tell(client, row.order_id)
        looked = (await world.reports.sighting(row)).events

        await until(lambda: has_done(tracker(client, row.order_id), looked + 1))  # noqa: B023 - awaited at once
    assert await world.reports.silences(0, 10) == []
    assert await parent.result() == ["picked_up", "in_transit", "lost"]
    silences = await world.reports.silences(0, 10)
    assert len(silences) == 2
    await record(tracker(client, row.order_id), "track_moved_timers")


async def test_a_parcel_that_nobody_booked_cannot_be_tracked(client: Client, world: World) -> None:
    handle = await client.start_workflow(
        contract.TrackShipment.run,
        contract.TrackRequest(new_order(), 1),
        id=new_order(),
        task_queue=contract.TASK_QUEUE,
    )
    assert await _refused(handle) == contract.Refusal.NOT_BOOKED


async def test_tracking_ends_when_the_shipment_is_cancelled(client: Client, world: World) -> None:
    row = await world.booked(new_order())
    handle = await client.start_workflow(
        contract.TrackShipment.run,
        contract.TrackRequest(row.order_id, 1),
        id=contract.track_id(row.order_id, 1),
        task_queue=contract.TASK_QUEUE,
    )
    await world.activities.cancel(contract.Undo(row.order_id, "customer"))
    assert await _refused(handle) == contract.Refusal.SHIPMENT_CANCELLED


async def test_a_parent_that_is_gone_is_no_reason_to_stop(
    dev_server: WorkflowEnvironment, world: World, record: Record
) -> None:
    # On a real server: the time-skipping one skips no more after a signal to a workflow that is closed.
    client = dev_server.client
    row = await world.booked(new_order())
    request = contract.TrackRequest(row.order_id, 1)
    async with workers(client, world):
        await client.execute_workflow(LeavingParent.run, request, id=f"parent:{row.order_id}", task_queue=PARENTS)
        await world.reports.add(report_of(row, DeliveryState.PICKED_UP))
        await tell(client, row.order_id)
        await world.reports.add(report_of(row, DeliveryState.DELIVERED))
        await tell(client, row.order_id)
        assert (await tracker(client, row.order_id).result()).state is DeliveryState.DELIVERED
        await record(tracker(client, row.order_id), "track_without_parent")


async def test_a_run_goes_on_where_the_one_before_left_off(
    time_skipping: WorkflowEnvironment, client: Client, world: World
) -> None:
    row = await world.booked(new_order())
    await world.reports.add(report_of(row, DeliveryState.IN_TRANSIT))
    now = await time_skipping.get_current_time()
    handle = await client.start_workflow(
        contract.TrackShipment.run,
        contract.TrackRequest(row.order_id, 1),
        id=contract.track_id(row.order_id, 1),
        task_queue=contract.TASK_QUEUE,
        # Heard of 29 days ago: one more and it is lost.
        memo={PROGRESS: Progress(Sighting(DeliveryState.IN_TRANSIT, NOON, 1), heard=now - 29 * DAY, asked=now - DAY)},
    )
    assert (await handle.result()).state is DeliveryState.LOST
    silences = await world.reports.silences(0, 10)
    assert [silence["at"] - silence["silent_since"] >= 30 * DAY for silence in silences] == [True]


async def test_long_histories_continue_as_new_and_lose_neither_news_nor_parent(world: World, record: Record) -> None:
    environment = await WorkflowEnvironment.start_local(
        dev_server_existing_path=program("temporal"),
        data_converter=DATA_CONVERTER,
        dev_server_log_level="error",
        dev_server_extra_args=[
            "--dynamic-config-value",
            "limit.historyCount.suggestContinueAsNew=20",
            "--dynamic-config-value",
            "history.transferProcessorMaxPollRPS=2000",
        ],
    )
    async with environment, workers(environment.client, world):
        client = environment.client
        row = await world.booked(new_order())
        parent = await follow(client, contract.TrackRequest(row.order_id, 1))
        await until(lambda: tell(client, row.order_id))
        first = (await tracker(client, row.order_id).describe()).run_id
        await world.reports.add(report_of(row, DeliveryState.PICKED_UP))

        async def continued() -> bool:
            await tell(client, row.order_id)
            return (await tracker(client, row.order_id).describe()).run_id != first

        await until(continued)
        await world.reports.add(report_of(row, DeliveryState.DELIVERED))
        await tell(client, row.order_id)
        assert await parent.result() == ["picked_up", "delivered"]
        await record(client.get_workflow_handle(contract.track_id(row.order_id, 1), run_id=first), "track_continued")


async def has_done(handle: WorkflowHandle[Any, Any], activities: int) -> bool:
    events = (await handle.fetch_history()).events
    return sum(map(is_done, events)) >= activities


async def _refused(handle: WorkflowHandle[Any, Any]) -> str | None:
    with pytest.raises(WorkflowFailureError) as caught:
        await handle.result()
    cause = caught.value.cause
    assert isinstance(cause, ApplicationError)
    return cause.type
