"""From the bytes of a supplier's list to rows of the staging table, without ever holding the list in memory."""

import hashlib
import uuid
from collections.abc import AsyncIterable, AsyncIterator
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING, cast

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from inventory.parsing import BadRowError, NotAListError, Read, csv_reader, json_reader
from inventory.settings import Settings

if TYPE_CHECKING:
    from psycopg import AsyncConnection

BATCH = 5_000
"""Lines that are written in one transaction."""
MAX_LINE = 10_000
"""Most bytes of a line."""
ABANDONED = "1 hour"
"""An upload that has written nothing for so long was broken off with its process."""

DISCARDED = 50_000
"""Rows that are removed in one transaction."""

_DISCARD = text(
    """
    DELETE FROM import_rows WHERE upload = :upload AND line IN (
        SELECT line FROM import_rows WHERE upload = :upload ORDER BY line LIMIT :lines)
    """
)
_COPY = "COPY import_rows (upload, line, sku, weight, currency, price, warehouse, quantity, fault) FROM STDIN"
_NOTHING = (None,) * 6

Lines = list[tuple[object, ...]]


@dataclass(frozen=True, slots=True)
class Staged:
    """A list that stands in the staging table, or that was only read."""

    upload: uuid.UUID
    digest: str
    """SHA-256 over the bytes as they came."""
    rows: int
    last_line: int


class Staging:
    """The staging table."""

    def __init__(self, engine: AsyncEngine, settings: Settings) -> None:
        """Take what lists are measured by.

        Args:
            engine: Of a database whose schema is up to date.
            settings: In which currencies goods are sold, and how long a list may be.
        """
        self._engine = engine
        self._currencies = frozenset(settings.currencies)
        self._max_rows = settings.import_max_rows

    async def stage(self, body: AsyncIterable[bytes], *, is_csv: bool) -> Staged:
        """Write a list into the staging table, batch by batch.

        Args:
            body: The bytes, in pieces.
            is_csv: CSV with a header, or else JSON Lines.

        Raises:
            NotAListError: If it is no list of goods; nothing of it is left.
        """
        upload = uuid.uuid4()
        await self._sweep()
        await self._touch(upload)
        try:
            return await self._write(upload, body, is_csv=is_csv)
        except BaseException:
            # Also where the client went away: aiohttp cancels, or its stream raises. A process that dies here leaves
            # rows that the next upload sweeps away.
            await self.discard(upload)
            raise

    async def discard(self, upload: uuid.UUID) -> None:
        """Remove an upload and its rows, some at a time: they may be millions."""
        mine = {"upload": upload, "lines": DISCARDED}
        while True:
            async with self._engine.begin() as connection:
                if (await connection.execute(_DISCARD, mine)).rowcount == DISCARDED:
                    continue
                await connection.execute(text("DELETE FROM import_uploads WHERE upload = :upload"), mine)
                return

    async def _write(self, upload: uuid.UUID, body: AsyncIterable[bytes], *, is_csv: bool) -> Staged:
        digest = hashlib.sha256()
        read: Read | None = None if is_csv else json_reader(self._currencies)
        rows = number = 0
        batch: Lines = []
        async for number, line in _numbered(body, digest):
            if read is None:
                read = csv_reader(line, self._currencies)
                continue
            if not line.strip():
                continue
            rows += 1
            if rows > self._max_rows:
                raise NotAListError(f"line {number}: more than {self._max_rows} rows")
            try:
                batch.append((upload, number, *astuple(read(line)), None))
            except BadRowError as error:
                batch.append((upload, number, *_NOTHING, str(error)))
            if len(batch) == BATCH:
                await self._copy(upload, batch)
                batch = []
        if not rows:
            raise NotAListError("the list is empty: it has no rows")
        await self._copy(upload, batch)
        return Staged(upload, digest.hexdigest(), rows, number)

    async def _copy(self, upload: uuid.UUID, batch: Lines) -> None:
        async with self._engine.begin() as connection:
            raw = await connection.get_raw_connection()
            driver = cast("AsyncConnection[object]", raw.driver_connection)
            async with driver.cursor() as cursor, cursor.copy(_COPY) as copy:
                for line in batch:
                    await copy.write_row(line)
            touch = "UPDATE import_uploads SET touched_at = clock_timestamp() WHERE upload = :upload"
            await connection.execute(text(touch), {"upload": upload})

    async def _touch(self, upload: uuid.UUID) -> None:
        async with self._engine.begin() as connection:
            await connection.execute(text("INSERT INTO import_uploads (upload) VALUES (:upload)"), {"upload": upload})

    async def _sweep(self) -> None:
        """Remove what broken uploads left, one of them a call."""
        found = text(
            f"SELECT upload FROM import_uploads WHERE touched_at < clock_timestamp() - interval '{ABANDONED}'"  # noqa: S608
            " ORDER BY touched_at LIMIT 1"
        )
        async with self._engine.connect() as connection:
            upload = (await connection.execute(found)).scalar_one_or_none()
        if upload is not None:
            await self.discard(upload)


async def _numbered(body: AsyncIterable[bytes], digest: "hashlib._Hash") -> AsyncIterator[tuple[int, str]]:
    """Lines with their numbers, from 1.

    Raises:
        NotAListError: If a line is too long, or no text.
    """
    rest = b""
    number = 0
    async for piece in body:
        digest.update(piece)
        *whole, rest = (rest + piece).split(b"\n")
        for line in whole:
            number += 1
            yield number, _decoded(number, line)
        if len(rest) > MAX_LINE:
            raise NotAListError(f"line {number + 1}: longer than {MAX_LINE} bytes")
    if rest:
        yield number + 1, _decoded(number + 1, rest)


def _decoded(number: int, line: bytes) -> str:
    if len(line) > MAX_LINE:
        raise NotAListError(f"line {number}: longer than {MAX_LINE} bytes")
    try:
        found = line.decode().removesuffix("\r")
    except UnicodeDecodeError as error:
        raise NotAListError(f"line {number}: no text in UTF-8") from error
    if "\0" in found:
        raise NotAListError(f"line {number}: no text: it contains a zero byte")
    return found
