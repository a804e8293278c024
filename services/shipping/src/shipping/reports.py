"""What shipping was told of parcels under way: carriers' events, and the silences between them."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Text, and_, func, select, update
from sqlalchemy.dialects.postgresql import ARRAY, aggregate_order_by, insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from chassis import trace_context
from shipping import metrics
from shipping.contract import FINAL_STATES, DeliveryState
from shipping.delivery import Event, Sighting, fold
from shipping.metrics import ShippingMetrics
from shipping.store import ParcelRow
from shipping.tables import carrier_events, escalations, parcels

OURS = "(waybill)"
"""Source of the one event that no carrier reports, a parcel given up. No carrier can have that name."""


@dataclass(frozen=True, slots=True)
class Report:
    """What a carrier says happened to the parcel of a booking's key."""

    carrier: str
    event_id: str
    key: str
    tracking_number: str
    state: DeliveryState
    at: datetime
    expected_at: datetime | None = None
    """When the carrier now expects to deliver."""


@dataclass(frozen=True, slots=True)
class Silence:
    """A time in which nothing was heard of a parcel, or not what was promised, and what asking brought."""

    at: datetime
    """By the tracking workflow's clock: a repeated attempt has the same."""
    silent_since: datetime
    detail: str
    promised_at: datetime | None = None
    """The promise that passed, if that is why the carrier was asked."""


@dataclass(frozen=True, slots=True)
class Untold:
    """The last event of a parcel of which its workflow was not told."""

    seq: int
    traceparent: str | None
    """Of the request that it came in."""


