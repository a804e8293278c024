"""Sales reports: made of the orders table, kept as documents, one a day."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from orchestrator.contract import FINISHED, Status
from orchestrator.tables import orders, sales_reports

SOLD = (Status.FULFILLED, Status.PARTIALLY_FULFILLED)


class ReportStore:
    """Each method is one transaction."""

    def __init__(self, engine: AsyncEngine) -> None:
        """Use an engine."""
        self._engine = engine

    async def make(self, day: date) -> dict[str, Any]:
        """Write the report of a day, or write it anew; it is of the orders that ended on that day in UTC.

        Returns:
            The document: how many orders came to which end, and units and totals, in minor units, by currency.
        """
        begin = datetime.combine(day, time(), UTC)
        counted = (
            select(
                orders.c.status,
                orders.c.currency,
                func.count().label("orders"),
                func.coalesce(func.sum(orders.c.units), 0).label("units"),
                func.coalesce(func.sum(orders.c.total), 0).label("total"),
            )
            .where(orders.c.status.in_(FINISHED))
            .where(orders.c.updated_at >= begin, orders.c.updated_at < begin + timedelta(days=1))
            .group_by(orders.c.status, orders.c.currency)
            .order_by(orders.c.status, orders.c.currency)
        )
        async with self._engine.begin() as connection:
            outcomes: dict[str, int] = {}
            sales: dict[str, dict[str, int]] = {}
            for row in await connection.execute(counted):
                outcomes[row.status] = outcomes.get(row.status, 0) + row.orders
                if row.status in SOLD:
                    sold = sales.setdefault(row.currency, {"orders": 0, "units": 0, "total": 0})
                    sold["orders"] += row.orders
                    sold["units"] += int(row.units)
                    sold["total"] += int(row.total)
            document = {"date": day.isoformat(), "orders": outcomes, "sales": sales}
            report = insert(sales_reports).values(date=day, document=document)
            await connection.execute(
                report.on_conflict_do_update(
                    index_elements=["date"], set_={"document": report.excluded.document, "made_at": func.now()}
                )
            )
        return document

    async def get(self, day: date) -> RowMapping | None:
        """The report of a day, or None."""
        async with self._engine.connect() as connection:
            found = await connection.execute(select(sales_reports).where(sales_reports.c.date == day))
            return found.mappings().one_or_none()

    async def newest(self, before: date | None, limit: int) -> Sequence[RowMapping]:
        """Reports, newest first.

        Args:
            before: Only of days before this one.
            limit: Most reports.
        """
        wanted: list[ColumnElement[bool]] = [] if before is None else [sales_reports.c.date < before]
        async with self._engine.connect() as connection:
            found = await connection.execute(
                select(sales_reports).where(*wanted).order_by(sales_reports.c.date.desc()).limit(limit)
            )
            return found.mappings().all()
