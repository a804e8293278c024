"""From an accepted row to a running workflow, now or later."""

import asyncio
import logging
from datetime import timedelta
from typing import Any, NoReturn

from sqlalchemy import RowMapping
from sqlalchemy.exc import SQLAlchemyError
from temporalio.converter import value_to_type

from chassis import trace_context
from chassis.connection import Connection
from orchestrator import contract
from orchestrator.import_contract import BULK
from orchestrator.store import Store

logger = logging.getLogger(__name__)

BATCH = 50
"""Orders that the loop starts side by side."""
UNREADABLE = "unreadable"
"""Why an order failed whose row is no input of a workflow."""


class Intake:
    """Starts the workflows of accepted orders: each once, however often it is asked."""

    def __init__(
        self,
        store: Store,
        connection: Connection,
        *,
        start_seconds: float,
        every_seconds: float,
        import_grace_seconds: float = 0,
    ) -> None:
        """Take what it works with.

        Args:
            store: Of orders.
            connection: To Temporal.
            start_seconds: Longest wait for Temporal in a request.
            every_seconds: Pause of the loop.
            import_grace_seconds: How long an import has to start what it accepted, before the loop does.
        """
        self._store = store
        self._connection = connection
        self.patience = timedelta(seconds=start_seconds)
        self._every = every_seconds
        self._grace = import_grace_seconds

    async def start(self, order_id: str, request: dict[str, Any], import_id: str | None = None) -> bool:
        """Start an order's workflow.

        Args:
            order_id: The order.
            request: The workflow's input, as it stands in the row.
            import_id: The import that it came with, if it did: it then waits behind the customers'.

        Returns:
            Whether it is known to be started; if not, the loop will try again.
        """
        try:
            order = value_to_type(contract.Order, request)
        except (TypeError, ValueError, KeyError) as error:
            # Written by hand, or by another version. It will never be an order.
            logger.exception("the row of an accepted order cannot be read", extra={"order_id": order_id})
            await self._store.fail(order_id, UNREADABLE, _root(error))
            return False
        started = await self._connection.start_once(
            contract.FulfilOrder.run,
            order,
            id=contract.fulfil_id(order_id),
            task_queue=contract.TASK_QUEUE,
            patience=self.patience,
            priority=contract.CUSTOMER if import_id is None else BULK,
        )
        if not started:
            return False
        await self._store.mark_started(order_id)
        return True

    async def _try(self, row: RowMapping) -> bool:
        try:
            with trace_context.continued(row["traceparent"]):
                return await self.start(row["order_id"], row["request"], row["import_id"])
        except Exception:  # one row must not keep the others from their start
            logger.exception("an order was not started", extra={"order_id": row["order_id"]})
            return False

    async def run(self, _: Connection) -> NoReturn:
        """Start what waits, again and again."""
        while True:
            try:
                waiting = await self._store.unstarted(BATCH, self.patience.total_seconds(), self._grace)
                started = await asyncio.gather(*(self._try(row) for row in waiting))
            except SQLAlchemyError:
                logger.warning("the intake tries again", exc_info=True)
                started = []
            if len(started) < BATCH or not all(started):
                await asyncio.sleep(self._every)


def _root(error: BaseException) -> str:
    """What is wrong in the end: temporalio says first where."""
    while error.__cause__ is not None:
        error = error.__cause__
    return f"{type(error).__name__}: {error}"
