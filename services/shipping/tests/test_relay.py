"""News reaches the workflow that tracks its parcel, whatever is away in between."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from temporalio.client import Client, WorkflowHandle
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from chassis.connection import Connection, TemporalUnavailable
from shipping import contract
from shipping.contract import DeliveryState
from shipping.relay import Relay
from shipping.store import ParcelRow
from shipping.workflows.registered import WORKFLOWS

from .world import World, new_order, report_of, until


@pytest_asyncio.fixture
async def client(dev_server: WorkflowEnvironment, world: World) -> AsyncIterator[Client]:
    worker = Worker(
        dev_server.client, task_queue=contract.TASK_QUEUE, workflows=WORKFLOWS, activities=world.activities.all()
    )
    async with worker:
        yield dev_server.client


@pytest.fixture
def relay(world: World) -> Relay:
    return Relay(world.reports, pause_seconds=0.05)


@pytest.fixture
def connected(client: Client) -> Connection:
    connection = Connection("shipping")
    connection.use(client)
    return connection


async def track(client: Client, row: ParcelRow) -> WorkflowHandle[Any, contract.Delivery]:
    return await client.start_workflow(
        contract.TrackShipment.run,
        contract.TrackRequest(row.order_id, row.parcel),
        id=contract.track_id(row.order_id, row.parcel),
        task_queue=contract.TASK_QUEUE,
    )


async def test_a_tracker_learns_of_what_is_stored(
    client: Client, world: World, relay: Relay, connected: Connection
) -> None:
    row = await world.booked(new_order())
    handle = await track(client, row)
    loop = asyncio.create_task(relay.run(connected))
    for state in (DeliveryState.PICKED_UP, DeliveryState.DELIVERED):
        await world.reports.add(report_of(row, state))
        relay.wake()
    assert (await handle.result()).state is DeliveryState.DELIVERED

    async def nothing_is_untold() -> bool:
        return await world.reports.untold() == {}

    await until(nothing_is_untold)
    loop.cancel()


async def test_a_tracker_that_is_not_there_needs_no_telling(world: World, relay: Relay, connected: Connection) -> None:
    row = await world.booked(new_order())
    await world.reports.add(report_of(row, DeliveryState.PICKED_UP))
    assert await relay.tell(connected) == 1
    assert await world.reports.untold() == {}


async def test_news_waits_while_temporal_is_away(client: Client, world: World, relay: Relay) -> None:
    row = await world.booked(new_order())
    handle = await track(client, row)
    await world.reports.add(report_of(row, DeliveryState.DELIVERED))
    away = Connection("shipping")
    with pytest.raises(TemporalUnavailable):
        await relay.tell(away)
    loop = asyncio.create_task(relay.run(away))
    assert list(await world.reports.untold()) == [(row.order_id, 1)]
    away.use(client)
    assert (await handle.result()).state is DeliveryState.DELIVERED
    loop.cancel()
