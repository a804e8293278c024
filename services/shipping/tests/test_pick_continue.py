"""Pick waves over many runs: what signals and updates bring while coordinator and pickers continue as new."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest_asyncio
from temporalio.client import WorkflowHandle
from temporalio.testing import WorkflowEnvironment

from chassis.converter import DATA_CONVERTER
from chassis.testing.fixtures import FAST
from chassis.testing.programs import program
from shipping import picking
from shipping.workflows.pick_wave import PickWave

from .pick_world import Floor, HeldPicks, open_floor, update, worker
from .world import World, until

Record = Callable[[WorkflowHandle[Any, Any], str], Awaitable[None]]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def short_histories() -> AsyncIterator[WorkflowEnvironment]:
    """A real server that suggests to continue as new after a few events rather than thousands."""
    environment = await WorkflowEnvironment.start_local(
        dev_server_existing_path=program("temporal"),
        data_converter=DATA_CONVERTER,
        dev_server_log_level="error",
        dev_server_extra_args=[
            "--dynamic-config-value",
            "limit.historyCount.suggestContinueAsNew=30",
            *(part for each in FAST for part in ("--dynamic-config-value", each)),
        ],
    )
    async with environment:
        yield environment


@pytest_asyncio.fixture
async def floor(short_histories: WorkflowEnvironment, world: World) -> AsyncIterator[Floor]:
    async with open_floor(short_histories.client, world) as floor:
        yield floor


async def run_id(handle: WorkflowHandle[Any, Any], floor: Floor) -> str | None:
    """The run that goes on now under a handle's id."""
    return (await floor.client.get_workflow_handle(handle.id).describe()).run_id


async def continued(handle: WorkflowHandle[Any, Any], floor: Floor, first: str | None) -> bool:
    return await run_id(handle, floor) != first


async def test_each_signal_and_update_counts_once_while_the_coordinator_continues_as_new(floor: Floor) -> None:
    tasks = await floor.parcels(39)
    floor.picks.before = {number: asyncio.Event() for number in (1, 2, 3)}
    handle = await floor.start(3)
    current = current_run(floor)
    for number in (1, 2, 3):
        await until(lambda: floor.holds(number))  # noqa: B023 - awaited at once
    await update(current, PickWave.pause, picking.Choice())
    floor.picks.release()
    # The pickers rest when they hear of it. This test picks two dozen parcels in their stead, and says each twice.
    runs = {await run_id(handle, floor)}
    for number, task in enumerate((await floor.picks.waiting(floor.wave_id, "", 99))[:24]):
        done = await floor.picks.pick(picking.Pick(floor.wave_id, task, 1 + number % 3))
        report = picking.Report(1 + number % 3, 0, (done,))
        await current.signal(PickWave.report, report)
        status = await update(current, PickWave.pause, picking.Choice(1 + number % 3))
        assert (status.paused, status.progress.total) == (True, 39)
        await current.signal(PickWave.report, report)
        runs.add(await run_id(handle, floor))
    assert len(runs) > 1
    await until(lambda: all_effects_are_counted(floor, 24))
    one = await update(current, PickWave.resume, picking.Choice(2))
    assert [picker.state == "paused" for picker in one.pickers] == [True, False, True]
    counts = await handle.result()
    assert (counts.total, counts.picked) == (39, 39)
    assert await floor.effects() == dict.fromkeys(tasks, 1)
    status = await floor.status()
    assert status.progress.done == 39
    assert tuple((picker.picker, picker.picked) for picker in status.pickers) == counts.by_picker


