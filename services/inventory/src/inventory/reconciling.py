"""Whether the stock is what movements and holds say, in one statement over everything and so at one moment."""

import logging
from asyncio import sleep
from typing import Any, NoReturn

from sqlalchemy import RowMapping, delete, func, select, text
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from chassis.connection import Connection
from inventory.jobs import Reconciled
from inventory.metrics import InventoryMetrics
from inventory.tables import reconciliations, stock

logger = logging.getLogger(__name__)

LISTED = 100
"""Most violations that a report lists."""
KEPT = "90 days"
"""How long reports are kept."""
STATEMENT_SECONDS = 240
"""How long the statement may run: seconds for a million shelves, and longer beside other work."""
LOOK_SECONDS = 15
"""How often a replica looks for a report that another one made, and at the stock: all show the same metrics."""

DISCREPANCIES = """
    SELECT sku, warehouse, on_hand, held,
           coalesce(moved.units, 0)::bigint AS moved, coalesce(lines.units, 0)::bigint AS lines
    FROM stock
    LEFT JOIN (SELECT sku, warehouse, sum(quantity) AS units FROM movements GROUP BY sku, warehouse) AS moved
        USING (sku, warehouse)
    LEFT JOIN (SELECT sku, warehouse, sum(quantity) AS units FROM hold_lines JOIN holds USING (order_id)
               WHERE state = 'held' GROUP BY sku, warehouse) AS lines USING (sku, warehouse)
    WHERE on_hand <> coalesce(moved.units, 0) OR held <> coalesce(lines.units, 0)
"""
"""Shelves whose ``on_hand`` is not the sum of their movements, or whose ``held`` is not the sum of their holds."""

_CHECK = text(
    f"""
    WITH wrong AS MATERIALIZED ({DISCREPANCIES})
    SELECT (SELECT count(*) FROM stock) AS shelves, (SELECT count(*) FROM wrong) AS violations,
           (SELECT coalesce(jsonb_agg(to_jsonb(first)), '[]') FROM (
                SELECT * FROM wrong ORDER BY sku, warehouse LIMIT :listed) first) AS items
    """  # noqa: S608 - text of this module only
)


class Reconciler:
    """Makes reports, and reads the newest."""

    def __init__(self, engine: AsyncEngine, metrics: InventoryMetrics) -> None:
        """Use a database whose schema is up to date, and show in the metrics what is found."""
        self._engine = engine
        self._metrics = metrics

    async def reconcile(self, key: str) -> Reconciled:
        """Check all shelves and keep a report; a repeat under the same key gets the first one.

        Args:
            key: Of the report.
        """
        async with self._engine.begin() as connection:
            await connection.execute(text(f"SET LOCAL statement_timeout = '{STATEMENT_SECONDS}s'"))
            found = (await connection.execute(_CHECK, {"listed": LISTED})).mappings().one()
            report = upsert(reconciliations).values(key=key, **found).on_conflict_do_nothing()
            await connection.execute(report)
            old = reconciliations.c.at < text(f"clock_timestamp() - interval '{KEPT}'")
            await connection.execute(delete(reconciliations).where(old))
            query = select(reconciliations).where(reconciliations.c.key == key)
            row = (await connection.execute(query)).mappings().one()
        self._metrics.reconciled(row["violations"], row["at"])
        if row["violations"]:
            logger.error(
                "%d of %d shelves are not what movements and holds say", row["violations"], row["shelves"],
                extra={"first": row["items"][:3]},
            )  # fmt: skip
        else:
            logger.info("all %d shelves are what movements and holds say", row["shelves"])
        return Reconciled(row["shelves"], row["violations"])

    async def latest(self) -> dict[str, Any] | None:
        """The newest report, or None before the first."""
        row = await self._latest()
        return None if row is None else {**row, "at": row["at"].isoformat()}

    async def _latest(self) -> RowMapping | None:
        query = select(reconciliations).order_by(reconciliations.c.at.desc()).limit(1)
        async with self._engine.connect() as connection:
            return (await connection.execute(query)).mappings().first()

    async def show(self, _: Connection) -> NoReturn:
        """Keep the metrics at the newest report, whichever replica made it, and at what is in stock."""
        while True:
            try:
                row = await self._latest()
                if row is not None:
                    self._metrics.reconciled(row["violations"], row["at"])
                await self._look()
            except SQLAlchemyError:
                logger.warning("the stock cannot be looked at", exc_info=True)
            await sleep(LOOK_SECONDS)

    async def _look(self) -> None:
        units = select(func.coalesce(func.sum(stock.c.on_hand), 0), func.coalesce(func.sum(stock.c.held), 0))
        async with self._engine.connect() as connection:
            on_hand, held = (await connection.execute(units)).one()
        self._metrics.stock(int(on_hand), int(held))