class Reports:
    """The tables of events and silences behind methods that each are one transaction."""

    def __init__(self, engine: AsyncEngine, counts: ShippingMetrics) -> None:
        """Use an engine, and count what is news; nothing connects yet."""
        self._engine = engine
        self._metrics = counts

    async def add(self, report: Report) -> bool:
        """Store what a carrier reports of a parcel, ours or not. A repeat is not stored again.

        Returns:
            Whether it was news.
        """
        async with self._counted() as (connection, stored):
            known = await self._lock(connection, report.key)
            # Whoever tracks a parcel of ours is still to be told; for others there is nobody to tell.
            is_news = await self._add(connection, report, told=not known)
            if is_news:
                stored.append(report)
            return is_news

    async def sighting(self, parcel: ParcelRow) -> Sighting:
        """Where a parcel is."""
        return (await self.sightings([parcel]))[parcel.key]

    async def sightings(self, wanted: Sequence[ParcelRow]) -> dict[str, Sighting]:
        """Where parcels are, by their keys."""
        async with self._engine.connect() as connection:
            return await self._sightings(connection, wanted)

    async def record_silence(
        self, parcel: ParcelRow, silence: Silence, reports: Sequence[Report], *, give_up_at: int | None
    ) -> Sighting:
        """Record a silence and what asking the carrier brought. A promise that was kept, or is moved, is no silence.

        Args:
            parcel: The parcel.
            silence: What is recorded, once for each ``at``.
            reports: What the carrier said when asked.
            give_up_at: Count the parcel as lost if there still are only so many events; None to wait on.

        Returns:
            Where the parcel is now.
        """
        async with self._counted() as (connection, stored):
            await self._lock(connection, parcel.key)
            news = [report for report in reports if await self._add(connection, report, told=True)]
            stored.extend(news)
            if silence.promised_at is not None:
                seen = (await self._sightings(connection, [parcel]))[parcel.key]
                if seen.state in FINAL_STATES or seen.promised_at != silence.promised_at:
                    return seen
            await connection.execute(
                insert(escalations)
                .values(
                    order_id=parcel.order_id,
                    parcel=parcel.parcel,
                    at=silence.at,
                    silent_since=silence.silent_since,
                    news=len(news),
                    detail=silence.detail,
                    kind="silence" if silence.promised_at is None else "late",
                    promised_at=silence.promised_at,
                )
                .on_conflict_do_nothing()
            )
            seen = (await self._sightings(connection, [parcel]))[parcel.key]
            if give_up_at is None or seen.events > give_up_at:
                return seen
            lost = Report(OURS, parcel.key, parcel.key, parcel.tracking_number or "", DeliveryState.LOST, silence.at)
            if await self._add(connection, lost, told=True):
                stored.append(lost)
            return (await self._sightings(connection, [parcel]))[parcel.key]

    async def untold(self, limit: int = 200) -> dict[tuple[str, int], Untold]:
        """Parcels of whose news their tracking workflow was not told.

        Returns:
            By order and number of the parcel, the last of its untold events.
        """
        last = func.max(carrier_events.c.seq)
        newest_first = aggregate_order_by(carrier_events.c.traceparent, carrier_events.c.seq.desc())
        came_in = func.array_agg(newest_first, type_=ARRAY(Text))[1]
        query = (
            select(parcels.c.order_id, parcels.c.parcel, last, came_in)
            .join(carrier_events, and_(carrier_events.c.key == parcels.c.key, ~carrier_events.c.told))
            .group_by(parcels.c.order_id, parcels.c.parcel)
            .order_by(last)
            .limit(limit)
        )
        async with self._engine.connect() as connection:
            return {(row[0], row[1]): Untold(row[2], row[3]) for row in await connection.execute(query)}

    async def mark_told(self, order_id: str, parcel: int, seq: int) -> None:
        """Note that a parcel's workflow was told to look, or is not there and will look when it starts.

        Args:
            order_id: The order.
            parcel: Its number.
            seq: The last event that was stored when it was told.
        """
        key = select(parcels.c.key).where(parcels.c.order_id == order_id, parcels.c.parcel == parcel)
        async with self._engine.begin() as connection:
            await connection.execute(
                update(carrier_events)
                .where(
                    carrier_events.c.key == key.scalar_subquery(), carrier_events.c.seq <= seq, ~carrier_events.c.told
                )
                .values(told=True)
            )

    async def silences(self, after: int, limit: int) -> list[dict[str, Any]]:
        """Silences in the order in which they were recorded.

        Args:
            after: The id after which the page begins.
            limit: Most of them.
        """
        query = select(escalations).where(escalations.c.id > after).order_by(escalations.c.id).limit(limit)
        async with self._engine.connect() as connection:
            return [dict(row) for row in (await connection.execute(query)).mappings()]

    @asynccontextmanager
    async def _counted(self) -> AsyncIterator[tuple[AsyncConnection, list[Report]]]:
        """A transaction, and a list for what is stored in it, which counts once it stands."""
        stored: list[Report] = []
        async with self._engine.begin() as connection:
            yield connection, stored
        for report in stored:
            self._metrics.event(metrics.OURS if report.carrier == OURS else report.carrier, report.state)

    @staticmethod
    async def _lock(connection: AsyncConnection, key: str) -> bool:
        """Lock a parcel, so that its events are stored one after the other.

        Returns:
            Whether it is ours.
        """
        query = select(parcels.c.key).where(parcels.c.key == key).with_for_update()
        return (await connection.execute(query)).one_or_none() is not None

    @staticmethod
    async def _add(connection: AsyncConnection, report: Report, *, told: bool) -> bool:
        stored = await connection.execute(
            insert(carrier_events)
            .values(
                carrier=report.carrier,
                event_id=report.event_id,
                key=report.key,
                tracking_number=report.tracking_number,
                state=report.state,
                at=report.at,
                expected_at=report.expected_at,
                told=told,
                traceparent=trace_context.current(),
            )
            .on_conflict_do_nothing()
            .returning(carrier_events.c.seq)
        )
        return stored.one_or_none() is not None

    @staticmethod
    async def _sightings(connection: AsyncConnection, wanted: Sequence[ParcelRow]) -> dict[str, Sighting]:
        carriers = {parcel.key: {parcel.carrier, OURS} for parcel in wanted}
        found: dict[str, list[Event]] = {key: [] for key in carriers}
        columns = carrier_events.c
        rows = await connection.execute(
            select(columns.key, columns.carrier, columns.state, columns.at, columns.expected_at)
            .where(columns.key.in_(carriers))
            .order_by(columns.seq)
        )
        for row in rows:
            # Another carrier may report what it likes: the parcel is not with it.
            if row.carrier in carriers[row.key]:
                found[row.key].append(Event(DeliveryState(row.state), row.at, row.expected_at))
        return {parcel.key: fold(found[parcel.key], parcel.promised_at) for parcel in wanted}
