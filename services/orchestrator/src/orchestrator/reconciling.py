"""Orders whose workflow ended without a word: it failed, ran out of time, or somebody terminated it."""

import asyncio
import logging
from datetime import timedelta
from typing import NoReturn

from sqlalchemy.exc import SQLAlchemyError
from temporalio.client import WorkflowExecutionStatus
from temporalio.service import RPCError, RPCStatusCode

from chassis.connection import Connection, TemporalUnavailable
from orchestrator import contract
from orchestrator.store import Store

logger = logging.getLogger(__name__)

LOST = "workflow_ended"
"""Why an order failed whose workflow ended without saying how the order did."""
BATCH = 50
"""Orders that are looked at in one turn."""
OPEN = (WorkflowExecutionStatus.RUNNING, WorkflowExecutionStatus.CONTINUED_AS_NEW)
GONE = "/temporal.api.errordetails.v1.NotFoundFailure"
"""What a workflow that is not there is told by, and not a namespace."""


class Reconciling:
    """Marks such orders as failed, so that customers and operators see them."""

    def __init__(self, store: Store, *, silent_seconds: float = 300, every_seconds: float = 30) -> None:
        """Take what it works with.

        Args:
            store: Of orders.
            silent_seconds: How long an unfinished order must not have changed to be looked at.
            every_seconds: Pause between turns.
        """
        self._store = store
        self._silent = silent_seconds
        self._every = every_seconds

    async def run(self, connection: Connection) -> NoReturn:
        """Look at all silent orders, a batch a turn, again and again."""
        after = 0
        while True:
            try:
                after = await self.turn(connection, after)
            except (SQLAlchemyError, RPCError, TemporalUnavailable):
                logger.warning("the reconciliation tries again", exc_info=True)
            await asyncio.sleep(self._every)

    async def turn(self, connection: Connection, after: int) -> int:
        """Look at some silent orders.

        Args:
            connection: To Temporal.
            after: Number of the last order of the turn before.

        Returns:
            Number of the last order that was looked at; 0 at the end of the table.

        Raises:
            temporalio.service.RPCError: If Temporal does not say.
            TemporalUnavailable: While it is away.
        """
        rows = await self._store.silent(after, self._silent, BATCH)
        for row in rows:
            order_id = row["order_id"]
            ended = await _how_it_ended(connection, order_id)
            if ended is None or not await self._store.fail(order_id, LOST, ended, self._silent):
                continue
            # Whatever it held, it may still hold: nothing was undone.
            logger.error("the order's workflow ended without a word: %s", ended, extra={"order_id": order_id})
        return int(rows[-1]["number"]) if len(rows) == BATCH else 0


async def _how_it_ended(connection: Connection, order_id: str) -> str | None:
    handle = connection.client.get_workflow_handle(contract.fulfil_id(order_id))
    try:
        description = await handle.describe(rpc_timeout=timedelta(seconds=5))
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND and any(
            detail.type_url.endswith(GONE) for detail in error.grpc_status.details
        ):
            return "Its workflow is gone."
        raise
    if description.status is None or description.status in OPEN:
        return None
    return f"Its workflow ended as {description.status.name.lower()}, and did not say how the order did."
