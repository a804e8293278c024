"""What the lines of a list do to catalogue and stock: one transaction a chunk, with statements over all its lines.

Everybody locks in one order: the partition's row, then products by SKU, then stock by SKU and warehouse. Prices are
written under the lock of their product.
"""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import text
from sqlalchemy.exc import DataError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from inventory.jobs import Applied
from inventory.metrics import IMPORT, InventoryMetrics

_REASON = 300
"""Most characters kept of what the database says of a line."""

_LOCK = text(
    """
    SELECT p.first_line, p.last_line, p.done_line, p.applied, p.rejected, i.upload
    FROM import_partitions p JOIN imports i USING (import_id)
    WHERE import_id = :import_id AND number = :number FOR UPDATE OF p
    """
)
_ROWS = """
    SELECT line, sku, warehouse, weight, currency, price, quantity FROM import_rows
    WHERE upload = :upload AND line BETWEEN :first AND :last AND fault IS NULL
"""
# Rows that are there are locked and left as they are; only what no row says yet is written.
_PRODUCTS = text(
    f"""
    INSERT INTO products (sku, weight) SELECT DISTINCT ON (sku) sku, weight FROM ({_ROWS}) r ORDER BY sku
    ON CONFLICT (sku) DO UPDATE SET weight = excluded.weight WHERE FALSE
    """  # noqa: S608 - text of this module only, here and below
)
_SHELVES = text(
    f"""
    INSERT INTO stock (sku, warehouse) SELECT DISTINCT sku, warehouse FROM ({_ROWS}) r ORDER BY sku, warehouse
    ON CONFLICT DO NOTHING
    """  # noqa: S608
)
_LOCK_SHELVES = text(
    f"""
    SELECT count(*) FROM (
        SELECT 1 FROM ({_ROWS}) r JOIN stock s USING (sku, warehouse) ORDER BY sku, warehouse FOR UPDATE OF s
    ) locked
    """  # noqa: S608
)
_REJECT = text(
    f"""
    INSERT INTO import_rejections (import_id, line, reason, attempts)
    SELECT :import_id, line, reason, :attempt FROM (
        SELECT line, fault AS reason FROM import_rows
        WHERE upload = :upload AND line BETWEEN :first AND :last AND fault IS NOT NULL
        UNION ALL
        SELECT line, format('quantity is %s, less than the %s that are held for orders', quantity, held)
        FROM ({_ROWS}) r JOIN stock s USING (sku, warehouse) WHERE quantity < held
    ) bad
    """  # noqa: S608
)
_GOOD = f"""
    SELECT r.*, s.on_hand FROM ({_ROWS}) r JOIN stock s USING (sku, warehouse) WHERE quantity >= held
"""  # noqa: S608
_WEIGHTS = text(
    f"""
    UPDATE products p SET weight = g.weight FROM ({_GOOD}) g WHERE p.sku = g.sku AND p.weight <> g.weight
    """  # noqa: S608
)
_PRICES = text(
    f"""
    INSERT INTO prices (sku, currency, amount)
    SELECT DISTINCT ON (sku, currency) sku, currency, price FROM ({_GOOD}) g ORDER BY sku, currency
    ON CONFLICT (sku, currency) DO UPDATE SET amount = excluded.amount WHERE prices.amount <> excluded.amount
    """  # noqa: S608
)
# The key is the last line of defence; done_line, which moves in the same transaction, is the first.
_MOVEMENTS = text(
    f"""
    WITH moved AS (
        INSERT INTO movements (kind, reference, sku, warehouse, quantity)
        SELECT 'import', 'import:' || :import_id || ':' || line, sku, warehouse, quantity - on_hand
        FROM ({_GOOD}) g WHERE quantity <> on_hand ORDER BY sku, warehouse
        ON CONFLICT DO NOTHING RETURNING quantity
    )
    SELECT coalesce(sum(abs(quantity)), 0) FROM moved
    """  # noqa: S608
)
_COUNT = text("SELECT count(*) FROM import_rows WHERE upload = :upload AND line BETWEEN :first AND :last")
_MOVE_ON = text(
    """
    UPDATE import_partitions SET done_line = :last, applied = applied + :applied, rejected = rejected + :rejected
    WHERE import_id = :import_id AND number = :number
    """
)
_REJECT_ONE = text(
    """
    INSERT INTO import_rejections (import_id, line, reason, attempts)
    SELECT :import_id, line, :reason, :attempt FROM import_rows WHERE upload = :upload AND line = :first
    """
)


