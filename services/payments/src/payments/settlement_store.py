"""Memory of the settlements. Each capture and each refund is in one of them, once, in the order of cutoffs made."""

from collections.abc import Sequence
from datetime import date
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from payments.metrics import DONE, PaymentsMetrics
from payments.settlement_terms import Due, Settlement, SettlementLine
from payments.tables import SETTLEMENT_LINES, SETTLEMENTS

# What it takes and what it sums up is one statement: nothing is summed that another settlement took meanwhile.
_SETTLE = sa.text("""
    WITH taken AS (
        UPDATE settlement_items i SET settled_on = :day
        FROM bookings b
        WHERE b.booking_key = i.booking_key AND i.settled_on IS NULL AND b.booked_at < :cutoff
        RETURNING i.booking_key
    )
    INSERT INTO settlement_lines (settled_on, currency, method, captured, captures, refunded, refunds)
    SELECT :day, b.currency, CASE WHEN p.account_id IS NULL THEN 'card' ELSE 'store_credit' END AS method,
        coalesce(sum(-e.amount) FILTER (WHERE b.kind = 'capture'), 0),
        count(*) FILTER (WHERE b.kind = 'capture'),
        coalesce(sum(e.amount) FILTER (WHERE b.kind = 'refund'), 0),
        count(*) FILTER (WHERE b.kind = 'refund')
    FROM taken JOIN bookings b USING (booking_key)
        JOIN payments p ON p.order_id = b.order_id
        JOIN ledger_entries e ON e.booking_key = b.booking_key AND e.account = 'sales'
    GROUP BY b.currency, method
""").bindparams(sa.bindparam("day", type_=sa.Date), sa.bindparam("cutoff", type_=sa.DateTime(timezone=True)))


class SettlementStore:
    """Makes settlements, and shows them."""

    def __init__(self, engine: AsyncEngine, metrics: PaymentsMetrics) -> None:
        """Keep what it works with.

        Args:
            engine: Of payments' own database, its schema up to date.
            metrics: Count what changes.
        """
        self._engine = engine
        self._metrics = metrics

    async def settle(self, due: Due) -> Settlement:
        """Make a settlement of all that was booked before its cutoff and is in none yet.

        What commits later than that, although it was booked before, is in the next.

        Returns:
            The settlement; the one that was made first, if there is one of this day already.
        """
        day = date.fromisoformat(due.date)
        async with self._engine.begin() as connection:
            # It is summed up once a day, and may take longer than what customers wait for; less than its activity may.
            await connection.execute(sa.text("SET LOCAL statement_timeout = '25s'"))
            # One at a time: two that take from the same bookings would wait for each other in a ring.
            await connection.execute(sa.text("LOCK TABLE settlements IN SHARE ROW EXCLUSIVE MODE"))
            new = insert(SETTLEMENTS).values(settled_on=day, cutoff=due.cutoff).on_conflict_do_nothing()
            made = (await connection.execute(new.returning(SETTLEMENTS.c.settled_on))).one_or_none() is not None
            if made:
                await connection.execute(_SETTLE, {"day": day, "cutoff": due.cutoff})
            [settlement] = await _documents(connection, _settlements().where(SETTLEMENTS.c.settled_on == day))
        if made:
            self._metrics.settled(DONE)
        return settlement

    async def settlement(self, day: date) -> Settlement | None:
        """The settlement of a day, or None if there is none."""
        async with self._engine.connect() as connection:
            found = await _documents(connection, _settlements().where(SETTLEMENTS.c.settled_on == day))
        return found[0] if found else None

    async def page(self, after: date | None, limit: int) -> list[Settlement]:
        """Settlements by date.

        Args:
            after: Date after which the page begins; None for the first.
            limit: Most settlements of the page.
        """
        query = _settlements()
        if after is not None:
            query = query.where(SETTLEMENTS.c.settled_on > after)
        async with self._engine.connect() as connection:
            return await _documents(connection, query.limit(limit))


def _settlements() -> sa.Select[Any]:
    return sa.select(SETTLEMENTS).order_by(SETTLEMENTS.c.settled_on)


async def _documents(connection: AsyncConnection, settlements: sa.Select[Any]) -> list[Settlement]:
    found = (await connection.execute(settlements)).mappings().all()
    lines = await connection.execute(
        sa.select(SETTLEMENT_LINES)
        .where(SETTLEMENT_LINES.c.settled_on.in_([row["settled_on"] for row in found]))
        .order_by(SETTLEMENT_LINES.c.currency, SETTLEMENT_LINES.c.method)
    )
    by_day: dict[date, list[SettlementLine]] = {}
    for row in lines.mappings():
        line = SettlementLine(**{name: row[name] for name in SettlementLine.__slots__})
        by_day.setdefault(row["settled_on"], []).append(line)
    return [_document(row, by_day.get(row["settled_on"], ())) for row in found]


def _document(row: sa.RowMapping, lines: Sequence[SettlementLine]) -> Settlement:
    return Settlement(row["settled_on"].isoformat(), row["cutoff"], row["made_at"], list(lines))
