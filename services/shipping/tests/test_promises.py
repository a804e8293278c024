"""The promised delivery: a timer that an event cancels or moves, over months, and over a server that is killed."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest_asyncio
from temporalio import workflow
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client, WorkflowHandle
from temporalio.service import RPCError
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from chassis.converter import DATA_CONVERTER
from chassis.testing.ports import free_ports
from chassis.testing.programs import program
from chassis.testing.waiting import eventually
from shipping import contract
from shipping.contract import DeliveryState
from shipping.workflows.registered import WORKFLOWS

from .world import World, is_done, new_order, report_of, until

Record = Callable[[WorkflowHandle[Any, Any], str], Awaitable[None]]
DAY = timedelta(days=1)
FOLLOWERS = "followers-of-promises"


@workflow.defn(name="test.Follower", sandboxed=False)
class Follower:
    """Follows a parcel, and keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, bool]] = []

    @workflow.signal(name=contract.DELIVERY_PROGRESSED)
    def progressed(self, delivery: contract.Delivery) -> None:
        self.told.append((str(delivery.state), delivery.late))

    @workflow.query
    def told_so_far(self) -> list[tuple[str, bool]]:
        return self.told

    @workflow.run
    async def run(self, request: contract.TrackRequest) -> list[tuple[str, bool]]:
        await workflow.execute_child_workflow(
            contract.TrackShipment.run,
            request,
            id=contract.track_id(request.order_id, request.parcel),
            task_queue=contract.TASK_QUEUE,
        )
        return self.told


@asynccontextmanager
async def workers(client: Client, world: World) -> AsyncIterator[None]:
    shipping = Worker(client, task_queue=contract.TASK_QUEUE, workflows=WORKFLOWS, activities=world.activities.all())
    async with shipping, Worker(client, task_queue=FOLLOWERS, workflows=[Follower]):
        yield


@pytest_asyncio.fixture
async def client(time_skipping: WorkflowEnvironment, world: World) -> AsyncIterator[Client]:
    async with workers(time_skipping.client, world):
        yield time_skipping.client


async def follow(client: Client, request: contract.TrackRequest) -> WorkflowHandle[Follower, list[tuple[str, bool]]]:
    return await client.start_workflow(
        Follower.run,
        request,
        id=f"follower:{request.order_id}",
        task_queue=FOLLOWERS,
    )


def tracker(client: Client, order_id: str) -> WorkflowHandle[Any, contract.Delivery]:
    return client.get_workflow_handle(contract.track_id(order_id, 1), result_type=contract.Delivery)


async def looked(client: Client, order_id: str, times: int) -> bool:
    """Whether the tracker has done so many activities, and waits again."""
    try:
        events = (await tracker(client, order_id).fetch_history()).events
    except RPCError:
        return False
    return sum(map(is_done, events)) >= times and events[-1].event_type in {
        EventType.EVENT_TYPE_TIMER_STARTED,
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED,
    }


async def kinds(client: Client, order_id: str) -> list[Any]:
    return [event.event_type for event in (await tracker(client, order_id).fetch_history()).events]


async def test_a_delivery_cancels_the_timer_of_its_promise(
    time_skipping: WorkflowEnvironment, client: Client, world: World, record: Record
) -> None:
    now = await time_skipping.get_current_time()
    row = await world.booked(new_order(), promised_at=now + 2 * DAY)
    follower = await follow(client, contract.TrackRequest(row.order_id, 1))
    await until(lambda: looked(client, row.order_id, 1))
    await world.reports.add(report_of(row, DeliveryState.DELIVERED))
    await tracker(client, row.order_id).signal(contract.LOOK_AGAIN)
    assert await follower.result() == [("delivered", False)]
    assert EventType.EVENT_TYPE_TIMER_CANCELED in await kinds(client, row.order_id)
    assert EventType.EVENT_TYPE_TIMER_FIRED not in await kinds(client, row.order_id)
    assert await world.reports.silences(0, 10) == []
    await record(tracker(client, row.order_id), "track_promise_kept")


async def test_a_promise_that_passes_is_escalated_once_and_told_to_the_follower(
    time_skipping: WorkflowEnvironment, client: Client, world: World, record: Record
) -> None:
    now = await time_skipping.get_current_time()
    row = await world.booked(new_order(), promised_at=now + 2 * DAY)
    follower = await follow(client, contract.TrackRequest(row.order_id, 1, lost_seconds=90 * 24 * 3600))
    told = await follower.result()
    assert told == [("booked", True), ("lost", True)]
    silences = await world.reports.silences(0, 50)
    late = [silence for silence in silences if silence["kind"] == "late"]
    assert [(silence["promised_at"], silence["at"] >= now + 2 * DAY) for silence in late] == [(row.promised_at, True)]
    # And silence was escalated on, every three days of ninety.
    assert len(silences) == 31
    assert silences[-1]["at"] - silences[-1]["silent_since"] >= 90 * DAY
    await record(tracker(client, row.order_id), "track_promise_missed")


