"""From a row of the database to a running workflow, now or, if Temporal is away, later."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NoReturn

from sqlalchemy.exc import SQLAlchemyError
from temporalio.client import WorkflowExecutionStatus
from temporalio.common import Priority
from temporalio.service import RPCError, RPCStatusCode

from chassis.connection import Connection, TemporalUnavailable, is_away
from inventory import contract, jobs
from inventory.settings import Settings

logger = logging.getLogger(__name__)

BATCH = 20
"""Jobs of one kind that are looked for at a time."""


@dataclass(frozen=True, slots=True)
class Job:
    """A workflow that is to be started once."""

    workflow: str
    id: str
    argument: Any


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of jobs: where they are kept and what is started for each."""

    unstarted: Callable[[int], Awaitable[Sequence[str]]]
    """Keys of those that wait."""
    mark_started: Callable[[str], Awaitable[None]]
    job: Callable[[str], Awaitable[Job]]


class Intake:
    """Starts jobs: each once, however often it is asked."""

    def __init__(self, connection: Connection, settings: Settings, kinds: Sequence[Kind] = ()) -> None:
        """Take what it works with.

        Args:
            connection: To Temporal.
            settings: How long a request waits, and how often the loop looks.
            kinds: Of jobs, for the loop.
        """
        self._connection = connection
        self._kinds = kinds
        self._patience = timedelta(seconds=settings.start_seconds)
        self._every = settings.intake_seconds

    async def start(self, kind: Kind, key: str) -> bool:
        """Start a job's workflow.

        Args:
            kind: Of the job.
            key: Which.

        Returns:
            Whether it is known to be started; if not, the loop will try again.
        """
        job = await kind.job(key)
        started = await self._connection.start_once(
            job.workflow,
            job.argument,
            id=job.id,
            task_queue=contract.TASK_QUEUE,
            patience=self._patience,
            priority=Priority(priority_key=jobs.BULK),
        )
        if not started:
            return False
        await kind.mark_started(key)
        return True

    async def run(self, _: Connection) -> NoReturn:
        """Start what waits, again and again."""
        while True:
            for kind in self._kinds:
                try:
                    for key in await kind.unstarted(BATCH):
                        await self.start(kind, key)
                except (SQLAlchemyError, RPCError):
                    logger.warning("the intake tries again", exc_info=True)
            await asyncio.sleep(self._every)


async def cancel(connection: Connection, workflow_id: str) -> bool:
    """Ask a workflow to end.

    Returns:
        Whether it was running. Temporal takes the cancellation of one that is over for done.

    Raises:
        TemporalUnavailable: If Temporal does not answer; the request may have reached it.
    """
    handle = connection.client.get_workflow_handle(workflow_id)
    try:
        await handle.cancel()
        return (await handle.describe()).status == WorkflowExecutionStatus.RUNNING
    except RPCError as error:
        if is_away(error):
            raise TemporalUnavailable(str(error)) from error
        if error.status != RPCStatusCode.NOT_FOUND:
            raise
        return False
