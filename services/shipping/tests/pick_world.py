"""What the tests of pick waves have at hand: hands that can be held, and a count of what took effect."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from sqlalchemy import select
from temporalio.client import Client, WorkflowHandle
from temporalio.service import RPCError, RPCStatusCode
from temporalio.worker import Worker

from chassis.guard import ArgumentGuard
from shipping import contract, picking
from shipping.board import WaveRequest
from shipping.pick_activities import PickActivities
from shipping.picks import Picks
from shipping.tables import pick_tasks
from shipping.workflows.pick_wave import PickWave
from shipping.workflows.registered import WORKFLOWS

from .world import World, new_order


class HeldPicks(Picks):
    """Picks for which a hand can be held, before or after it takes effect.

    Attributes:
        before: Pickers whose hands wait before they take effect, until the event is set.
        after: The same, after it.
        task_gates: Events by task, for which whatever hand has it waits before it takes effect.
        holding: How many hands of each picker wait.
        attempts: How often each task was tried.
    """

    def __init__(self, world: World) -> None:
        super().__init__(world.database.engine, world.metrics)
        self.before: dict[int, asyncio.Event] = {}
        self.after: dict[int, asyncio.Event] = {}
        self.task_gates: dict[str, asyncio.Event] = {}
        self.holding: Counter[int] = Counter()
        self.attempts: Counter[str] = Counter()

    async def pick(self, pick: picking.Pick) -> picking.Picked:
        self.attempts[pick.task_id] += 1
        if pick.task_id in self.task_gates:
            await self.task_gates[pick.task_id].wait()
        await self._hold(self.before, pick.picker)
        picked = await super().pick(pick)
        await self._hold(self.after, pick.picker)
        return picked

    async def _hold(self, gates: dict[int, asyncio.Event], picker: int) -> None:
        if picker in gates:
            self.holding[picker] += 1
            try:
                await gates[picker].wait()
            finally:
                self.holding[picker] -= 1

    def release(self) -> None:
        for gate in (*self.before.values(), *self.after.values(), *self.task_gates.values()):
            gate.set()


@dataclass
class Floor:
    """A warehouse with a worker."""

    world: World
    client: Client
    picks: HeldPicks
    wave_id: str = field(default_factory=lambda: f"wave-{new_order()}")

    async def parcels(self, count: int) -> list[str]:
        """Parcels to pick; their tasks' ids."""
        orders = [(await self.world.booked(new_order())).order_id for _ in range(count)]
        return [picking.task_id(order_id, 1) for order_id in orders]

    async def start(self, pickers: int, lease_seconds: float = 60.0) -> WorkflowHandle[PickWave, picking.Counts]:
        await self.picks.accept(self.wave_id, "north", pickers)
        return await self.client.start_workflow(
            PickWave.run,
            WaveRequest(self.wave_id, "north", pickers, lease_seconds),
            id=picking.wave_workflow_id(self.wave_id),
            task_queue=contract.TASK_QUEUE,
        )

    def picker(self, number: int) -> WorkflowHandle[Any, int]:
        return self.client.get_workflow_handle(picking.picker_workflow_id(self.wave_id, number), result_type=int)

    async def status(self) -> picking.WaveStatus:
        return await self.client.get_workflow_handle(picking.wave_workflow_id(self.wave_id)).query(
            PickWave.status, rpc_timeout=timedelta(seconds=10)
        )

    async def effects(self) -> dict[str, int]:
        """How often each task took effect."""
        async with self.world.database.engine.connect() as connection:
            rows = await connection.execute(select(pick_tasks.c.task_id, pick_tasks.c.picks))
            return {row.task_id: row.picks for row in rows}

    async def holds(self, picker: int) -> bool:
        return self.picks.holding[picker] > 0


def worker(client: Client, picks: Picks, world: World) -> Worker:
    return Worker(
        client,
        task_queue=contract.TASK_QUEUE,
        workflows=WORKFLOWS,
        activities=[*world.activities.all(), *PickActivities(picks, 0).all()],
        interceptors=[ArgumentGuard()],
    )


@asynccontextmanager
async def open_floor(client: Client, world: World) -> AsyncIterator[Floor]:
    picks = HeldPicks(world)
    async with worker(client, picks, world):
        yield Floor(world, client, picks)
        picks.release()


async def update(handle: WorkflowHandle[Any, Any], change: Any, choice: picking.Choice) -> picking.WaveStatus:
    """One that comes just as a run continues as new is refused without effect, and to be repeated."""
    while True:
        try:
            status: picking.WaveStatus = await handle.execute_update(change, choice)
        except RPCError as error:
            if error.status is not RPCStatusCode.FAILED_PRECONDITION:
                raise
        else:
            return status
