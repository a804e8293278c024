"""Rounds of stocktakes in PostgreSQL: which there are, and what came of them."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import RowMapping, func, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncEngine

from inventory.jobs import Round, RoundResult
from inventory.tables import stock, stocktake_rounds

_ROUND = TypeAdapter(Round)


class RoundStore:
    """Rounds of stocktakes."""

    def __init__(self, engine: AsyncEngine) -> None:
        """Use a database whose schema is up to date."""
        self._engine = engine

    async def accept(self, job: Round) -> RowMapping:
        """Make a round, unless there is one of its id.

        Returns:
            The round's row: of this request, or of the one that came first.
        """
        async with self._engine.begin() as connection:
            row = upsert(stocktake_rounds).values(round_id=job.round_id, request=asdict(job))
            await connection.execute(row.on_conflict_do_nothing())
            query = select(stocktake_rounds).where(stocktake_rounds.c.round_id == job.round_id)
            return (await connection.execute(query)).mappings().one()

    async def request(self, round_id: str) -> Round:
        """What was asked for.

        Raises:
            LookupError: If there is no such round.
        """
        query = select(stocktake_rounds.c.request).where(stocktake_rounds.c.round_id == round_id)
        async with self._engine.connect() as connection:
            found = (await connection.execute(query)).scalar_one_or_none()
        if found is None:
            raise LookupError(f"there is no round {round_id}")
        return _ROUND.validate_python(found)

    async def unstarted(self, limit: int) -> Sequence[str]:
        """Ids of rounds that no workflow works on yet, the oldest first."""
        query = select(stocktake_rounds.c.round_id).where(stocktake_rounds.c.started_at.is_(None))
        async with self._engine.connect() as connection:
            rows = await connection.execute(query.order_by(stocktake_rounds.c.created_at).limit(limit))
            return rows.scalars().all()

    async def mark_started(self, round_id: str) -> None:
        """Remember that the round's workflow was started."""
        async with self._engine.begin() as connection:
            await connection.execute(
                update(stocktake_rounds)
                .where(stocktake_rounds.c.round_id == round_id, stocktake_rounds.c.started_at.is_(None))
                .values(started_at=func.clock_timestamp(), state="running")
            )

    async def withdraw(self, round_id: str) -> bool:
        """Cancel a round that no workflow works on yet.

        Returns:
            Whether there was one.
        """
        async with self._engine.begin() as connection:
            now = func.clock_timestamp()
            withdrawn = await connection.execute(
                update(stocktake_rounds)
                .where(stocktake_rounds.c.round_id == round_id, stocktake_rounds.c.started_at.is_(None))
                .values(state="cancelled", started_at=now, finished_at=now, result=asdict(RoundResult(round_id, ())))
            )
            return withdrawn.rowcount > 0

    async def warehouses(self) -> list[str]:
        """All warehouses that have shelves, in their order."""
        async with self._engine.connect() as connection:
            query = select(stock.c.warehouse).distinct().order_by(stock.c.warehouse)
            return list((await connection.execute(query)).scalars())

    async def finish(self, result: RoundResult, state: str) -> None:
        """Remember what came of a round: once, a repeat changes nothing."""
        async with self._engine.begin() as connection:
            now = func.clock_timestamp()
            await connection.execute(
                update(stocktake_rounds)
                .where(stocktake_rounds.c.round_id == result.round_id, stocktake_rounds.c.finished_at.is_(None))
                .values(
                    state=state,
                    result=asdict(result),
                    started_at=func.coalesce(stocktake_rounds.c.started_at, now),
                    finished_at=now,
                )
            )

    async def document(self, round_id: str) -> dict[str, Any] | None:
        """What ``GET /stocktakes/{round_id}`` says, or None if there is no such round."""
        counts = text(
            """
            SELECT t.warehouse, c.stocktake IS NOT NULL AS closed, t.complete,
                   (SELECT count(*) FROM stocktake_counts n WHERE n.stocktake = t.stocktake) AS counted
            FROM stocktakes t
            LEFT JOIN closures c ON c.stocktake = t.stocktake AND c.closed_until > clock_timestamp()
            WHERE t.round_id = :round_id ORDER BY t.warehouse
            """
        )
        query = select(stocktake_rounds).where(stocktake_rounds.c.round_id == round_id)
        async with self._engine.connect() as connection:
            row = (await connection.execute(query)).mappings().first()
            if row is None:
                return None
            counting = await connection.execute(counts, {"round_id": round_id})
            return {
                "round_id": round_id,
                "status": row["state"],
                "counting": row["request"]["counting"],
                "warehouses": [dict(each) for each in counting.mappings()],
                "result": row["result"],
            }
