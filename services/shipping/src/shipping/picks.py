"""Pick waves and their tasks in the database. The task's row is the truth: a parcel is picked once."""

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import delete, func, literal, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shipping.metrics import ShippingMetrics
from shipping.picking import Counts, Outcome, Pick, Picked
from shipping.store import ParcelState
from shipping.tables import parcels, pick_tasks, pick_waves, shipments


class WaveState(StrEnum):
    """How far a wave is."""

    ACCEPTED = "accepted"
    """Its workflow is still to be started."""
    RUNNING = "running"
    COMPLETED = "completed"
    CANCELLED = "cancelled"


OPEN = frozenset({WaveState.ACCEPTED, WaveState.RUNNING})

WAITING = "waiting"
"""State of a task that nobody has done."""


@dataclass(frozen=True, slots=True)
class Wave:
    """A wave as it was asked for, and what became of it."""

    wave_id: str
    warehouse: str
    pickers: int
    state: WaveState
    result: dict[str, Any] | None


class Picks:
    """The tables of waves and tasks behind methods that each are one transaction."""

    def __init__(self, engine: AsyncEngine, metrics: ShippingMetrics) -> None:
        """Use an engine, and count what changes; nothing connects yet."""
        self._engine = engine
        self._metrics = metrics

    async def accept(self, wave_id: str, warehouse: str, pickers: int) -> Wave:
        """Write down that a wave is wanted. One that is under way is started again should its workflow have ended.

        Returns:
            The wave as it stands, which may be another one of that id.
        """
        async with self._engine.begin() as connection:
            await connection.execute(
                insert(pick_waves)
                .values(wave_id=wave_id, warehouse=warehouse, pickers=pickers, state=WaveState.ACCEPTED)
                .on_conflict_do_update(
                    index_elements=[pick_waves.c.wave_id],
                    set_={"state": WaveState.ACCEPTED},
                    where=(pick_waves.c.state == WaveState.RUNNING)
                    & (pick_waves.c.warehouse == warehouse)
                    & (pick_waves.c.pickers == pickers),
                )
            )
            query = select(pick_waves).where(pick_waves.c.wave_id == wave_id)
            return _wave((await connection.execute(query)).one())

    async def wave(self, wave_id: str) -> Wave | None:
        """One wave, or None if there is none of that id."""
        async with self._engine.connect() as connection:
            row = (await connection.execute(select(pick_waves).where(pick_waves.c.wave_id == wave_id))).one_or_none()
        return None if row is None else _wave(row)

    async def to_start(self, limit: int = 100) -> list[Wave]:
        """Waves whose workflow is still to be started, oldest first."""
        query = (
            select(pick_waves)
            .where(pick_waves.c.state == WaveState.ACCEPTED)
            .order_by(pick_waves.c.created_at)
            .limit(limit)
        )
        async with self._engine.connect() as connection:
            return [_wave(row) for row in await connection.execute(query)]

    async def started(self, wave_id: str) -> None:
        """Note that a wave's workflow runs, now or already."""
        async with self._engine.begin() as connection:
            await connection.execute(
                update(pick_waves)
                .where(pick_waves.c.wave_id == wave_id, pick_waves.c.state == WaveState.ACCEPTED)
                .values(state=WaveState.RUNNING)
            )

    async def gather(self, wave_id: str) -> Counts:
        """Make tasks of all booked parcels of the wave's warehouse that are in no wave yet.

        Returns:
            The wave's tasks; those of an earlier coordinator are among them.
        """
        async with self._engine.begin() as connection:
            warehouse = (
                await connection.execute(
                    update(pick_waves)
                    .where(pick_waves.c.wave_id == wave_id, pick_waves.c.state.in_(OPEN))
                    .values(state=WaveState.RUNNING)
                    .returning(pick_waves.c.warehouse)
                )
            ).scalar_one_or_none()
            if warehouse is not None:
                await self._fill(connection, wave_id, warehouse)
            return await self._count(connection, wave_id)

    @staticmethod
    async def _fill(connection: AsyncConnection, wave_id: str, warehouse: str) -> None:
        # picking.task_id, in SQL.
        task_id = func.concat("pick:", parcels.c.order_id, ":", parcels.c.parcel)
        wanted = (
            select(task_id, parcels.c.order_id, parcels.c.parcel, literal(wave_id))
            .join(shipments, shipments.c.order_id == parcels.c.order_id)
            .where(
                parcels.c.warehouse == warehouse,
                parcels.c.state == ParcelState.BOOKED,
                ~shipments.c.cancelled,
                ~select(pick_tasks.c.task_id)
                .where(pick_tasks.c.order_id == parcels.c.order_id, pick_tasks.c.parcel == parcels.c.parcel)
                .exists(),
            )
        )
        # Two waves of one warehouse may begin at once: a task goes to one of them.
        await connection.execute(
            insert(pick_tasks)
            .from_select(["task_id", "order_id", "parcel", "wave_id"], wanted)
            .on_conflict_do_nothing()
        )

    async def waiting(self, wave_id: str, after: str, limit: int) -> list[str]:
        """Tasks that nobody has done, by their ids.

        Args:
            wave_id: The wave.
            after: The id after which they begin.
            limit: Most of them.
        """
        query = (
            select(pick_tasks.c.task_id)
            .where(pick_tasks.c.wave_id == wave_id, pick_tasks.c.state == WAITING, pick_tasks.c.task_id > after)
            .order_by(pick_tasks.c.task_id)
            .limit(limit)
        )
        async with self._engine.connect() as connection:
            return list((await connection.execute(query)).scalars())

    async def pick(self, pick: Pick) -> Picked:
        """Pick a parcel, unless that was done before, or its shipment was cancelled.

        Returns:
            What became of the task, now or before. A task that its wave gave up is skipped.
        """
        async with self._engine.begin() as connection:
            ours = (pick_tasks.c.task_id == pick.task_id) & (pick_tasks.c.wave_id == pick.wave_id)
            order_id = select(pick_tasks.c.order_id).where(ours).scalar_subquery()
            # The order first, as everywhere: a cancellation comes before this, or after it.
            cancelled = (
                await connection.execute(
                    select(shipments.c.cancelled).where(shipments.c.order_id == order_id).with_for_update()
                )
            ).scalar_one_or_none()
            task = (await connection.execute(select(pick_tasks).where(ours).with_for_update())).one_or_none()
            if task is None:
                return Picked(pick.task_id, Outcome.SKIPPED)
            if task.state != WAITING:
                return Picked(pick.task_id, Outcome(task.state), task.picker)
            done = {"picker": pick.picker, "picks": pick_tasks.c.picks + 1, "picked_at": func.now()}
            outcome = Outcome.SKIPPED if cancelled else Outcome.PICKED
            change = {"state": outcome, **({} if cancelled else done)}
            await connection.execute(update(pick_tasks).where(ours).values(change))
        self._metrics.picked(outcome)
        return Picked(pick.task_id, outcome, None if cancelled else pick.picker)

    async def close(self, wave_id: str, state: WaveState) -> Counts:
        """Write down a wave's end, unless it has tasks that nobody has done. A cancelled one leaves those to others.

        Returns:
            The wave's tasks. If some wait, the wave is not closed.
        """
        async with self._engine.begin() as connection:
            if state is WaveState.CANCELLED:
                await connection.execute(
                    delete(pick_tasks).where(pick_tasks.c.wave_id == wave_id, pick_tasks.c.state == WAITING)
                )
            counts = await self._count(connection, wave_id)
            if counts.waiting == 0:
                await connection.execute(
                    update(pick_waves)
                    .where(pick_waves.c.wave_id == wave_id, pick_waves.c.state.in_(OPEN))
                    .values(state=state, result=_result(counts), finished_at=func.now())
                )
            return counts

    @staticmethod
    async def _count(connection: AsyncConnection, wave_id: str) -> Counts:
        rows = (
            await connection.execute(
                select(pick_tasks.c.state, pick_tasks.c.picker, func.count())
                .where(pick_tasks.c.wave_id == wave_id)
                .group_by(pick_tasks.c.state, pick_tasks.c.picker)
                .order_by(pick_tasks.c.picker)
            )
        ).all()
        by_state = {state: sum(row[2] for row in rows if row[0] == state) for state in (WAITING, *Outcome)}
        return Counts(
            total=sum(by_state.values()),
            picked=by_state[Outcome.PICKED],
            skipped=by_state[Outcome.SKIPPED],
            by_picker=tuple((row[1], row[2]) for row in rows if row[0] == Outcome.PICKED),
        )


def _result(counts: Counts) -> dict[str, Any]:
    return {**asdict(counts), "by_picker": {str(picker): count for picker, count in counts.by_picker}}


def _wave(row: Any) -> Wave:
    return Wave(row.wave_id, row.warehouse, row.pickers, WaveState(row.state), row.result)
