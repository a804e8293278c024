"""Imports and their rows: taken once each, and looked up in the orders table."""

import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import RowMapping, bindparam, func, insert, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from orchestrator.contract import FINISHED, Status
from orchestrator.import_contract import OVER, ImportStatus
from orchestrator.metrics import IMPORT, OrchestratorMetrics
from orchestrator.statements import begun
from orchestrator.tables import import_rows, imports, orders, steps

ROW_NAMESPACE = uuid.UUID("b4a7d6de-3b0b-4f6f-9c55-5f6f6b1f0b7e")
"""Under which a row of a file becomes an order id. Never change it: the same file again must find its orders."""

SCAN = 200
"""Most rows that one call looks at."""
FORGET = 10_000
"""Rows that are forgotten in one transaction."""
MAX_BYTES = 1_000_000
"""Most bytes of orders that one call answers with: a payload has at most 2 MiB."""

WAITING, MALFORMED, DUPLICATE, TAKEN, LOST = "waiting", "malformed", "duplicate", "taken", "lost"
"""States of a row. What becomes of a taken one is its order's state; lost is one whose workflow was stopped."""

ATTEMPTS = 1
"""No row is tried twice: what is refused stays refused, and what is repeated is repeated within its order."""


class UnknownImport(LookupError):  # noqa: N818 - it names a state
    """There is no such import."""


@dataclass(frozen=True, slots=True)
class TakenRows:
    """What there is to start.

    Attributes:
        orders: Inputs of workflows that are not known to be started.
        running: Ids of orders that are started already: the rows were taken before.
        last_line: Where to go on.
        done: Rows that came to their end by this, all of them refused.
        exhausted: Whether there are no more.
    """

    last_line: int
    exhausted: bool
    done: int = 0
    orders: list[dict[str, Any]] = field(default_factory=list)
    running: list[str] = field(default_factory=list)


class ImportStore:
    """Where a method is not one transaction, it can be called again."""

    def __init__(self, engine: AsyncEngine, metrics: OrchestratorMetrics) -> None:
        """Use an engine, and count what changes in the metrics."""
        self._engine = engine
        self._metrics = metrics

    async def get(self, import_id: str) -> RowMapping | None:
        """An import's row, or None."""
        async with self._engine.connect() as connection:
            found = await connection.execute(select(imports).where(imports.c.import_id == import_id))
            return found.mappings().one_or_none()

    async def open(self, *, started: bool, limit: int) -> Sequence[RowMapping]:
        """Imports that are not over, oldest first.

        Args:
            started: Those whose workflow is known to be started, or the others.
            limit: Most rows.
        """
        wanted = imports.c.started_at.is_not(None) if started else imports.c.started_at.is_(None)
        async with self._engine.connect() as connection:
            found = await connection.execute(
                select(imports).where(imports.c.ended_at.is_(None), wanted).order_by(imports.c.created_at).limit(limit)
            )
            return found.mappings().all()

    async def mark_started(self, import_id: str) -> None:
        """Note that the import's workflow is started."""
        async with self._engine.begin() as connection:
            await connection.execute(
                update(imports)
                .where(imports.c.import_id == import_id)
                .values(started_at=func.coalesce(imports.c.started_at, func.now()))
            )

    async def note(self, import_id: str, status: ImportStatus, sequence: int) -> None:
        """Write where an import is, unless something newer stands or it is over.

        At the end what was not handed out is forgotten: it holds personal data.
        """
        over = status in OVER
        if over:
            # First, so that whoever tries this again finds what is left of it.
            await self._forget(import_id)
        values: dict[str, Any] = {"status": status, "sequence": sequence}
        if over:
            values["ended_at"] = func.now()
        async with self._engine.begin() as connection:
            await connection.execute(
                update(imports)
                .where(imports.c.import_id == import_id)
                .where(imports.c.ended_at.is_(None), imports.c.sequence < sequence)
                .values(values)
            )

    async def _forget(self, import_id: str) -> None:
        """In batches: a statement has only so much time."""
        upload = select(imports.c.upload_id).where(imports.c.import_id == import_id).scalar_subquery()
        here = import_rows.c.upload_id == upload
        some = select(import_rows.c.line).where(here, import_rows.c.request.is_not(None)).limit(FORGET)
        forgotten = FORGET
        while forgotten == FORGET:
            async with self._engine.begin() as connection:
                statement = update(import_rows).where(here, import_rows.c.line.in_(some)).values(request=None)
                forgotten = (await connection.execute(statement)).rowcount

    async def take(self, import_id: str, after: int, limit: int) -> TakenRows:
        """Accept the next rows as orders. The same call again gives the same orders again.

        Args:
            import_id: The import.
            after: The line after which to look.
            limit: Most orders.

        Raises:
            UnknownImport: If there is none of that id.
        """
        async with self._engine.begin() as connection:
            found = select(imports.c.upload_id, imports.c.digest).where(imports.c.import_id == import_id)
            imported = (await connection.execute(found)).one_or_none()
            if imported is None:
                raise UnknownImport(import_id)
            upload_id, digest = imported
            here = import_rows.c.upload_id == upload_id
            scan = await connection.execute(
                select(import_rows)
                .where(here, import_rows.c.line > after)
                .order_by(import_rows.c.line)
                .limit(SCAN)
                .with_for_update()
            )
            scanned = scan.mappings().all()
            ids = {
                row["line"]: row["order_id"] or str(uuid.uuid5(ROW_NAMESPACE, f"{digest}:{row['line']}"))
                for row in scanned
            }
            waiting = [ids[row["line"]] for row in scanned if row["state"] == WAITING]
            known = select(orders.c.order_id).where(orders.c.order_id.in_(waiting))
            choice = _choose(scanned, ids, set((await connection.execute(known)).scalars()), limit)
            accepted = await _accept(connection, import_id, choice.new)
            # Somebody may have placed an order of that id between the look and the write.
            late = {row["line"] for row in choice.new if row["order_id"] not in accepted}
            changes = [
                *(
                    {"at": row["line"], "state": TAKEN, "order_id": row["order_id"]}
                    for row in choice.new
                    if row["line"] not in late
                ),
                *({"at": line, "state": DUPLICATE, "order_id": ids[line]} for line in (*choice.duplicates, *late)),
            ]
            if changes:
                change = update(import_rows).where(here, import_rows.c.line == bindparam("at"))
                await connection.execute(change.values(request=None), changes)
            taken = [*accepted, *choice.again]
            found = select(orders.c.order_id, orders.c.request, orders.c.started_at).where(orders.c.order_id.in_(taken))
            standing = {row.order_id: row for row in await connection.execute(found)}
        self._metrics.accepted(IMPORT, len(accepted))
        self._metrics.imported("duplicate", len(choice.duplicates) + len(late))
        to_start = [order_id for order_id in taken if standing[order_id].started_at is None]
        return TakenRows(
            last_line=choice.last_line if choice.last_line is not None else after,
            exhausted=choice.looked == len(scanned) < SCAN,
            done=choice.looked - len(taken),
            orders=[standing[order_id].request for order_id in to_start],
            running=[order_id for order_id in taken if order_id not in to_start],
        )

    async def look(self, import_id: str, order_ids: Sequence[str]) -> dict[str, Status]:
        """Which orders have ended, and how. All are noted as started, and their inputs forgotten.

        Args:
            import_id: The import.
            order_ids: Of workflows that are known to be started.
        """
        ours = orders.c.import_id == import_id, orders.c.order_id.in_(order_ids)
        async with self._engine.begin() as connection:
            await connection.execute(update(orders).where(*ours, orders.c.started_at.is_(None)).values(begun()))
            ended = select(orders.c.order_id, orders.c.status).where(*ours, orders.c.status.in_(FINISHED))
            return {row.order_id: Status(row.status) for row in await connection.execute(ended)}

    async def lose(self, import_id: str, order_ids: Sequence[str]) -> None:
        """Note that the workflows of some orders were stopped from outside: no row will say how they ended."""
        upload = select(imports.c.upload_id).where(imports.c.import_id == import_id).scalar_subquery()
        async with self._engine.begin() as connection:
            lost = await connection.execute(
                update(import_rows)
                .where(import_rows.c.upload_id == upload, import_rows.c.state == TAKEN)
                .where(import_rows.c.order_id.in_(order_ids))
                .values(state=LOST)
            )
        self._metrics.imported("lost", lost.rowcount)


