"""Holds on stock, in PostgreSQL.

Every operation is one transaction that locks the order's row first and then the stock rows it needs, by SKU and
warehouse: so the row's state decides every race, and no two transactions can wait for each other.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import Row, func, insert, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from inventory import shelves
from inventory.allocation import Pick, allocate
from inventory.contract import Line, Refusal, Reservation, ReservedLine, ReserveRequest
from inventory.metrics import COMMIT, DONE, EXPIRE, PARTIAL, PUT_BACK, RELEASE, RESERVE, InventoryMetrics
from inventory.tables import HoldState, hold_lines, holds, prices, products

_RESERVATION = TypeAdapter(Reservation)
_REASON = 500
"""Most characters kept of an undo's reason."""


class RefusedError(Exception):
    """A business rule says no. Nothing has changed.

    Attributes:
        refusal: Which one, as the contract names it.
    """

    def __init__(self, refusal: Refusal, message: str) -> None:
        """Say what is refused.

        Args:
            refusal: Which rule.
            message: In words for people.
        """
        super().__init__(message)
        self.refusal = refusal


class Store:
    """Holds, and what becomes of them."""

    def __init__(self, engine: AsyncEngine, metrics: InventoryMetrics) -> None:
        """Use a database whose schema is up to date, and count what changes in it."""
        self._engine = engine
        self._metrics = metrics

    async def reserve(self, request: ReserveRequest) -> Reservation:
        """Hold units for an order, once: a repeat gets the first answer.

        Raises:
            RefusedError: ``unknown_sku``, ``wrong_currency``, ``out_of_stock``, ``hold_released``, ``hold_expired`` or
                ``request_differs``.
        """
        try:
            return await self._reserve(request)
        except RefusedError as refused:
            self._metrics.reserved(refused.refusal)
            raise

    async def _reserve(self, request: ReserveRequest) -> Reservation:
        async with self._engine.begin() as connection:
            claim = upsert(holds).values(
                order_id=request.order_id,
                state=HoldState.HELD,
                currency=request.currency,
                total=0,
                # The database's clock, which all replicas share.
                expires_at=func.clock_timestamp() + timedelta(seconds=request.hold_seconds),
                request=_essence(request),
            )
            claimed = await connection.execute(claim.on_conflict_do_nothing().returning(holds.c.expires_at))
            if (row := claimed.first()) is None:
                return _earlier(request, await _locked(connection, request.order_id))
            reservation = await _hold(connection, request, row.expires_at)
            await connection.execute(
                update(holds)
                .where(holds.c.order_id == request.order_id)
                .values(total=reservation.total, reservation=_RESERVATION.dump_python(reservation, mode="json"))
            )
        self._metrics.reserved(PARTIAL if reservation.missing else DONE)
        self._metrics.moved(RESERVE, sum(line.quantity for line in reservation.lines))
        return reservation

    async def commit(self, order_id: str) -> int:
        """Take an order's held units out of stock, once.

        Returns:
            How many units left.

        Raises:
            RefusedError: ``hold_missing``, ``hold_released``, or ``hold_expired``, which sets the units free.
        """
        async with self._counted() as (connection, moved):
            hold = await _locked(connection, order_id)
            state = None if hold is None else HoldState(hold.state)
            if hold is not None and state is HoldState.HELD:
                if hold.expires_at > await _now(connection):
                    units = await shelves.leave(connection, order_id)
                    await _become(connection, [order_id], HoldState.COMMITTED)
                    moved[COMMIT] = units
                    return units
                moved[EXPIRE] = await _free(connection, [order_id], HoldState.EXPIRED)
                state = HoldState.EXPIRED
            elif state is HoldState.COMMITTED:
                return await _units(connection, order_id)
        # Outside of the transaction, because what it did about an expired hold must stay.
        match state:
            case None:
                raise RefusedError(Refusal.HOLD_MISSING, f"order {order_id} holds nothing")
            case HoldState.RELEASED:
                raise RefusedError(Refusal.HOLD_RELEASED, f"the stock of order {order_id} was released")
            case _:
                raise RefusedError(Refusal.HOLD_EXPIRED, f"the hold of order {order_id} ran out")

    async def release(self, order_id: str, reason: str) -> int:
        """Undo what was done for an order, and fence it: whatever comes for it later is refused.

        Args:
            order_id: Whether or not anything is known of it.
            reason: Kept for readers of the books.

        Returns:
            How many units became free or came back; a repeat gets the same number.
        """
        reason = "".join(sign if sign.isprintable() else " " for sign in reason[:_REASON])
        async with self._counted() as (connection, moved):
            fence = upsert(holds).values(order_id=order_id, state=HoldState.RELEASED, reason=reason)
            fenced = await connection.execute(fence.on_conflict_do_nothing().returning(holds.c.order_id))
            if fenced.first() is not None:
                return 0
            hold = await _locked(connection, order_id)
            state = None if hold is None else HoldState(hold.state)
            units = await _units(connection, order_id)
            match state:
                case HoldState.HELD:
                    moved[RELEASE] = await _free(connection, [order_id], HoldState.RELEASED, reason)
                case HoldState.COMMITTED:
                    await shelves.put_back(connection, order_id)
                    moved[PUT_BACK] = units
                    await _become(connection, [order_id], HoldState.RELEASED, reason)
                case HoldState.EXPIRED:
                    return 0
            return units

    async def release_expired(self, limit: int) -> tuple[int, int]:
        """Set the units of holds free that ran out, the oldest first.

        Args:
            limit: Most holds.

        Returns:
            How many holds and how many units.
        """
        async with self._counted() as (connection, moved):
            overdue = (
                select(holds.c.order_id)
                .where(holds.c.state == HoldState.HELD, holds.c.expires_at <= func.clock_timestamp())
                .order_by(holds.c.expires_at)
                .limit(limit)
                # A row that somebody works on is not waited for: whoever waits with rows locked could be waited for.
                .with_for_update(skip_locked=True)
            )
            order_ids = (await connection.execute(overdue)).scalars().all()
            units = await _free(connection, order_ids, HoldState.EXPIRED) if order_ids else 0
            moved[EXPIRE] = units
            return len(order_ids), units

    @asynccontextmanager
    async def _counted(self) -> AsyncIterator[tuple[AsyncConnection, dict[str, int]]]:
        """A transaction, and a table for the units moved in it, which count once it stands."""
        moved: dict[str, int] = {}
        async with self._engine.begin() as connection:
            yield connection, moved
        for movement, units in moved.items():
            self._metrics.moved(movement, units)


