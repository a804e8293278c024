"""What shipping booked: shipments with their fence, and parcels."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Row, and_, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shipping.metrics import BOOKED, CANCELLED, REFUSED, ShippingMetrics
from shipping.tables import parcels, shipments


class ShipmentCancelled(Exception):  # noqa: N818 - it names a state
    """The order's fence stands: nothing is booked any more."""


class ParcelState(StrEnum):
    """How far the booking of a parcel is."""

    BOOKING = "booking"
    """Intended; the carrier may know of it or not."""
    BOOKED = "booked"
    REFUSED = "refused"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class ParcelRow:
    """A parcel and its booking."""

    order_id: str
    parcel: int
    key: str
    carrier: str
    state: ParcelState
    tracking_number: str | None
    promised_at: datetime | None = None
    """When it shall be delivered, as promised at the booking."""


@dataclass(frozen=True, slots=True)
class Shipment:
    """All parcels of one order."""

    order_id: str
    cancelled: bool
    parcels: tuple[ParcelRow, ...]


class Store:
    """Shipping's tables behind methods that each are one transaction."""

    def __init__(self, engine: AsyncEngine, metrics: ShippingMetrics) -> None:
        """Use an engine, and count what changes; nothing connects yet."""
        self._engine = engine
        self._metrics = metrics

    async def intend(
        self, order_id: str, parcel: int, key: str, carrier: str, warehouse: str | None = None
    ) -> tuple[ParcelRow, bool]:
        """Write down that a parcel is about to be booked, before any carrier hears of it.

        An intent that stands already stays as it is, with its own carrier: the carrier may know its key. Only one
        that its carrier refused passes to another carrier.

        Returns:
            The parcel as it stands, and whether the carrier cannot have heard of it yet.

        Raises:
            ShipmentCancelled: If the fence stands.
        """
        async with self._engine.begin() as connection:
            if await self._lock(connection, order_id):
                raise ShipmentCancelled(order_id)
            found = await self._parcel(connection, order_id, parcel)
            if found is None:
                await connection.execute(
                    insert(parcels).values(
                        order_id=order_id,
                        parcel=parcel,
                        key=key,
                        carrier=carrier,
                        warehouse=warehouse,
                        state=ParcelState.BOOKING,
                    )
                )
                return ParcelRow(order_id, parcel, key, carrier, ParcelState.BOOKING, None), True
            if found.state is ParcelState.REFUSED and found.carrier != carrier:
                await self._change(connection, order_id, parcel, carrier=carrier, state=ParcelState.BOOKING)
                return ParcelRow(order_id, parcel, key, carrier, ParcelState.BOOKING, None), True
            return found, False

    async def booked(
        self, order_id: str, parcel: int, tracking_number: str, promised_at: datetime | None = None
    ) -> None:
        """Record that the carrier took the parcel.

        Args:
            order_id: The order.
            parcel: Its number.
            tracking_number: The carrier's.
            promised_at: When it shall be delivered.

        Raises:
            ShipmentCancelled: If the fence stands. The undo tells the carrier by the intent's key.
        """
        async with self._engine.begin() as connection:
            if await self._lock(connection, order_id):
                raise ShipmentCancelled(order_id)
            before = await self._parcel(connection, order_id, parcel)
            await self._change(
                connection,
                order_id,
                parcel,
                state=ParcelState.BOOKED,
                tracking_number=tracking_number,
                promised_at=promised_at,
            )
        if before is not None and before.state is not ParcelState.BOOKED:
            self._metrics.shipment(before.carrier, BOOKED)

    async def refused(self, order_id: str, parcel: int) -> None:
        """Record that the carrier does not take the parcel.

        Raises:
            ShipmentCancelled: If the fence stands.
        """
        async with self._engine.begin() as connection:
            if await self._lock(connection, order_id):
                raise ShipmentCancelled(order_id)
            before = await self._parcel(connection, order_id, parcel)
            await self._change(connection, order_id, parcel, state=ParcelState.REFUSED)
        if before is not None and before.state is not ParcelState.REFUSED:
            self._metrics.shipment(before.carrier, REFUSED)

    async def fence(self, order_id: str, reason: str) -> list[ParcelRow]:
        """Put up the order's fence, for good.

        Returns:
            The parcels whose carriers are still to be told.
        """
        async with self._engine.begin() as connection:
            if not await self._lock(connection, order_id):
                said = reason.replace("\x00", "").encode(errors="replace").decode()
                await connection.execute(
                    update(shipments)
                    .where(shipments.c.order_id == order_id)
                    .values(cancelled=True, cancel_reason=said, cancelled_at=func.now())
                )
            rows = await connection.execute(
                select(*_COLUMNS).where(parcels.c.order_id == order_id, parcels.c.state != ParcelState.CANCELLED)
            )
            return [_row(row) for row in rows]

    async def cancelled(self, order_id: str, parcel: int, *, was_booked: bool) -> None:
        """Record that the carrier was told, by key, that it shall not come.

        Args:
            order_id: The order, whose fence stands.
            parcel: Its number.
            was_booked: Whether there was a booking.
        """
        async with self._engine.begin() as connection:
            changed = await connection.execute(
                update(parcels)
                # A second telling hears the same; the first record stays.
                .where(
                    parcels.c.order_id == order_id,
                    parcels.c.parcel == parcel,
                    parcels.c.state != ParcelState.CANCELLED,
                )
                .values(state=ParcelState.CANCELLED, was_booked=was_booked, updated_at=func.now())
                .returning(parcels.c.carrier)
            )
            carrier = changed.scalar_one_or_none()
        if carrier is not None and was_booked:
            self._metrics.shipment(carrier, CANCELLED)

    async def count_cancelled(self, order_id: str) -> int:
        """How many of an order's bookings were cancelled."""
        async with self._engine.connect() as connection:
            query = select(func.count()).where(parcels.c.order_id == order_id, parcels.c.was_booked)
            return int((await connection.execute(query)).scalar_one())

    async def parcel(self, order_id: str, parcel: int) -> ParcelRow | None:
        """One parcel, or None if nobody ever meant to book it."""
        async with self._engine.connect() as connection:
            return await self._parcel(connection, order_id, parcel)

    async def tracked(self, order_id: str, parcel: int) -> tuple[ParcelRow | None, bool]:
        """One parcel, and whether the order's fence stands, both of the same moment.

        Returns:
            The parcel, or None if nobody ever meant to book it, and whether the fence stands.
        """
        its = and_(parcels.c.order_id == shipments.c.order_id, parcels.c.parcel == parcel)
        query = select(shipments.c.cancelled, *_COLUMNS).outerjoin(parcels, its).where(shipments.c.order_id == order_id)
        async with self._engine.connect() as connection:
            row = (await connection.execute(query)).one_or_none()
        if row is None:
            return None, False
        return None if row.parcel is None else _row(row), row.cancelled

    async def page(self, after: str, limit: int) -> list[Shipment]:
        """Orders by their ids.

        Args:
            after: The order id after which the page begins.
            limit: Most orders of it.
        """
        async with self._engine.connect() as connection:
            found = await connection.execute(
                select(shipments.c.order_id, shipments.c.cancelled)
                .where(shipments.c.order_id > after)
                .order_by(shipments.c.order_id)
                .limit(limit)
            )
            orders = {row.order_id: row.cancelled for row in found}
            rows = await connection.execute(
                select(*_COLUMNS).where(parcels.c.order_id.in_(orders)).order_by(parcels.c.parcel)
            )
            by_order: dict[str, list[ParcelRow]] = {order_id: [] for order_id in orders}
            for row in rows:
                by_order[row.order_id].append(_row(row))
        return [Shipment(order_id, orders[order_id], tuple(by_order[order_id])) for order_id in orders]

    @staticmethod
    async def _lock(connection: AsyncConnection, order_id: str) -> bool:
        """Make sure that the order has a row, and lock it until the transaction ends.

        Returns:
            Whether the fence stands.
        """
        await connection.execute(insert(shipments).values(order_id=order_id).on_conflict_do_nothing())
        query = select(shipments.c.cancelled).where(shipments.c.order_id == order_id).with_for_update()
        return bool((await connection.execute(query)).scalar_one())

    @staticmethod
    async def _parcel(connection: AsyncConnection, order_id: str, parcel: int) -> ParcelRow | None:
        query = select(*_COLUMNS).where(parcels.c.order_id == order_id, parcels.c.parcel == parcel)
        row = (await connection.execute(query)).one_or_none()
        return None if row is None else _row(row)

    @staticmethod
    async def _change(connection: AsyncConnection, order_id: str, parcel: int, **values: Any) -> None:
        await connection.execute(
            update(parcels)
            .where(parcels.c.order_id == order_id, parcels.c.parcel == parcel)
            .values(updated_at=func.now(), **values)
        )


_COLUMNS = (
    parcels.c.order_id,
    parcels.c.parcel,
    parcels.c.key,
    parcels.c.carrier,
    parcels.c.state,
    parcels.c.tracking_number,
    parcels.c.promised_at,
)


def _row(row: Row[*tuple[Any, ...]]) -> ParcelRow:
    state = ParcelState(row.state)
    return ParcelRow(row.order_id, row.parcel, row.key, row.carrier, state, row.tracking_number, row.promised_at)
