"""The orders that are under way, counted again and again."""

import asyncio
import logging
from datetime import datetime
from typing import NoReturn

from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from chassis.connection import Connection
from orchestrator.contract import Status
from orchestrator.metrics import UNFINISHED, OrchestratorMetrics, prime_compensations
from orchestrator.tables import orders

logger = logging.getLogger(__name__)

EVERY_SECONDS = 5.0


class Sampling:
    """Keeps the gauges at what the orders table says; every replica shows the same."""

    def __init__(
        self, engine: AsyncEngine, metrics: OrchestratorMetrics, *, every_seconds: float = EVERY_SECONDS
    ) -> None:
        """Take what it works with.

        Args:
            engine: Of the orchestrator's database.
            metrics: To show it.
            every_seconds: Pause between looks.
        """
        self._engine = engine
        self._metrics = metrics
        self._every = every_seconds

    async def run(self, connection: Connection) -> NoReturn:
        """Look, again and again."""
        prime_compensations(connection.client)
        while True:
            try:
                await self.look()
            except SQLAlchemyError:
                logger.warning("the orders under way cannot be counted", exc_info=True)
            await asyncio.sleep(self._every)

    async def look(self) -> None:
        """Look once.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: If the database does not answer.
        """
        underway = (
            select(orders.c.status, func.count().label("number"), func.min(orders.c.created_at).label("oldest"))
            .where(orders.c.status.in_(UNFINISHED))
            .group_by(orders.c.status)
        )
        async with self._engine.connect() as connection:
            rows = (await connection.execute(underway)).all()
            now: datetime = (await connection.execute(select(func.now()))).scalar_one()
        waiting = [row.oldest for row in rows if row.status != Status.AWAITING_APPROVAL]
        self._metrics.in_progress({row.status: row.number for row in rows}, min(waiting, default=None), now)
