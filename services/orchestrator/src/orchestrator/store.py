"""The orders table, which is what customers see, and the steps behind each order."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Row,
    RowMapping,
    Select,
    case,
    collate,
    false,
    func,
    literal,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from chassis import trace_context
from orchestrator import statements
from orchestrator.contract import FINISHED, Status
from orchestrator.metrics import API, OrchestratorMetrics
from orchestrator.states import Accepted, DeliveryState, State
from orchestrator.tables import orders, steps


def _standing(order_id: str, idempotency_key: str | None) -> Select[tuple[Any, ...]]:
    """Both may stand, in two rows: the key's is then the order that it was used for before."""
    by_id = orders.c.order_id == order_id
    by_key = false() if idempotency_key is None else orders.c.idempotency_key == idempotency_key
    return select(orders).where(or_(by_id, by_key)).order_by(case((by_key, 0), else_=1)).limit(1)


def _ago(seconds: float | ColumnElement[Any]) -> ColumnElement[datetime]:
    return func.now() - func.make_interval(0, 0, 0, 0, 0, 0, seconds)


class Store:
    """Reads and writes of orders. Each method is one transaction."""

    def __init__(self, engine: AsyncEngine, metrics: OrchestratorMetrics) -> None:
        """Use an engine, and count what changes in the metrics."""
        self._engine = engine
        self._metrics = metrics

    async def accept(
        self, order_id: str, digest: str, request: dict[str, Any], idempotency_key: str | None = None
    ) -> Accepted:
        """Write an order's row, or find the one that stands under its id or its key.

        Args:
            order_id: The order.
            digest: Of the body, which tells a repeat from a conflict.
            request: The workflow's input.
            idempotency_key: The client's, if it sent one.

        Returns:
            The row. With ``new`` false its digest is for the caller to compare.
        """
        lines = [[line["sku"], line["quantity"]] for line in request["lines"]]
        statement = (
            insert(orders)
            .values(
                order_id=order_id,
                idempotency_key=idempotency_key,
                digest=digest,
                request=request,
                lines=lines,
                currency=request["currency"],
                status=Status.ACCEPTED,
                units=sum(quantity for _, quantity in lines),
                sequence=0,
                delivery_sequence=0,
                notified=False,
                traceparent=trace_context.current(),
            )
            .on_conflict_do_nothing()
            .returning(orders)
        )
        async with self._engine.begin() as connection:
            row = (await connection.execute(statement)).mappings().one_or_none()
            if row is not None:
                await connection.execute(
                    insert(steps).values(order_id=order_id, sequence=0, status=Status.ACCEPTED, at=row["created_at"])
                )
        if row is not None:
            self._metrics.accepted(API)
            return Accepted(row, new=True)
        async with self._engine.connect() as connection:
            found = await connection.execute(_standing(order_id, idempotency_key))
            return Accepted(found.mappings().one(), new=False)

    async def standing(self, order_id: str, idempotency_key: str | None) -> RowMapping | None:
        """The row that stands under an order's id or its key, or None."""
        async with self._engine.connect() as connection:
            found = await connection.execute(_standing(order_id, idempotency_key))
            row: RowMapping | None = found.mappings().one_or_none()
            return row

    async def unstarted(
        self, limit: int, older_than_seconds: float, imported_older_than_seconds: float = 0
    ) -> Sequence[RowMapping]:
        """Accepted orders whose workflow is not known to be started, oldest first.

        Args:
            limit: Most rows.
            older_than_seconds: Leaves out what a request may be starting at this moment.
            imported_older_than_seconds: Leaves out what an import may be starting at this moment.
        """
        age = case((orders.c.import_id.is_(None), older_than_seconds), else_=imported_older_than_seconds)
        waiting = (
            select(orders.c.order_id, orders.c.request, orders.c.import_id, orders.c.traceparent)
            .where(orders.c.started_at.is_(None), orders.c.request.is_not(None))
            .where(orders.c.created_at < _ago(age))
            .order_by(orders.c.number)
            .limit(limit)
        )
        async with self._engine.connect() as connection:
            return (await connection.execute(waiting)).mappings().all()

    async def mark_started(self, order_id: str) -> None:
        """Note that the order's workflow is started."""
        async with self._engine.begin() as connection:
            await connection.execute(statements.STARTED, {"about": order_id})

    async def silent(self, after: int, seconds: float, limit: int) -> Sequence[RowMapping]:
        """Unfinished orders, by number, that were started and have not changed for some time."""
        unfinished = (
            select(orders.c.order_id, orders.c.number)
            .where(orders.c.number > after, orders.c.started_at.is_not(None), orders.c.status.not_in(FINISHED))
            .where(orders.c.updated_at < _ago(seconds), orders.c.started_at < _ago(seconds))
            .order_by(orders.c.number)
            .limit(limit)
        )
        async with self._engine.connect() as connection:
            return (await connection.execute(unfinished)).mappings().all()

    async def fail(self, order_id: str, reason: str, detail: str, silent_seconds: float = 0) -> bool:
        """Note that an unfinished order failed, where its workflow cannot say so itself.

        Returns:
            Whether it was unfinished, and had not changed for so many seconds.
        """
        # What its workflow says later, after a reset, is newer all the same.
        failed = (
            update(orders)
            .where(orders.c.order_id == order_id, orders.c.status.not_in(FINISHED))
            .where(orders.c.updated_at <= _ago(silent_seconds))
            .values(status=Status.FAILED, reason=reason, detail=detail, request=None)
            .values(sequence=orders.c.sequence + 1, updated_at=func.now())
            .returning(orders.c.sequence, orders.c.updated_at, orders.c.created_at, orders.c.import_id)
        )
        async with self._engine.begin() as connection:
            row = (await connection.execute(failed)).one_or_none()
            if row is None:
                return False
            step = {"sequence": row.sequence, "status": Status.FAILED, "detail": detail, "at": row.updated_at}
            await connection.execute(insert(steps).values(order_id=order_id, **step).on_conflict_do_nothing())
        took = row.updated_at - row.created_at
        self._metrics.finished(Status.FAILED, reason, took, imported=row.import_id is not None)
        return True

    async def record(self, state: State) -> None:
        """Write a state of an order, unless a newer one stands. Writing one twice is writing it once."""
        newer = statements.newer(state)
        async with self._engine.begin() as connection:
            was = (await connection.execute(statements.NEWER, newer)).one_or_none()
            made = False
            if was is None:
                # An upsert would take a number of the pages' key for every state that it does not insert.
                there = select(literal(1)).where(orders.c.order_id == state.order_id)
                if (await connection.execute(there)).one_or_none() is None:
                    made = (await connection.execute(statements.first(state))).one_or_none() is not None
                # Another state's row may have come between these statements.
                was = (await connection.execute(statements.NEWER, newer)).one_or_none()
            await connection.execute(statements.STEPS, statements.steps_of(state))
        self._count(state, was, made=made)

    def _count(self, state: State, was: Row[Any] | None, *, made: bool) -> None:
        """Count what a state changed, now that it stands.

        Args:
            state: The new one.
            was: The order before it; None if nothing changed.
            made: Whether the order's row was made with it.
        """
        if made and state.status in FINISHED:
            self._metrics.finished(state.status, state.reason, timedelta(), imported=False)
        if was is None or was.status == state.status:
            return
        # That the stock is being reserved is also the intake's word, which makes no step.
        since = (was.status, was.entered) if was.entered is not None else (Status.ACCEPTED, was.created_at)
        for status, at in (*((one.status, one.at) for one in state.passed), (state.status, state.at)):
            if since[0] not in FINISHED:
                self._metrics.left(since[0], at - since[1], to=status)
            since = status, at
        # One that was reset after its end begins again, and ends again: that is counted.
        if state.status in FINISHED and was.status not in FINISHED:
            took = state.at - was.created_at
            self._metrics.finished(state.status, state.reason, took, imported=was.import_id is not None)

    async def record_delivery(self, state: DeliveryState) -> None:
        """Write where an order's parcels are, unless something newer stands."""
        async with self._engine.begin() as connection:
            await connection.execute(
                update(orders)
                .where(orders.c.order_id == state.order_id, orders.c.delivery_sequence < state.sequence)
                .values(delivery=list(state.parcels), delivery_sequence=state.sequence)
            )

    async def mark_notified(self, order_id: str) -> None:
        """Note that the customer was told how the order ended."""
        async with self._engine.begin() as connection:
            await connection.execute(statements.NOTIFIED, {"about": order_id})

    async def get(self, order_id: str) -> RowMapping | None:
        """An order's row, or None."""
        async with self._engine.connect() as connection:
            found = await connection.execute(select(orders).where(orders.c.order_id == order_id))
            return found.mappings().one_or_none()

    async def steps_of(self, order_id: str) -> Sequence[RowMapping]:
        """The states that an order went through, in order."""
        async with self._engine.connect() as connection:
            found = await connection.execute(
                select(steps).where(steps.c.order_id == order_id).order_by(steps.c.sequence)
            )
            return found.mappings().all()

    async def newest(self, status: Status | None, before: int | None, limit: int) -> Sequence[RowMapping]:
        """Orders, newest first.

        Args:
            status: Only these.
            before: Only numbers below this one.
            limit: Most rows.
        """
        wanted: list[ColumnElement[bool]] = []
        if status is not None:
            wanted.append(orders.c.status == status)
        if before is not None:
            wanted.append(orders.c.number < before)
        async with self._engine.connect() as connection:
            found = await connection.execute(
                select(orders).where(*wanted).order_by(orders.c.number.desc()).limit(limit)
            )
            return found.mappings().all()

    async def books(self, after: str, limit: int) -> list[dict[str, Any]]:
        """A page of the audit's view of orders, by order id."""
        key = collate(orders.c.order_id, "C")
        async with self._engine.connect() as connection:
            found = await connection.execute(select(orders).where(key > after).order_by(key).limit(limit))
            told = ("order_id", "status", "reason", "currency", "total", "units", "parcels", "notified")
            return [
                {name: row[name] for name in told}
                | {"finished": row["status"] in FINISHED}
                | {name: row[name].isoformat() for name in ("created_at", "updated_at")}
                for row in found.mappings()
            ]
