"""What is known of imports: which there are, how far they are, what came of them."""

import uuid
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping, func, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from chassis.progress import Progress
from inventory.jobs import Begun, FailedPartition, ImportResult, Portions
from inventory.staging import Staged
from inventory.tables import import_partitions, import_rejections, imports

LISTED = 100
"""Most failed partitions that a result lists."""
PREPARE_SECONDS = 240
"""How long the statement over a whole list may run: seconds for a million rows."""

# A list may say two things about one SKU. Its last line counts, and the lines that it contradicts are rejected. What is
# left agrees with itself, so that partitions may be applied in any order.
_CONTRADICTIONS = text(
    """
    UPDATE import_rows r SET fault = said.fault FROM (
        SELECT line, CASE
            WHEN line <> here THEN format('line %s says it again: the last line of a SKU and warehouse counts', here)
            WHEN weight <> its_weight THEN format('weight is %s, but %s in line %s', weight, its_weight, its_line)
            WHEN price <> its_price THEN format('price is %s, but %s in line %s', price, its_price, its_price_line)
        END AS fault
        FROM (
            SELECT line, weight, price, last_value(line) OVER shelf AS here,
                   last_value(weight) OVER product AS its_weight, last_value(line) OVER product AS its_line,
                   last_value(price) OVER priced AS its_price, last_value(line) OVER priced AS its_price_line
            FROM import_rows WHERE upload = :upload AND fault IS NULL
            WINDOW
                shelf AS (PARTITION BY sku, warehouse ORDER BY line
                          ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING),
                product AS (PARTITION BY sku ORDER BY line ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING),
                priced AS (PARTITION BY sku, currency ORDER BY line
                           ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)
        ) list
    ) said
    WHERE r.upload = :upload AND r.line = said.line AND said.fault IS NOT NULL
    """
)
_DIVIDE = text(
    """
    INSERT INTO import_partitions (import_id, number, first_line, last_line, done_line)
    SELECT :import_id, n, n * :size + 1, least((n + 1) * :size, :last_line), n * :size
    FROM generate_series(0, (:last_line - 1) / :size) n
    WHERE NOT EXISTS (SELECT 1 FROM import_partitions WHERE import_id = :import_id)
    """
)


