"""Applies a supplier's list: child workflows over ranges of its lines, a few at a time."""

import asyncio
import dataclasses
from datetime import datetime
from typing import NoReturn

from temporalio import workflow
from temporalio.exceptions import (
    ActivityError,
    ApplicationError,
    ChildWorkflowError,
    FailureError,
    is_cancelled_exception,
)
from temporalio.workflow import ParentClosePolicy

from inventory import contract
from inventory.workflows.import_partition import OPTIONS, PRIORITY, ImportPartition

with workflow.unsafe.imports_passed_through():
    from chassis.progress import Progress
    from chassis.shielding import uninterrupted
    from inventory import jobs
    from inventory.import_activities import Ending, Failure, ImportActivities

REASON = 300
"""Most characters kept of why a partition failed."""


@workflow.defn(name=jobs.IMPORT_CATALOGUE)
class ImportCatalogue:
    """A window of partitions; a failed one is noted, and the others go on.

    The history grows with the number of partitions, not of rows, and the coordinator continues as new before it is
    long: first it lets the partitions under way end, because a child's end is told to the run that started it.
    """

    def __init__(self) -> None:
        """Nothing is known yet."""
        self._phase = "preparing"
        self._at: jobs.Begun | None = None

    @workflow.query
    def progress(self) -> Progress:
        """How far the import is, by the partitions that have ended. ``GET /imports/{id}`` knows it by chunks."""
        now = workflow.now()
        at = self._at
        if at is None:
            return Progress.of(self._phase, done=0, total=None, failed=0, started=now, now=now)
        started = datetime.fromisoformat(at.started_at)
        return Progress.of(self._phase, done=at.done, total=at.rows, failed=at.rejected, started=started, now=now)

    @workflow.run
    async def run(self, job: jobs.CatalogueImport) -> jobs.ImportResult:
        """Import.

        Raises:
            CancelledError: After the partitions under way have ended and the books say so. What is applied stays.
        """
        try:
            self._at = job.begun or await workflow.execute_activity_method(ImportActivities.prepare, job, **OPTIONS)
            if self._at is not None:
                self._phase = "applying"
                await self._apply(job, self._at)
        except (asyncio.CancelledError, FailureError) as error:
            state = "cancelled" if is_cancelled_exception(error) else "failed"
            await uninterrupted(self._finish(job.import_id, state))
            raise
        if self._at is not None and self._at.next < self._at.partitions:
            self._renew(job, self._at)
        return await uninterrupted(self._finish(job.import_id, "completed"))

    async def _apply(self, job: jobs.CatalogueImport, begun: jobs.Begun) -> None:
        """Run partitions until all have ended, or until it is time to continue as new and those under way have."""
        self._at = at = begun
        running: list[asyncio.Task[None]] = []
        try:
            while True:
                while at.next < at.partitions and len(running) < job.portions.concurrency and not _long(job, begun, at):
                    running.append(asyncio.create_task(self._partition(job, at.next)))
                    self._at = at = dataclasses.replace(self._at, next=at.next + 1)
                if not running:
                    return
                ended, running = await workflow.wait(running, return_when=asyncio.FIRST_COMPLETED)
                for task in ended:
                    task.result()
                at = self._at
        except (asyncio.CancelledError, FailureError):
            for task in running:
                task.cancel()
            await uninterrupted(_ended(running))
            raise

    async def _partition(self, job: jobs.CatalogueImport, number: int) -> None:
        partition = jobs.Partition(job.import_id, number, job.portions.chunk_rows)
        try:
            applied = await workflow.execute_child_workflow(
                ImportPartition.run,
                partition,
                id=jobs.partition_id(job.import_id, number),
                task_queue=contract.TASK_QUEUE,
                # Whoever ends the import ends its partitions, between two chunks.
                parent_close_policy=ParentClosePolicy.REQUEST_CANCEL,
                priority=PRIORITY,
            )
        except ChildWorkflowError as error:
            if is_cancelled_exception(error):
                raise
            reason, attempts = _why(error)
            failure = Failure(job.import_id, number, reason, attempts)
            await workflow.execute_activity_method(ImportActivities.note_failure, failure, **OPTIONS)
            self._count(0, 0, failed=1)
        else:
            self._count(applied.rows, applied.rejected)

    def _count(self, done: int, rejected: int, failed: int = 0) -> None:
        at = self._at
        if at is not None:
            self._at = dataclasses.replace(
                at, done=at.done + done, rejected=at.rejected + rejected, failed=at.failed + failed
            )

    def _renew(self, job: jobs.CatalogueImport, at: jobs.Begun) -> NoReturn:
        workflow.continue_as_new(dataclasses.replace(job, begun=at))

    async def _finish(self, import_id: str, state: str) -> jobs.ImportResult:
        self._phase = "finishing"
        ending = Ending(import_id, state)
        result = await workflow.execute_activity_method(ImportActivities.finish, ending, **OPTIONS)
        self._phase = state
        return result


def _long(job: jobs.CatalogueImport, begun: jobs.Begun, at: jobs.Begun) -> bool:
    """Whether this run has done enough."""
    if job.portions.renew_after:
        return at.next - begun.next >= job.portions.renew_after
    return workflow.info().is_continue_as_new_suggested()


def _why(error: ChildWorkflowError) -> tuple[str, int]:
    """The reason at the bottom of a partition's failure, and after how many attempts it was given up."""
    cause: BaseException | None = error.cause
    while isinstance(cause, ActivityError) and cause.cause is not None:
        cause = cause.cause
    if not isinstance(cause, ApplicationError):
        return f"{type(cause).__name__}: {cause}"[:REASON], 1
    attempts = next((each for each in cause.details if type(each) is int), 1)
    return f"{cause.type}: {cause.message}"[:REASON], attempts


async def _ended(tasks: list[asyncio.Task[None]]) -> None:
    if tasks:
        await workflow.wait(tasks)
        for task in tasks:
            # What became of a partition under way does not matter any more, but asyncio wants it to be looked at.
            if not task.cancelled() and task.exception() is not None:
                workflow.logger.info("a partition under way was left")
