"""One warehouse's stocktake in PostgreSQL: closed, counted, corrected, open again."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from enum import Enum

from pydantic import TypeAdapter
from sqlalchemy import Row, func, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from inventory.jobs import Counted, CountStatus, RefusedCount, Stocktake
from inventory.metrics import STOCKTAKE, InventoryMetrics
from inventory.tables import stocktakes

LISTED = 100
"""Most refused counts that a result lists."""

_COUNTED = TypeAdapter(Counted)

_CLOSE = text(
    """
    INSERT INTO closures (warehouse, stocktake, closed_until)
    VALUES (:warehouse, :stocktake, clock_timestamp() + make_interval(secs => :lease))
    ON CONFLICT (warehouse) DO UPDATE SET stocktake = excluded.stocktake, closed_until = excluded.closed_until
    """
)
_PROLONG = text(
    """
    UPDATE closures SET closed_until = clock_timestamp() + make_interval(secs => :lease)
    WHERE warehouse = :warehouse AND stocktake = :stocktake
    """
)
_REOPEN = text("DELETE FROM closures WHERE warehouse = :warehouse AND stocktake = :stocktake")
_CLOSED_FOR = text("SELECT stocktake FROM closures WHERE warehouse = :warehouse AND closed_until > clock_timestamp()")
_WRITE_COUNTS = text(
    """
    INSERT INTO stocktake_counts (stocktake, sku, counted, on_hand)
    SELECT :stocktake, c.sku, c.counted, coalesce(s.on_hand, 0)
    FROM unnest(CAST(:skus AS text[]), CAST(:counts AS bigint[])) AS c (sku, counted)
    LEFT JOIN stock s ON s.sku = c.sku AND s.warehouse = :warehouse
    ORDER BY c.sku COLLATE "C"
    ON CONFLICT (stocktake, sku)
    DO UPDATE SET counted = excluded.counted, on_hand = excluded.on_hand, at = clock_timestamp()
    """
)
_UNKNOWN = text(
    """
    SELECT min(c.sku) FROM unnest(CAST(:skus AS text[])) AS c (sku)
    WHERE NOT EXISTS (SELECT 1 FROM products p WHERE p.sku = c.sku)
    """
)
_COUNT_BY_BOOKS = text(
    """
    INSERT INTO stocktake_counts (stocktake, sku, counted, on_hand)
    SELECT :stocktake, sku, on_hand, on_hand FROM stock WHERE warehouse = :warehouse
    ON CONFLICT DO NOTHING
    """
)
_SHELVES = text(
    """
    INSERT INTO stock (sku, warehouse) SELECT sku, :warehouse FROM stocktake_counts
    WHERE stocktake = :stocktake AND counted > on_hand ORDER BY sku ON CONFLICT DO NOTHING
    """
)
_SHELVED = "FROM stocktake_counts c JOIN stock s ON s.sku = c.sku AND s.warehouse = :warehouse"
_LOCK_SHELVES = text(
    f"""
    SELECT count(*) FROM (SELECT 1 {_SHELVED} WHERE stocktake = :stocktake ORDER BY s.sku FOR UPDATE OF s) locked
    """  # noqa: S608 - text of this module only, here and below
)
_REFUSED = text(
    f"""
    SELECT c.sku, c.counted, s.held {_SHELVED}
    WHERE stocktake = :stocktake AND counted <> c.on_hand AND s.on_hand + counted - c.on_hand < s.held
    ORDER BY c.sku LIMIT :listed
    """
)
# The difference is booked, not the count: units that went out since the count have left the books as well.
_CORRECT = text(
    f"""
    INSERT INTO movements (kind, reference, sku, warehouse, quantity)
    SELECT 'stocktake', 'stocktake:' || :stocktake, c.sku, :warehouse, counted - c.on_hand {_SHELVED}
    WHERE stocktake = :stocktake AND counted <> c.on_hand AND s.on_hand + counted - c.on_hand >= s.held
    ORDER BY c.sku ON CONFLICT DO NOTHING
    """
)
_SUMS = text(
    """
    SELECT (SELECT count(*) FROM stocktake_counts WHERE stocktake = :stocktake) AS counted,
           (SELECT count(*) FROM stock s WHERE warehouse = :warehouse AND on_hand > 0 AND NOT EXISTS (
                SELECT 1 FROM stocktake_counts c WHERE c.stocktake = :stocktake AND c.sku = s.sku)) AS uncounted,
           count(*) AS corrected, coalesce(sum(quantity), 0) AS units, coalesce(sum(abs(quantity)), 0) AS moved
    FROM movements WHERE kind = 'stocktake' AND reference = 'stocktake:' || :stocktake AND warehouse = :warehouse
    """
)


class LeaseLostError(Exception):
    """The warehouse is closed for another stocktake."""


class Sheet(Enum):
    """What became of counts that were sent."""

    WRITTEN = "written"
    NOT_COUNTED = "not_counted"
    """The warehouse is not being counted."""
    UNKNOWN_SKU = "unknown_sku"


class CountingStore:
    """Stocktakes of single warehouses.

    That a warehouse is not counted twice at a time is the workflow id's doing. What is left of one that was terminated
    cannot interfere: the closure names the stocktake that it is for, and nothing is booked for any other.
    """

    def __init__(self, engine: AsyncEngine, metrics: InventoryMetrics) -> None:
        """Use a database whose schema is up to date, and count what changes in it."""
        self._engine = engine
        self._metrics = metrics

    async def close(self, job: Stocktake) -> Counted | None:
        """Close a warehouse to new reservations.

        Returns:
            None, or the result if the stocktake is over already; then the warehouse is left as it is.
        """
        async with self._engine.begin() as connection:
            row = upsert(stocktakes).values(stocktake=job.key, round_id=job.round_id, warehouse=job.warehouse)
            await connection.execute(row.on_conflict_do_nothing())
            found = await _locked(connection, job)
            if found.result is not None:
                return _COUNTED.validate_python(found.result)
            await connection.execute(_CLOSE, _names(job))
            return None

    async def prolong(self, job: Stocktake) -> bool:
        """Keep a warehouse closed for another while.

        Returns:
            Whether its sheet is complete.

        Raises:
            LeaseLostError: If it is closed for another stocktake by now.
        """
        async with self._engine.begin() as connection:
            if (await connection.execute(_PROLONG, _names(job))).rowcount == 0:
                raise LeaseLostError(f"{job.warehouse} is not closed for {job.key} any more")
            complete: bool = (await _locked(connection, job)).complete
            return complete

    async def count_by_books(self, job: Stocktake) -> None:
        """Take what the books say for counted."""
        async with self._engine.begin() as connection:
            await _locked(connection, job)
            await connection.execute(_COUNT_BY_BOOKS, _names(job))
            await connection.execute(update(stocktakes).where(stocktakes.c.stocktake == job.key).values(complete=True))

    async def write(self, warehouse: str, counts: Mapping[str, int], *, complete: bool) -> tuple[Sheet, str]:
        """Write counts on the sheet of the stocktake that is under way. A SKU's last count stands.

        Args:
            warehouse: That was counted.
            counts: Units by SKU.
            complete: Whether this is all.

        Returns:
            What became of them, and with it the stocktake's key, or the first SKU that is not known.
        """
        async with self._engine.begin() as connection:
            key: str | None = (await connection.execute(_CLOSED_FOR, {"warehouse": warehouse})).scalar_one_or_none()
            if key is None:
                return Sheet.NOT_COUNTED, ""
            query = select(stocktakes).where(stocktakes.c.stocktake == key).with_for_update()
            if (await connection.execute(query)).one().result is not None:
                return Sheet.NOT_COUNTED, ""
            values = {"stocktake": key, "warehouse": warehouse, "skus": list(counts), "counts": list(counts.values())}
            unknown: str | None = (await connection.execute(_UNKNOWN, values)).scalar_one()
            if unknown is not None:
                return Sheet.UNKNOWN_SKU, unknown
            await connection.execute(_WRITE_COUNTS, values)
            if complete:
                await connection.execute(update(stocktakes).where(stocktakes.c.stocktake == key).values(complete=True))
            return Sheet.WRITTEN, key

    async def correct(self, job: Stocktake) -> Counted:
        """Book the differences that were counted, once: a repeat gets the first answer.

        Raises:
            LeaseLostError: If the warehouse is closed for another stocktake by now.
        """
        async with self._engine.begin() as connection:
            found = await _locked(connection, job)
            if found.result is not None:
                return _COUNTED.validate_python(found.result)
            mine = text("SELECT 1 FROM closures WHERE warehouse = :warehouse AND stocktake = :stocktake FOR UPDATE")
            names = _names(job)
            if (await connection.execute(mine, names)).first() is None:
                raise LeaseLostError(f"{job.warehouse} is not closed for {job.key} any more")
            for step in (_SHELVES, _LOCK_SHELVES):
                await connection.execute(step, names)
            refused = await connection.execute(_REFUSED, {**names, "listed": LISTED})
            refusals = tuple(RefusedCount(row.sku, row.counted, row.held) for row in refused)
            await connection.execute(_CORRECT, names)
            sums = (await connection.execute(_SUMS, names)).one()
            result = Counted(
                job.warehouse,
                job.key,
                CountStatus.COUNTED if found.complete else CountStatus.INCOMPLETE,
                counted=sums.counted,
                corrected=sums.corrected,
                units=int(sums.units),
                uncounted=sums.uncounted,
                refused=refusals,
            )
            await _end(connection, job, result)
        self._metrics.moved(STOCKTAKE, int(sums.moved))
        return result

    async def reopen(self, job: Stocktake, result: Counted) -> Counted:
        """Open a warehouse again, if it is closed for this stocktake.

        Args:
            job: The stocktake.
            result: Kept, unless there is one: that of a stocktake that was left before it was over.

        Returns:
            The result that is kept.
        """
        async with self._engine.begin() as connection:
            row = upsert(stocktakes).values(stocktake=job.key, round_id=job.round_id, warehouse=job.warehouse)
            await connection.execute(row.on_conflict_do_nothing())
            found = await _locked(connection, job)
            await connection.execute(_REOPEN, _names(job))
            if found.result is not None:
                return _COUNTED.validate_python(found.result)
            return await _end(connection, job, replace(result, key=job.key))


def _names(job: Stocktake) -> dict[str, object]:
    return {"warehouse": job.warehouse, "stocktake": job.key, "lease": job.lease_seconds}


async def _locked(connection: AsyncConnection, job: Stocktake) -> "Row[tuple[object, ...]]":
    query = select(stocktakes).where(stocktakes.c.stocktake == job.key).with_for_update()
    return (await connection.execute(query)).one()


async def _end(connection: AsyncConnection, job: Stocktake, result: Counted) -> Counted:
    await connection.execute(
        update(stocktakes)
        .where(stocktakes.c.stocktake == job.key)
        .values(result=asdict(result), finished_at=func.clock_timestamp())
    )
    return result