async def _now(connection: AsyncConnection) -> datetime:
    """The database's clock, which all replicas share; not the transaction's start, which waits may leave behind."""
    now: datetime = (await connection.execute(select(func.clock_timestamp()))).scalar_one()
    return now


async def _locked(connection: AsyncConnection, order_id: str) -> Row[Any] | None:
    return (await connection.execute(select(holds).where(holds.c.order_id == order_id).with_for_update())).first()


def _essence(request: ReserveRequest) -> dict[str, Any]:
    """What two requests for the same order must have in common."""
    return {
        "currency": request.currency,
        "lines": [[line.sku, line.quantity] for line in request.lines],
        "allow_partial": request.allow_partial,
    }


def _earlier(request: ReserveRequest, hold: Row[Any] | None) -> Reservation:
    """The answer to a request for an order that has a row already."""
    if hold is None:
        raise LookupError(f"the row of order {request.order_id} vanished")  # rows are never deleted
    match HoldState(hold.state):
        case HoldState.RELEASED:
            raise RefusedError(Refusal.HOLD_RELEASED, f"the stock of order {request.order_id} was released")
        case HoldState.EXPIRED:
            raise RefusedError(Refusal.HOLD_EXPIRED, f"the hold of order {request.order_id} ran out")
    if hold.request != _essence(request):
        raise RefusedError(Refusal.REQUEST_DIFFERS, f"order {request.order_id} holds stock for another request")
    return _RESERVATION.validate_python(hold.reservation)


async def _hold(connection: AsyncConnection, request: ReserveRequest, expires_at: datetime) -> Reservation:
    catalogue = await _priced(connection, request)
    free = await shelves.lock_free(connection, catalogue)
    picks, missing = allocate(request.lines, free)
    if missing and not (request.allow_partial and picks):
        lacking = ", ".join(f"{line.quantity} of {line.sku}" for line in missing)
        raise RefusedError(Refusal.OUT_OF_STOCK, f"not in stock: {lacking}")
    await shelves.hold(connection, picks)
    await connection.execute(
        insert(hold_lines),
        [
            {"order_id": request.order_id, "sku": pick.sku, "warehouse": pick.warehouse, "quantity": pick.quantity}
            for pick in picks
        ],
    )
    return _reservation(request, picks, missing, catalogue, expires_at)


def _reservation(
    request: ReserveRequest,
    picks: Sequence[Pick],
    missing: tuple[Line, ...],
    catalogue: dict[str, tuple[int, int]],
    expires_at: datetime,
) -> Reservation:
    lines = tuple(
        ReservedLine(
            sku=pick.sku,
            quantity=pick.quantity,
            warehouse=pick.warehouse,
            unit_price=catalogue[pick.sku][1],
            unit_weight=catalogue[pick.sku][0],
        )
        for pick in picks
    )
    total = sum(line.quantity * line.unit_price for line in lines)
    return Reservation(request.order_id, request.currency, total, lines, missing, expires_at)


async def _priced(connection: AsyncConnection, request: ReserveRequest) -> dict[str, tuple[int, int]]:
    """Weight and price of each SKU."""
    price = (prices.c.sku == products.c.sku) & (prices.c.currency == request.currency)
    wanted = [line.sku for line in request.lines]
    query = select(products.c.sku, products.c.weight, prices.c.amount).outerjoin_from(products, prices, price)
    rows = (await connection.execute(query.where(products.c.sku.in_(wanted)))).all()
    if unknown := set(wanted) - {row.sku for row in rows}:
        raise RefusedError(Refusal.UNKNOWN_SKU, f"not in the catalogue: {', '.join(sorted(unknown))}")
    if unpriced := [row.sku for row in rows if row.amount is None]:
        message = f"not sold in {request.currency}: {', '.join(sorted(unpriced))}"
        raise RefusedError(Refusal.WRONG_CURRENCY, message)
    return {row.sku: (row.weight, row.amount) for row in rows}


async def _units(connection: AsyncConnection, order_id: str) -> int:
    total = select(func.coalesce(func.sum(hold_lines.c.quantity), 0)).where(hold_lines.c.order_id == order_id)
    return int((await connection.execute(total)).scalar_one())


async def _free(
    connection: AsyncConnection, order_ids: Sequence[str], state: HoldState, reason: str | None = None
) -> int:
    """Let go of held units, whose holds are locked, and give the holds their new state."""
    units = await shelves.free(connection, order_ids)
    await _become(connection, order_ids, state, reason)
    return units


async def _become(
    connection: AsyncConnection, order_ids: Sequence[str], state: HoldState, reason: str | None = None
) -> None:
    await connection.execute(
        update(holds)
        .where(holds.c.order_id.in_(order_ids))
        .values(state=state, reason=reason, updated_at=func.clock_timestamp())
    )
