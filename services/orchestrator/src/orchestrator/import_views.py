"""What people see of an import: how far it is, and which rows came to no good end."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, case, func, literal, or_, select
from sqlalchemy.ext.asyncio import AsyncEngine

from chassis.progress import Progress
from orchestrator.contract import FINISHED, Status
from orchestrator.import_contract import OVER, ImportStatus
from orchestrator.import_store import ATTEMPTS, DUPLICATE, LOST, MALFORMED, TAKEN, WAITING
from orchestrator.metrics import GOOD
from orchestrator.tables import import_rows, imports, orders

UNDER_WAY, NOT_STARTED = "under_way", "not_started"

_taken = import_rows.c.state == TAKEN
_joined = import_rows.outerjoin(orders, _taken & (orders.c.order_id == import_rows.c.order_id))
_outcome: ColumnElement[str] = case(
    (import_rows.c.state == WAITING, literal(NOT_STARTED)),
    (_taken & orders.c.status.in_(FINISHED), orders.c.status),
    (_taken, literal(UNDER_WAY)),
    else_=import_rows.c.state,
)


class ImportViews:
    """Reads. An order's end is looked up where it stands, so that it counts also when the import is over."""

    def __init__(self, engine: AsyncEngine) -> None:
        """Use an engine."""
        self._engine = engine

    async def outcomes(self, import_id: str) -> dict[str, int]:
        """How many rows came to which end."""
        counted = (
            select(_outcome.label("outcome"), func.count().label("rows"))
            .select_from(_joined)
            .where(_of(import_id))
            .group_by("outcome")
            .order_by("outcome")
        )
        async with self._engine.connect() as connection:
            return {row.outcome: row.rows for row in await connection.execute(counted)}

    async def document(self, row: RowMapping) -> dict[str, Any]:
        """An import as HTTP shows it."""
        outcomes = await self.outcomes(row["import_id"])
        done = sum(count for outcome, count in outcomes.items() if outcome not in (UNDER_WAY, NOT_STARTED))
        good = sum(outcomes.get(status, 0) for status in GOOD)
        over = row["status"] in OVER
        progress = Progress.of(
            row["status"],
            done=done,
            total=row["rows"],
            failed=done - good,
            started=row["started_at"] or row["created_at"],
            now=row["ended_at"] or datetime.now(UTC),
        )
        return {
            "import_id": row["import_id"],
            "kind": "orders",
            "status": ImportStatus(row["status"]),
            "rows": row["rows"],
            "window": row["window"],
            "progress": {name: getattr(progress, name) for name in Progress.__slots__},
            "result": {"outcomes": outcomes} if over else None,
        }

    async def rejections(self, import_id: str, after: int, limit: int) -> Sequence[dict[str, Any]]:
        """Rows that came to no good end, by line.

        Args:
            import_id: The import.
            after: Only lines behind this one.
            limit: Most rows.
        """
        bad = or_(
            import_rows.c.state.in_((MALFORMED, DUPLICATE, LOST)),
            _taken & orders.c.status.in_((Status.REJECTED, Status.CANCELLED, Status.FAILED)),
        )
        reason = func.coalesce(orders.c.reason, _outcome)
        detail = case(
            (import_rows.c.state == DUPLICATE, literal("An order of that id is there already.")),
            (import_rows.c.state == LOST, literal("The order's workflow was stopped from outside.")),
            (import_rows.c.state == MALFORMED, import_rows.c.detail),
            else_=orders.c.detail,
        )
        columns = select(
            import_rows.c.line,
            import_rows.c.order_id,
            reason.label("reason"),
            detail.label("detail"),
            literal(ATTEMPTS).label("attempts"),
        )
        wanted = (
            columns.select_from(_joined)
            .where(_of(import_id), bad, import_rows.c.line > after)
            .order_by(import_rows.c.line)
            .limit(limit)
        )
        async with self._engine.connect() as connection:
            return [dict(row) for row in (await connection.execute(wanted)).mappings()]


def _of(import_id: str) -> ColumnElement[bool]:
    return (
        import_rows.c.upload_id == select(imports.c.upload_id).where(imports.c.import_id == import_id).scalar_subquery()
    )
