"""Files on their way in: rows that are nothing yet, until the file is whole and becomes an import."""

import uuid
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import RowMapping, delete, func, insert, select
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncEngine

from orchestrator.import_contract import ImportStatus
from orchestrator.import_store import FORGET, MALFORMED, WAITING
from orchestrator.metrics import OrchestratorMetrics
from orchestrator.tables import import_rows, import_uploads, imports


class UploadStore:
    """Where a method is not one transaction, it can be called again."""

    def __init__(self, engine: AsyncEngine, metrics: OrchestratorMetrics) -> None:
        """Use an engine, and count the rows that cannot be read in the metrics."""
        self._engine = engine
        self._metrics = metrics

    async def begin_upload(self) -> uuid.UUID:
        """A place for the rows of a file, which is nothing yet."""
        upload_id = uuid.uuid4()
        async with self._engine.begin() as connection:
            await connection.execute(insert(import_uploads).values(upload_id=upload_id))
        return upload_id

    async def stage(self, upload_id: uuid.UUID, rows: Sequence[dict[str, Any]]) -> None:
        """Write some rows of an upload: ``line``, ``order_id``, ``request``, ``digest``, ``detail``."""
        async with self._engine.begin() as connection:
            await connection.execute(
                insert(import_rows),
                [
                    {**row, "upload_id": upload_id, "state": WAITING if row["detail"] is None else MALFORMED}
                    for row in rows
                ],
            )

    async def discard(self, upload_id: uuid.UUID) -> None:
        """Forget an upload that did not become an import; in batches, as a statement has only so much time."""
        here = import_rows.c.upload_id == upload_id
        some = select(import_rows.c.line).where(here).limit(FORGET)
        forgotten = FORGET
        while forgotten == FORGET:
            async with self._engine.begin() as connection:
                statement = delete(import_rows).where(here, import_rows.c.line.in_(some))
                forgotten = (await connection.execute(statement)).rowcount
        async with self._engine.begin() as connection:
            await connection.execute(delete(import_uploads).where(import_uploads.c.upload_id == upload_id))

    async def discard_abandoned(self, older_than: timedelta) -> int:
        """Forget the uploads that broke off with the process that took them.

        Returns:
            How many there were.
        """
        old = import_uploads.c.begun_at < func.now() - older_than
        unused = import_uploads.c.upload_id.not_in(select(imports.c.upload_id))
        async with self._engine.connect() as connection:
            found = await connection.execute(select(import_uploads.c.upload_id).where(old, unused))
            abandoned = found.scalars().all()
        for upload_id in abandoned:
            await self.discard(upload_id)
        return len(abandoned)

    async def accept(self, import_id: str, upload_id: uuid.UUID, digest: str, window: int) -> tuple[RowMapping, bool]:
        """Make an import of a whole upload, or find the one that stands under its id.

        Returns:
            The import's row, and whether it is new. If not, the upload is forgotten, and the digest is for the caller
            to compare.
        """
        rows = select(func.count()).select_from(import_rows).where(import_rows.c.upload_id == upload_id)
        statement = (
            upsert(imports)
            .values(
                import_id=import_id,
                upload_id=upload_id,
                digest=digest,
                rows=rows.scalar_subquery(),
                window=window,
                status=ImportStatus.ACCEPTED,
                sequence=0,
            )
            .on_conflict_do_nothing(index_elements=["import_id"])
            .returning(imports)
        )
        async with self._engine.begin() as connection:
            row = (await connection.execute(statement)).mappings().one_or_none()
            if row is not None:
                bad = import_rows.c.upload_id == upload_id, import_rows.c.state == MALFORMED
                malformed = (await connection.execute(select(func.count()).where(*bad))).scalar_one()
        if row is not None:
            self._metrics.imported("malformed", malformed)
            return row, True
        async with self._engine.connect() as connection:
            found = await connection.execute(select(imports).where(imports.c.import_id == import_id))
            standing = found.mappings().one()
        await self.discard(upload_id)
        return standing, False
