"""Waves and tasks in the database."""

import asyncio

import pytest
from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError

from shipping import contract
from shipping.picking import Outcome, Pick, Picked, task_id
from shipping.picks import WaveState
from shipping.tables import pick_tasks

from .world import World, new_order


async def effects(world: World) -> dict[str, int]:
    """How often each task took effect."""
    async with world.database.engine.connect() as connection:
        rows = await connection.execute(select(pick_tasks.c.task_id, pick_tasks.c.picks))
        return {row.task_id: row.picks for row in rows}


async def wave(world: World, parcels: int = 1) -> list[str]:
    """A wave that was gathered, and its tasks."""
    orders = [(await world.booked(new_order())).order_id for _ in range(parcels)]
    await world.picks.accept("w", "north", 2)
    await world.picks.gather("w")
    return sorted(task_id(order_id, 1) for order_id in orders)


async def test_a_wave_has_the_booked_parcels_of_its_warehouse_and_no_others(world: World) -> None:
    here = await world.booked(new_order())
    await world.booked(new_order(), warehouse="south")
    await world.store.intend(new_order(), 1, "key", "swift", "north")
    cancelled = await world.booked(new_order())
    await world.store.fence(cancelled.order_id, "customer")
    await world.picks.accept("w", "north", 2)
    assert (await world.picks.gather("w")).total == 1
    assert await world.picks.waiting("w", "", 10) == [task_id(here.order_id, 1)]


async def test_a_booking_says_where_its_parcel_is_picked(world: World) -> None:
    from .world import book_request

    await world.activities.book(book_request(new_order()))
    await world.picks.accept("w", "north", 2)
    assert (await world.picks.gather("w")).total == 1


async def test_a_parcel_is_in_one_wave(world: World) -> None:
    tasks = await wave(world, 5)
    for wave_id in ("w2", "w3"):
        await world.picks.accept(wave_id, "north", 2)
    counts = await asyncio.gather(*(world.picks.gather(wave_id) for wave_id in ("w", "w2", "w3", "w", "w2")))
    assert sum(count.total for count in counts[:3]) == 5
    assert await world.picks.waiting("w", "", 10) == tasks


async def test_tasks_are_read_page_by_page(world: World) -> None:
    tasks = await wave(world, 5)
    assert await world.picks.waiting("w", "", 2) == tasks[:2]
    assert await world.picks.waiting("w", tasks[1], 9) == tasks[2:]


async def test_a_task_is_picked_once_by_whomever_it_was_first(world: World) -> None:
    (task,) = await wave(world)
    picked = await asyncio.gather(*(world.picks.pick(Pick("w", task, picker)) for picker in (1, 2, 1, 2)))
    assert len(set(picked)) == 1
    assert picked[0].outcome is Outcome.PICKED
    assert await effects(world) == {task: 1}


async def test_the_database_itself_refuses_a_second_pick(world: World) -> None:
    (task,) = await wave(world)
    await world.picks.pick(Pick("w", task, 1))
    with pytest.raises(IntegrityError):
        async with world.database.engine.begin() as connection:
            await connection.execute(update(pick_tasks).values(picks=2))


async def test_a_parcel_that_is_cancelled_before_it_is_picked_is_skipped(world: World) -> None:
    (task,) = await wave(world)
    order_id = task.split(":")[1]
    await world.activities.cancel(contract.Undo(order_id, "customer"))
    assert await world.picks.pick(Pick("w", task, 1)) == Picked(task, Outcome.SKIPPED)
    assert await effects(world) == {task: 0}


async def test_a_cancellation_and_a_pick_at_once_leave_one_or_the_other(world: World) -> None:
    tasks = await wave(world, 8)
    undos = [world.activities.cancel(contract.Undo(task.split(":")[1], "customer")) for task in tasks]
    results = await asyncio.gather(*(world.picks.pick(Pick("w", task, 1)) for task in tasks), *undos)
    counted = await effects(world)
    for picked in results[:8]:
        assert isinstance(picked, Picked)
        assert counted[picked.task_id] == (picked.outcome is Outcome.PICKED)


async def test_a_wave_with_tasks_that_wait_is_not_closed(world: World) -> None:
    first, second = await wave(world, 2)
    await world.picks.pick(Pick("w", first, 1))
    assert (await world.picks.close("w", WaveState.COMPLETED)).waiting == 1
    await world.picks.pick(Pick("w", second, 2))
    assert (await world.picks.close("w", WaveState.COMPLETED)).waiting == 0
    closed = await world.picks.wave("w")
    assert closed is not None
    assert (closed.state, closed.result) == (
        WaveState.COMPLETED,
        {"total": 2, "picked": 2, "skipped": 0, "by_picker": {"1": 1, "2": 1}},
    )


async def test_a_cancelled_wave_leaves_its_tasks_to_others(world: World) -> None:
    first, second = await wave(world, 2)
    await world.picks.pick(Pick("w", first, 1))
    assert (await world.picks.close("w", WaveState.CANCELLED)).total == 1
    await world.picks.accept("w2", "north", 1)
    assert (await world.picks.gather("w2")).total == 1
    # A picker of the first wave that comes late picks nothing for it.
    assert (await world.picks.pick(Pick("w", second, 1))).outcome is Outcome.SKIPPED
    assert (await world.picks.pick(Pick("w2", second, 1))).outcome is Outcome.PICKED


async def test_a_wave_that_is_wanted_again_is_started_again_only_while_it_is_open(world: World) -> None:
    await wave(world, 0)
    assert await world.picks.to_start() == []
    assert (await world.picks.accept("w", "north", 2)).state is WaveState.ACCEPTED
    assert [found.wave_id for found in await world.picks.to_start()] == ["w"]
    await world.picks.gather("w")
    assert (await world.picks.accept("w", "south", 2)).warehouse == "north"
    assert await world.picks.to_start() == []
    await world.picks.close("w", WaveState.COMPLETED)
    assert (await world.picks.accept("w", "north", 2)).state is WaveState.COMPLETED
    assert (await world.picks.gather("w")).total == 0