class UnknownPartitionError(Exception):
    """There is no such partition; trying again will not make one."""


class Applier:
    """Applies lists that stand in the staging table."""

    def __init__(self, engine: AsyncEngine, metrics: InventoryMetrics) -> None:
        """Use a database whose schema is up to date, and count what changes in it."""
        self._engine = engine
        self._metrics = metrics

    async def chunk(self, import_id: str, number: int, lines: int, attempt: int) -> Applied:
        """Apply the next lines of a partition, once.

        The partition's row is locked and says where they begin: two attempts at the same moment, one of which its
        server gave up, follow each other and do nothing twice.

        Args:
            import_id: The import.
            number: Of its partition.
            lines: Most lines.
            attempt: Kept with the lines that are rejected.

        Returns:
            How far the partition is.

        Raises:
            UnknownPartitionError: If there is no such partition.
        """
        try:
            return await self._once(import_id, number, lines, attempt)
        except (DataError, IntegrityError) as error:
            # Something about one of the lines that nobody foresaw. The halves tell which; the others go through.
            if lines > 1:
                return await self.chunk(import_id, number, (lines + 1) // 2, attempt)
            return await self._reject(import_id, number, attempt, str(error.orig or error))

    async def _once(self, import_id: str, number: int, lines: int, attempt: int) -> Applied:
        async with self._engine.begin() as connection:
            partition = await _lock(connection, import_id, number)
            if partition["done_line"] >= partition["last_line"]:
                return _applied(partition, partition["done_line"])
            window = _window(partition, import_id, number, lines, attempt)
            for step in (_PRODUCTS, _SHELVES, _LOCK_SHELVES):
                await connection.execute(step, window)
            rejected = (await connection.execute(_REJECT, window)).rowcount
            for step in (_WEIGHTS, _PRICES):
                await connection.execute(step, window)
            units = int((await connection.execute(_MOVEMENTS, window)).scalar_one())
            applied = (await connection.execute(_COUNT, window)).scalar_one() - rejected
            done = await _move_on(connection, partition, window, applied, rejected)
        self._metrics.imported(applied, rejected)
        self._metrics.moved(IMPORT, units)
        return done

    async def _reject(self, import_id: str, number: int, attempt: int, said: str) -> Applied:
        async with self._engine.begin() as connection:
            partition = await _lock(connection, import_id, number)
            window = _window(partition, import_id, number, 1, attempt)
            reason = f"the database refuses it: {' '.join(said.split())[:_REASON]}"
            rejected = (await connection.execute(_REJECT_ONE, {**window, "reason": reason})).rowcount
            done = await _move_on(connection, partition, window, 0, rejected)
        self._metrics.imported(0, rejected)
        return done


async def _lock(connection: AsyncConnection, import_id: str, number: int) -> Mapping[str, Any]:
    # Looked up by key, whatever the statistics of tables that grow by the minute make of it: a plan that reads a whole
    # table for each chunk would make the time grow with the square of the rows.
    await connection.execute(text("SET LOCAL enable_seqscan = off"))
    await connection.execute(text("SET LOCAL enable_hashjoin = off"))
    await connection.execute(text("SET LOCAL enable_mergejoin = off"))
    found = (await connection.execute(_LOCK, {"import_id": import_id, "number": number})).mappings().first()
    if found is None:
        raise UnknownPartitionError(f"import {import_id} has no partition {number}")
    return dict(found)


def _window(partition: Mapping[str, Any], import_id: str, number: int, lines: int, attempt: int) -> dict[str, Any]:
    first = partition["done_line"] + 1
    return {
        "import_id": import_id,
        "number": number,
        "attempt": attempt,
        "upload": partition["upload"],
        "first": first,
        "last": min(first + lines - 1, partition["last_line"]),
    }


async def _move_on(
    connection: AsyncConnection, partition: Mapping[str, Any], window: dict[str, Any], applied: int, rejected: int
) -> Applied:
    await connection.execute(_MOVE_ON, {**window, "applied": applied, "rejected": rejected})
    applied, rejected = partition["applied"] + applied, partition["rejected"] + rejected
    return _applied({**partition, "applied": applied, "rejected": rejected}, window["last"])


def _applied(partition: Mapping[str, Any], line: int) -> Applied:
    return Applied(line, partition["applied"], partition["rejected"], finished=line >= partition["last_line"])