async def test_nothing_is_lost_or_twice_while_all_continue_as_new_under_pauses_and_resumes(
    floor: Floor, record: Record
) -> None:
    tasks = await floor.parcels(30)
    # One parcel is held back, so that the wave is not over before the stream of updates is.
    floor.picks.task_gates = {tasks[15]: asyncio.Event()}
    handle = await floor.start(3)
    current = current_run(floor)
    runs = set()
    for number in range(15):
        for change, choice in (
            (PickWave.pause, picking.Choice(1 + number % 3)),
            (PickWave.pause, picking.Choice()),
            (PickWave.resume, picking.Choice()),
        ):
            status = await update(current, change, choice)
            assert status.paused == (change is PickWave.pause and choice.picker is None)
        runs.add(await run_id(handle, floor))
    floor.picks.release()
    counts = await handle.result()
    assert (counts.total, counts.picked, counts.skipped) == (30, 30, 0)
    assert await floor.effects() == dict.fromkeys(tasks, 1)
    assert len(runs) > 1
    status = await floor.status()
    assert status.progress.done == sum(picker.picked for picker in status.pickers) == 30
    for number in (1, 2, 3):
        await floor.picker(number).result()
    first = floor.client.get_workflow_handle(handle.id, run_id=handle.first_execution_run_id)
    await record(first, "pick_wave_continued")
    # Its last run, which took over from the one before.
    await record(floor.picker(1), "picker_continued")


def current_run(floor: Floor) -> WorkflowHandle[PickWave, picking.Counts]:
    return floor.client.get_workflow_handle_for(PickWave.run, picking.wave_workflow_id(floor.wave_id))


async def all_effects_are_counted(floor: Floor, at_least: int) -> bool:
    done = (await floor.status()).progress.done
    return done == sum((await floor.effects()).values()) >= at_least


def hold_the_last(floor: Floor, tasks: list[str]) -> asyncio.Event:
    """Hold half of the parcels, more than two hands hold, so that each of three pickers has yet to pick one."""
    gate = asyncio.Event()
    floor.picks.task_gates = dict.fromkeys(sorted(tasks)[len(tasks) // 2 :], gate)
    return gate


async def test_a_picker_that_is_killed_after_the_coordinator_continued_as_new_is_noticed(
    floor: Floor, record: Record
) -> None:
    """The run that started it is over, and no word of a child's end reaches the next one."""
    tasks = await floor.parcels(30)
    gates = hold_the_last(floor, tasks)
    handle = await floor.start(3, lease_seconds=3)
    await until(lambda: continued(handle, floor, handle.first_execution_run_id))
    floor.picks.before[1] = asyncio.Event()
    gates.set()
    await until(lambda: floor.holds(1))
    await floor.picker(1).terminate()
    counts = await handle.result()
    assert counts.picked == 30
    assert await floor.effects() == dict.fromkeys(tasks, 1)
    assert (await floor.status()).pickers[0].state == "lost"


async def test_all_pickers_killed_after_the_coordinator_continued_as_new_are_started_again(floor: Floor) -> None:
    tasks = await floor.parcels(30)
    gates = hold_the_last(floor, tasks)
    handle = await floor.start(2, lease_seconds=2)
    await until(lambda: continued(handle, floor, handle.first_execution_run_id))
    floor.picks.before = {1: asyncio.Event(), 2: asyncio.Event()}
    gates.set()
    for number in (1, 2):
        await until(lambda: floor.holds(number))  # noqa: B023 - awaited at once
    for number in (1, 2):
        await floor.picker(number).terminate()
    floor.picks.release()
    assert (await handle.result()).picked == 30
    assert await floor.effects() == dict.fromkeys(tasks, 1)


async def test_a_picker_goes_on_in_its_next_run_where_it_left_off(floor: Floor, record: Record) -> None:
    tasks = await floor.parcels(20)
    handle = await floor.start(1)
    assert (await handle.result()).picked == 20
    await floor.picker(1).result()
    # Not one was tried twice: what is done goes from run to run.
    assert floor.picks.attempts == dict.fromkeys(tasks, 1)
    assert await floor.effects() == dict.fromkeys(tasks, 1)


async def test_a_worker_that_is_stopped_while_runs_follow_each_other_changes_no_result(
    short_histories: WorkflowEnvironment, world: World
) -> None:
    client = short_histories.client
    picks = HeldPicks(world)
    floor = Floor(world, client, picks)
    tasks = await floor.parcels(20)
    handle = None
    for stop in (3, 7, 13):

        async def so_many_picked() -> bool:
            return sum((await floor.effects()).values()) >= stop  # noqa: B023 - awaited at once

        async with worker(client, picks, world):
            handle = handle or await floor.start(3)
            await until(so_many_picked)
    assert handle is not None
    async with worker(client, picks, world):
        counts = await handle.result()
    assert counts.picked == 20
    assert await floor.effects() == dict.fromkeys(tasks, 1)
