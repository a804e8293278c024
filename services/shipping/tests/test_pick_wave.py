"""PickWave and its Pickers on a real server: assigned, paused, killed, silent, cancelled."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import pytest_asyncio
from temporalio.api.enums.v1 import WorkflowTaskFailedCause
from temporalio.client import WorkflowFailureError, WorkflowHandle, WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError, CancelledError
from temporalio.testing import WorkflowEnvironment

from shipping import contract, picking
from shipping.picks import WaveState
from shipping.workflows.pick_wave import PickWave

from .pick_world import Floor, HeldPicks, open_floor, update, worker
from .world import World, new_order, until

Record = Callable[[WorkflowHandle[Any, Any], str], Awaitable[None]]


@pytest_asyncio.fixture
async def floor(dev_server: WorkflowEnvironment, world: World) -> AsyncIterator[Floor]:
    async with open_floor(dev_server.client, world) as floor:
        yield floor


async def test_a_wave_picks_each_parcel_once_and_its_pickers_go_home(floor: Floor, record: Record) -> None:
    tasks = await floor.parcels(23)
    handle = await floor.start(3)
    counts = await handle.result()
    assert (counts.total, counts.picked, counts.skipped) == (23, 23, 0)
    assert await floor.effects() == dict.fromkeys(tasks, 1)
    assert sum(count for _, count in counts.by_picker) == 23
    for number in (1, 2, 3):
        await floor.picker(number).result()
    # It did not try to complete while they were still coming home. (A slow machine may fail tasks for other causes.)
    events = (await handle.fetch_history()).events
    refused = WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_UNHANDLED_COMMAND
    assert not any(event.workflow_task_failed_event_attributes.cause == refused for event in events)
    status = await floor.status()
    assert (status.progress.done, status.progress.total, status.progress.percent) == (23, 23, 100.0)
    assert sum(picker.picked for picker in status.pickers) == 23
    wave = await floor.picks.wave(floor.wave_id)
    assert wave is not None
    assert wave.state is WaveState.COMPLETED
    assert wave.result is not None
    assert wave.result["picked"] == 23
    await record(handle, "pick_wave")
    await record(floor.picker(1), "picker")


async def test_a_wave_without_parcels_ends_at_once(floor: Floor) -> None:
    counts = await (await floor.start(2)).result()
    assert counts.total == 0
    assert (await floor.status()).progress.percent == 100.0


async def test_a_parcel_that_is_cancelled_before_it_is_picked_is_skipped(floor: Floor) -> None:
    tasks = await floor.parcels(6)
    floor.picks.before = {1: asyncio.Event(), 2: asyncio.Event()}
    handle = await floor.start(2)
    await until(lambda: floor.holds(1))
    await floor.world.activities.cancel(contract.Undo(tasks[0].split(":")[1], "customer"))
    floor.picks.release()
    counts = await handle.result()
    assert (counts.picked, counts.skipped) == (5, 1)
    assert await floor.effects() == {task: int(task != tasks[0]) for task in tasks}
    assert (await floor.status()).progress.failed == 1


@pytest.mark.parametrize("end", ["terminate", "cancel"])
@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_picker_that_is_killed_in_mid_task_changes_no_result(floor: Floor, end: str, when: str) -> None:
    tasks = await floor.parcels(20)
    getattr(floor.picks, when)[1] = asyncio.Event()
    handle = await floor.start(3)
    await until(lambda: floor.holds(1))
    await getattr(floor.picker(1), end)()
    if end == "cancel":
        # A cancelled pick is waited for; it ends when it hears of that, or by itself.
        floor.picks.release()
    counts = await handle.result()
    assert (counts.picked, counts.skipped) == (20, 0)
    assert await floor.effects() == dict.fromkeys(tasks, 1)
    assert (await floor.status()).pickers[0].state == "lost"


async def test_the_only_picker_that_is_killed_is_started_again(floor: Floor, record: Record) -> None:
    tasks = await floor.parcels(8)
    floor.picks.before = {1: asyncio.Event()}
    handle = await floor.start(1)
    await until(lambda: floor.holds(1))
    await floor.picker(1).terminate()

    async def restarted() -> bool:
        return (await floor.status()).pickers[0].restarts == 1

    await until(restarted)
    floor.picks.release()
    assert (await handle.result()).picked == 8
    assert await floor.effects() == dict.fromkeys(tasks, 1)
    await record(handle, "pick_wave_restart")


async def test_a_picker_that_is_silent_beyond_the_lease_loses_its_tasks_and_may_come_back(
    floor: Floor, record: Record
) -> None:
    tasks = await floor.parcels(12)
    floor.picks.before = {1: asyncio.Event(), 2: asyncio.Event()}
    handle = await floor.start(2, lease_seconds=1)
    await until(lambda: floor.holds(1))
    floor.picks.before[2].set()

    async def rest() -> bool:
        # All is picked but for the task in hand, and that one by the other picker.
        return sum((await floor.effects()).values()) == 12

    await until(rest)
    # Its own hand finds the task picked when it comes to it.
    floor.picks.release()
    counts = await handle.result()
    assert counts.by_picker == ((2, 12),)
    assert await floor.effects() == dict.fromkeys(tasks, 1)
    await record(handle, "pick_wave_silence")


async def test_all_are_paused_then_one_goes_on_then_all(floor: Floor, record: Record) -> None:
    tasks = await floor.parcels(12)
    gates = {number: asyncio.Event() for number in (1, 2, 3)}
    floor.picks.before = dict(gates)
    handle = await floor.start(3)
    for number in gates:
        await until(lambda: floor.holds(number))  # noqa: B023 - awaited at once
    paused = await update(handle, PickWave.pause, picking.Choice())
    assert (paused.paused, paused.progress.phase) == (True, "paused")
    assert [(picker.state, picker.tasks) for picker in paused.pickers] == [("paused", 0)] * 3
    floor.picks.release()

    async def in_hand_finished() -> bool:
        return (await floor.status()).progress.done == 3

    # What was being picked is finished, and nothing more.
    await until(in_hand_finished)
    assert sum((await floor.effects()).values()) == 3
    one = await update(handle, PickWave.resume, picking.Choice(2))
    assert [picker.state == "paused" for picker in one.pickers] == [True, False, True]

    async def second_did_the_rest() -> bool:
        return (await floor.status()).pickers[1].picked >= 5

    await until(second_did_the_rest)
    await update(handle, PickWave.resume, picking.Choice())
    counts = await handle.result()
    assert counts.picked == 12
    assert await floor.effects() == dict.fromkeys(tasks, 1)
    await record(handle, "pick_wave_paused")


async def test_a_pause_that_makes_no_sense_is_refused(floor: Floor) -> None:
    await floor.parcels(2)
    floor.picks.before = {1: asyncio.Event()}
    handle = await floor.start(1)
    await until(lambda: floor.holds(1))
    with pytest.raises(WorkflowUpdateFailedError) as caught:
        await update(handle, PickWave.pause, picking.Choice(2))
    assert isinstance(caught.value.cause, ApplicationError)
    assert (caught.value.cause.type, caught.value.cause.message) == (picking.NOT_POSSIBLE, "the wave has 1 pickers")
    for nonsense in ({"picker": 0}, {"picker": "1"}, None):
        with pytest.raises(WorkflowUpdateFailedError):
            await handle.execute_update("pause", nonsense)
    floor.picks.release()
    assert (await handle.result()).picked == 2


async def test_signals_that_make_no_sense_or_come_twice_change_nothing(floor: Floor) -> None:
    tasks = await floor.parcels(6)
    floor.picks.before = {1: asyncio.Event()}
    handle = await floor.start(1)
    await until(lambda: floor.holds(1))
    stranger = picking.Picked("pick:nobody:1", picking.Outcome.PICKED, 1)
    for report in (picking.Report(7, 1, (stranger,)), picking.Report(1, 5, (stranger,)), picking.Report(1, 5)):
        await handle.signal(picking.REPORT, report)
    await handle.signal(picking.REPORT, "nonsense")
    await handle.signal(picking.REPORT)
    await floor.picker(1).signal(picking.ORDERS, picking.Orders(1, ("pick:nobody:1",), dismissed=True))
    floor.picks.release()
    counts = await handle.result()
    assert (counts.total, counts.picked) == (6, 6)
    assert await floor.effects() == dict.fromkeys(tasks, 1)


async def test_a_cancelled_wave_sends_its_pickers_home_and_leaves_the_rest_to_another(
    floor: Floor, record: Record
) -> None:
    tasks = await floor.parcels(12)
    floor.picks.before = {1: asyncio.Event(), 2: asyncio.Event()}
    handle = await floor.start(2)
    await until(lambda: floor.holds(1))
    await until(lambda: floor.holds(2))
    await handle.cancel()
    with pytest.raises(WorkflowFailureError) as caught:
        await handle.result()
    assert isinstance(caught.value.cause, CancelledError)
    floor.picks.release()
    for number in (1, 2):
        await floor.picker(number).result()
    wave = await floor.picks.wave(floor.wave_id)
    assert wave is not None
    assert wave.state is WaveState.CANCELLED
    again = Floor(floor.world, floor.client, floor.picks)
    assert (await (await again.start(2)).result()).picked == 12
    assert await floor.effects() == dict.fromkeys(tasks, 1)
    await record(handle, "pick_wave_cancelled")


async def test_a_coordinator_that_is_terminated_is_started_again_over_the_same_pickers(
    floor: Floor, record: Record
) -> None:
    tasks = await floor.parcels(12)
    floor.picks.before = {1: asyncio.Event(), 2: asyncio.Event()}
    handle = await floor.start(2)
    await until(lambda: floor.holds(1))
    await handle.terminate()
    again = await floor.start(2)
    floor.picks.release()
    assert (await again.result()).picked == 12
    assert await floor.effects() == dict.fromkeys(tasks, 1)
    await record(again, "pick_wave_again")


async def test_a_picker_whose_coordinator_is_gone_goes_home(floor: Floor, record: Record) -> None:
    await floor.parcels(4)
    floor.picks.before = {1: asyncio.Event()}
    handle = await floor.start(1)
    await until(lambda: floor.holds(1))
    await handle.terminate()
    floor.picks.release()
    await floor.picker(1).result()
    await record(floor.picker(1), "picker_alone")


async def test_a_worker_that_is_stopped_in_the_middle_changes_no_result(
    dev_server: WorkflowEnvironment, world: World
) -> None:
    client = dev_server.client
    first = HeldPicks(world)
    floor = Floor(world, client, first)
    tasks = await floor.parcels(20)
    first.after = {1: asyncio.Event(), 2: asyncio.Event()}
    async with worker(client, first, world):
        handle = await floor.start(2)
        await until(lambda: floor.holds(1))
        await until(lambda: floor.holds(2))
        # It leaves while both hands hold what has taken effect and was not reported.
    assert first.holding.total() == 0
    async with worker(client, HeldPicks(world), world):
        counts = await handle.result()
    assert (counts.picked, counts.skipped) == (20, 0)
    assert await floor.effects() == dict.fromkeys(tasks, 1)


@pytest.mark.parametrize("argument", [{"wave_id": "", "warehouse": "n", "pickers": 1}, None, "nonsense"])
@pytest.mark.parametrize("name", [picking.WAVE, picking.PICKER])
async def test_nonsense_fails_a_wave_and_hangs_nothing(floor: Floor, name: str, argument: object) -> None:
    if name == picking.PICKER and isinstance(argument, dict):
        argument = {"wave_id": "w", "number": "1"}
    handle = await floor.client.start_workflow(name, argument, id=new_order(), task_queue=contract.TASK_QUEUE)
    with pytest.raises(WorkflowFailureError) as caught:
        await handle.result()
    assert isinstance(caught.value.cause, ApplicationError)
    assert caught.value.cause.type == "InvalidInput"
