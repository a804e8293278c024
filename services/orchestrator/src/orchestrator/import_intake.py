"""From a whole upload to a running import, now or later; and what is left of those that broke off."""

import asyncio
import logging
from datetime import timedelta
from typing import NoReturn

from sqlalchemy import RowMapping
from sqlalchemy.exc import SQLAlchemyError
from temporalio.client import WorkflowExecutionStatus
from temporalio.common import Priority
from temporalio.service import RPCError, RPCStatusCode

from chassis.connection import Connection, TemporalUnavailable
from orchestrator import contract
from orchestrator.import_contract import BULK_KEY, ImportOrders, ImportRequest, ImportStatus, import_id_of
from orchestrator.import_store import ImportStore
from orchestrator.uploads import UploadStore

logger = logging.getLogger(__name__)

BATCH = 20
"""Imports that the loop looks at in one turn."""
ABANDONED = timedelta(days=1)
"""An upload that is no import by then broke off with its process. No upload takes so long."""
LATEST = 2**62
"""Sequence of a status that no workflow can write any more."""


class ImportIntake:
    """Starts the workflows of imports, each once, and ends in the books what was ended from outside."""

    def __init__(
        self,
        store: ImportStore,
        uploads: UploadStore,
        connection: Connection,
        *,
        start_seconds: float,
        every_seconds: float,
        sweep_seconds: float,
        priority: int = BULK_KEY,
    ) -> None:
        """Take what it works with.

        Args:
            store: Of imports.
            uploads: Of what is on its way in.
            connection: To Temporal.
            start_seconds: Longest wait for Temporal in a request.
            every_seconds: Pause of the loop.
            sweep_seconds: How often it looks for what broke off.
            priority: Of imports and of their orders.
        """
        self._store = store
        self._uploads = uploads
        self._connection = connection
        self.patience = timedelta(seconds=start_seconds)
        self._every = every_seconds
        self._sweep = sweep_seconds
        self._priority = priority

    async def start(self, row: RowMapping) -> bool:
        """Start an import's workflow.

        Returns:
            Whether it is known to be started; if not, the loop will try again.
        """
        started = await self._connection.start_once(
            ImportOrders.run,
            ImportRequest(row["import_id"], row["rows"], row["window"], priority=self._priority),
            id=import_id_of(row["import_id"]),
            task_queue=contract.TASK_QUEUE,
            patience=self.patience,
            priority=Priority(priority_key=self._priority),
        )
        if not started:
            return False
        await self._store.mark_started(row["import_id"])
        return True

    async def run(self, _: Connection) -> NoReturn:
        """Start what waits and sweep up what broke off, again and again."""
        loop = asyncio.get_running_loop()
        swept = loop.time()
        while True:
            try:
                for row in await self._store.open(started=False, limit=BATCH):
                    await self.start(row)
                if loop.time() - swept >= self._sweep:
                    swept = loop.time()
                    await self.sweep()
            except (SQLAlchemyError, RPCError, TemporalUnavailable):
                logger.warning("the intake of imports tries again", exc_info=True)
            await asyncio.sleep(self._every)

    async def sweep(self) -> None:
        """End in the books what was ended from outside, and forget uploads that broke off."""
        for row in await self._store.open(started=True, limit=BATCH):
            if await self._is_gone(row["import_id"]):
                logger.warning("the import's workflow was stopped", extra={"import_id": row["import_id"]})
                await self._store.note(row["import_id"], ImportStatus.FAILED, LATEST)
        if count := await self._uploads.discard_abandoned(ABANDONED):
            logger.info("%d uploads had broken off", count)

    async def _is_gone(self, import_id: str) -> bool:
        handle = self._connection.client.get_workflow_handle(import_id_of(import_id))
        try:
            description = await handle.describe(rpc_timeout=self.patience)
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                return True
            raise
        return description.status in (
            WorkflowExecutionStatus.TERMINATED,
            WorkflowExecutionStatus.FAILED,
            WorkflowExecutionStatus.TIMED_OUT,
        )