async def test_an_event_that_names_a_later_day_moves_the_timer_by_months(
    time_skipping: WorkflowEnvironment, client: Client, world: World, record: Record
) -> None:
    now = await time_skipping.get_current_time()
    row = await world.booked(new_order(), promised_at=now + DAY)
    year = 365 * 24 * 3600
    request = contract.TrackRequest(row.order_id, 1, silence_seconds=year, lost_seconds=year)
    follower = await follow(client, request)
    await until(lambda: looked(client, row.order_id, 1))
    await world.reports.add(report_of(row, DeliveryState.IN_TRANSIT, expected_at=now + 100 * DAY))
    await tracker(client, row.order_id).signal(contract.LOOK_AGAIN)
    await until(lambda: looked(client, row.order_id, 2))
    await time_skipping.sleep(99 * DAY)
    assert await world.reports.silences(0, 10) == []
    await time_skipping.sleep(2 * DAY)
    await until(lambda: looked(client, row.order_id, 3))
    (late,) = await world.reports.silences(0, 10)
    assert (late["kind"], late["promised_at"]) == ("late", now + 100 * DAY)
    # A promise that is made anew is not missed yet.
    await world.reports.add(report_of(row, DeliveryState.PICKED_UP, expected_at=now + 200 * DAY))
    await tracker(client, row.order_id).signal(contract.LOOK_AGAIN)
    await until(lambda: looked(client, row.order_id, 4))
    await world.reports.add(report_of(row, DeliveryState.DELIVERED))
    await tracker(client, row.order_id).signal(contract.LOOK_AGAIN)
    assert await follower.result() == [
        ("in_transit", False),
        ("in_transit", True),
        ("in_transit", False),
        ("delivered", False),
    ]
    await record(tracker(client, row.order_id), "track_promise_moved")


async def test_a_parcel_that_arrived_unheard_is_not_called_late(
    time_skipping: WorkflowEnvironment, client: Client, world: World
) -> None:
    now = await time_skipping.get_current_time()
    row = await world.booked(new_order(), promised_at=now + DAY)
    world.outside.events[row.tracking_number or ""] = [
        {"event_id": "e1", "state": "delivered", "at": "2026-01-02T12:00:00Z"}
    ]
    follower = await follow(client, contract.TrackRequest(row.order_id, 1))
    assert await follower.result() == [("delivered", False)]
    assert await world.reports.silences(0, 10) == []


class Server:
    """A real server on a file, which can be killed and started again where it was."""

    def __init__(self, file: Path) -> None:
        self.file = file
        (self.port,) = free_ports(1)
        self.process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        arguments = ["server", "start-dev", "--headless", "--port", str(self.port), "--db-filename", str(self.file)]
        self.process = await asyncio.create_subprocess_exec(
            program("temporal"), *arguments, "--log-level", "error", stdout=asyncio.subprocess.DEVNULL
        )

    async def connect(self) -> Client:
        async def connected() -> Client | None:
            try:
                return await Client.connect(f"127.0.0.1:{self.port}", data_converter=DATA_CONVERTER)
            except RuntimeError:
                return None

        client: Client | None = await eventually(connected, timeout=60)
        assert client is not None
        return client

    async def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        await self.process.wait()


async def test_timers_survive_a_server_that_is_killed_and_come_due_while_it_is_away(
    world: World, tmp_path: Path
) -> None:
    server = Server(tmp_path / "temporal.db")
    await server.start()
    try:
        client = await server.connect()
        first, kept, missed = new_order(), new_order(), new_order()
        async with workers(client, world):
            # A new server takes its time for what it does first. The promise is none that passes meanwhile.
            await world.booked(first)
            await follow(client, contract.TrackRequest(first, 1))
            await until(lambda: looked(client, first, 1))
            promised_at = datetime.now(UTC) + timedelta(seconds=6)
            rows = {order_id: await world.booked(order_id, promised_at=promised_at) for order_id in (kept, missed)}
            followers = {order_id: await follow(client, contract.TrackRequest(order_id, 1)) for order_id in rows}
            for order_id in rows:
                await until(lambda: looked(client, order_id, 1))  # noqa: B023 - awaited at once
            await world.reports.add(report_of(rows[kept], DeliveryState.DELIVERED))
            await tracker(client, kept).signal(contract.LOOK_AGAIN)
            assert await followers[kept].result() == [("delivered", False)]
            await server.kill()
            # The promise passes while there is no server.
            await eventually(lambda: datetime.now(UTC) > promised_at)
            assert await world.reports.silences(0, 10) == []
            await server.start()

            async def escalated() -> bool:
                return bool(await world.reports.silences(0, 10))

            await eventually(escalated, timeout=90)
            await world.reports.add(report_of(rows[missed], DeliveryState.DELIVERED))

            async def told() -> bool:
                try:
                    await tracker(client, missed).signal(contract.LOOK_AGAIN)
                except RPCError:
                    return False
                return True

            await until(told)
            assert await followers[missed].result() == [("booked", True), ("delivered", True)]
            (late,) = await world.reports.silences(0, 10)
            assert (late["order_id"], late["kind"]) == (missed, "late")
    finally:
        await server.kill()