@dataclass(slots=True)
class _Choice:
    """What is to become of the rows that were looked at."""

    last_line: int | None = None
    looked: int = 0
    new: list[dict[str, Any]] = field(default_factory=list)
    again: list[str] = field(default_factory=list)
    duplicates: list[int] = field(default_factory=list)


def _choose(scanned: Sequence[RowMapping], ids: dict[int, str], known: set[str], limit: int) -> _Choice:
    choice, size = _Choice(), 0
    for row in scanned:
        if len(choice.new) + len(choice.again) == limit or size > MAX_BYTES:
            break
        order_id = ids[row["line"]]
        if row["state"] == TAKEN:
            choice.again.append(order_id)
            size += MAX_BYTES // limit  # what it holds is not known here
        elif row["state"] == WAITING and order_id in known:
            choice.duplicates.append(row["line"])
        elif row["state"] == WAITING:
            known.add(order_id)
            choice.new.append({**row, "order_id": order_id, "request": {**row["request"], "order_id": order_id}})
            size += len(json.dumps(row["request"]))
        choice.looked += 1
        choice.last_line = row["line"]
    return choice


async def _accept(connection: AsyncConnection, import_id: str, rows: Sequence[dict[str, Any]]) -> list[str]:
    """Write orders, as the intake does.

    Returns:
        The ids of those that were not there.
    """
    if not rows:
        return []
    values = [
        {
            "order_id": row["order_id"],
            "digest": row["digest"],
            "request": row["request"],
            "lines": [[line["sku"], line["quantity"]] for line in row["request"]["lines"]],
            "units": sum(line["quantity"] for line in row["request"]["lines"]),
            "currency": row["request"]["currency"],
            "status": Status.ACCEPTED,
            "sequence": 0,
            "delivery_sequence": 0,
            "notified": False,
            "import_id": import_id,
        }
        for row in rows
    ]
    statement = upsert(orders).values(values).on_conflict_do_nothing().returning(orders.c.order_id, orders.c.created_at)
    written = {row.order_id: row.created_at for row in await connection.execute(statement)}
    if written:
        await connection.execute(
            insert(steps),
            [
                {"order_id": order_id, "sequence": 0, "status": Status.ACCEPTED, "at": at}
                for order_id, at in written.items()
            ],
        )
    return [row["order_id"] for row in rows if row["order_id"] in written]