class ImportStore:
    """Imports, in PostgreSQL."""

    def __init__(self, engine: AsyncEngine) -> None:
        """Use a database whose schema is up to date."""
        self._engine = engine

    async def accept(self, import_id: str, staged: Staged) -> RowMapping:
        """Make an import of a list, unless there is one of its id.

        Returns:
            The import's row: of this list, or of the one that came first.
        """
        async with self._engine.begin() as connection:
            row = upsert(imports).values(
                import_id=import_id,
                digest=staged.digest,
                upload=staged.upload,
                rows=staged.rows,
                last_line=staged.last_line,
            )
            made = await connection.execute(row.on_conflict_do_nothing().returning(imports.c.import_id))
            if made.first() is not None:
                mine = {"upload": staged.upload}
                await connection.execute(text("DELETE FROM import_uploads WHERE upload = :upload"), mine)
            return await _row(connection, import_id)

    async def find(self, import_id: str) -> RowMapping | None:
        """An import's row."""
        async with self._engine.connect() as connection:
            query = select(imports).where(imports.c.import_id == import_id)
            return (await connection.execute(query)).mappings().first()

    async def unstarted(self, limit: int) -> Sequence[str]:
        """Ids of imports that no workflow works on yet, the oldest first."""
        query = select(imports.c.import_id).where(imports.c.started_at.is_(None))
        async with self._engine.connect() as connection:
            return (await connection.execute(query.order_by(imports.c.created_at).limit(limit))).scalars().all()

    async def mark_started(self, import_id: str) -> None:
        """Remember that the import's workflow was started."""
        async with self._engine.begin() as connection:
            await connection.execute(
                update(imports)
                .where(imports.c.import_id == import_id, imports.c.started_at.is_(None))
                .values(started_at=func.clock_timestamp())
            )

    async def withdraw(self, import_id: str) -> uuid.UUID | None:
        """Cancel an import that no workflow works on yet.

        Returns:
            The upload that nobody needs any more, or None if there is no such import.
        """
        async with self._engine.begin() as connection:
            now = func.clock_timestamp()
            withdrawn = await connection.execute(
                update(imports)
                .where(imports.c.import_id == import_id, imports.c.started_at.is_(None))
                .values(state="cancelled", started_at=now, finished_at=now)
                .returning(imports.c.upload)
            )
            upload: uuid.UUID | None = withdrawn.scalar_one_or_none()
            return upload

    async def prepare(self, import_id: str, portions: Portions) -> Begun | None:
        """Reject what contradicts itself, and divide the rest. A repeat changes nothing.

        Returns:
            What there is to do, or None if the import is over.

        Raises:
            LookupError: If there is no such import.
        """
        async with self._engine.begin() as connection:
            await connection.execute(text(f"SET LOCAL statement_timeout = '{PREPARE_SECONDS}s'"))
            row = await _row(connection, import_id, lock=True)
            if row["finished_at"] is not None:
                return None
            await connection.execute(text("SET LOCAL work_mem = '64MB'"))
            await connection.execute(_CONTRADICTIONS, {"upload": row["upload"]})
            size = {"import_id": import_id, "size": portions.partition_rows, "last_line": row["last_line"]}
            await connection.execute(_DIVIDE, size)
            started = (
                update(imports)
                .where(imports.c.import_id == import_id)
                .values(state="running", started_at=func.coalesce(imports.c.started_at, func.clock_timestamp()))
                .returning(imports.c.started_at)
            )
            started_at: datetime = (await connection.execute(started)).scalar_one()
            mine = import_partitions.c.import_id == import_id
            count = select(func.count()).select_from(import_partitions).where(mine)
            partitions = (await connection.execute(count)).scalar_one()
            return Begun(partitions, row["rows"], next=0, started_at=started_at.isoformat())

    async def note_failure(self, import_id: str, number: int, reason: str, attempts: int) -> None:
        """Remember that a partition cannot be finished."""
        async with self._engine.begin() as connection:
            await connection.execute(
                update(import_partitions)
                .where(import_partitions.c.import_id == import_id, import_partitions.c.number == number)
                .values(error=reason, attempts=attempts)
            )

    async def finish(self, import_id: str, state: str) -> ImportResult:
        """Remember what came of an import: once, a repeat changes nothing.

        Args:
            import_id: The import.
            state: ``completed``, ``cancelled`` or ``failed``.

        Raises:
            LookupError: If there is no such import.
        """
        async with self._engine.begin() as connection:
            row = await _row(connection, import_id, lock=True)
            mine = import_partitions.c.import_id == import_id
            sums = select(
                func.coalesce(func.sum(import_partitions.c.applied), 0).label("applied"),
                func.coalesce(func.sum(import_partitions.c.rejected), 0).label("rejected"),
                func.count(import_partitions.c.error).label("failed"),
            ).where(mine)
            total = (await connection.execute(sums)).one()
            broken = select(import_partitions).where(mine, import_partitions.c.error.is_not(None))
            failed = await connection.execute(broken.order_by(import_partitions.c.number).limit(LISTED))
            result = ImportResult(
                import_id,
                rows=row["rows"],
                applied=int(total.applied),
                rejected=int(total.rejected),
                skipped=row["rows"] - int(total.applied) - int(total.rejected),
                failed_partitions=tuple(
                    FailedPartition(each.number, each.done_line + 1, each.last_line, each.error, each.attempts)
                    for each in failed
                ),
                failed=total.failed,
            )
            await connection.execute(
                update(imports)
                .where(imports.c.import_id == import_id, imports.c.finished_at.is_(None))
                .values(state=state, result=asdict(result), finished_at=func.clock_timestamp())
            )
            return result

    async def clear(self, import_id: str, lines: int) -> bool:
        """Remove staged lines of an import that is over, some of them.

        Returns:
            Whether there may be more.
        """
        some = text(
            "DELETE FROM import_rows WHERE (upload, line) IN (SELECT r.upload, r.line FROM import_rows r"
            " JOIN imports i USING (upload) WHERE i.import_id = :import_id AND i.finished_at IS NOT NULL"
            " ORDER BY r.line LIMIT :lines)"
        )
        async with self._engine.begin() as connection:
            gone = await connection.execute(some, {"import_id": import_id, "lines": lines})
            return gone.rowcount == lines

    async def document(self, import_id: str) -> dict[str, Any] | None:
        """What ``GET /imports/{id}`` says, or None if there is no such import."""
        query = text(
            """
            SELECT i.state, i.rows, i.result, coalesce(i.started_at, i.created_at) AS started,
                   coalesce(i.finished_at, clock_timestamp()) AS now,
                   coalesce(sum(p.applied + p.rejected), 0) AS done, coalesce(sum(p.rejected), 0) AS failed
            FROM imports i LEFT JOIN import_partitions p USING (import_id)
            WHERE import_id = :import_id GROUP BY i.import_id
            """
        )
        async with self._engine.connect() as connection:
            row = (await connection.execute(query, {"import_id": import_id})).first()
        if row is None:
            return None
        done, failed = int(row.done), int(row.failed)
        progress = Progress.of(row.state, done=done, total=row.rows, failed=failed, started=row.started, now=row.now)
        return {
            "import_id": import_id,
            "kind": "catalogue",
            "status": row.state,
            "progress": asdict(progress),
            "result": row.result,
        }

    async def rejections(self, import_id: str, after: int, limit: int) -> list[dict[str, Any]]:
        """Rejected lines of an import, in their order."""
        query = (
            select(import_rejections.c.line, import_rejections.c.reason, import_rejections.c.attempts)
            .where(import_rejections.c.import_id == import_id, import_rejections.c.line > after)
            .order_by(import_rejections.c.line)
            .limit(limit)
        )
        async with self._engine.connect() as connection:
            return [dict(row) for row in (await connection.execute(query)).mappings()]


async def _row(connection: AsyncConnection, import_id: str, *, lock: bool = False) -> RowMapping:
    query = select(imports).where(imports.c.import_id == import_id)
    row = (await connection.execute(query.with_for_update() if lock else query)).mappings().first()
    if row is None:
        raise LookupError(f"there is no import {import_id}")
    return row
