"""Counts one warehouse: closed to new reservations, counted, corrected, open again."""

import asyncio
import dataclasses
from datetime import datetime, timedelta

from temporalio import workflow
from temporalio.exceptions import FailureError, is_cancelled_exception

from inventory.workflows.options import OPTIONS

with workflow.unsafe.imports_passed_through():
    from chassis.shielding import uninterrupted
    from inventory import jobs
    from inventory.jobs import Counted, CountStatus, Stocktake
    from inventory.stocktake_activities import Reopening, StocktakeActivities

ENDED = "stocktake_ended"
"""Signal with the result, to rounds that joined."""

PROLONGATIONS = 3
"""How often within one lease a warehouse is kept closed: two may fail before it opens by itself."""


@workflow.defn(name=jobs.WAREHOUSE_STOCKTAKE)
class WarehouseStocktake:
    """One workflow id a warehouse, so that the server itself keeps a second count from starting beside the first.

    A round that finds one under way joins it by signal and is told the result by signal. The alternatives were an
    activity that waits for the result, which would take a slot for the hours of a count, and polling.
    """

    def __init__(self) -> None:
        """Nobody has joined yet."""
        self._joined: list[str] = []
        self._complete = False

    @workflow.signal
    def join(self, round_workflow_id: str) -> None:
        """Tell another round what comes of this. Asked twice, it is told once."""
        if round_workflow_id not in self._joined:
            self._joined.append(round_workflow_id)

    @workflow.signal(name=jobs.SHEET_COMPLETE)
    def sheet_complete(self) -> None:
        """The sheet is complete. It says so itself; the signal only saves waiting for the next look at it."""
        self._complete = True

    @workflow.run
    async def run(self, job: Stocktake) -> Counted:
        """Count.

        Raises:
            CancelledError: After the warehouse is open again.
        """
        # A signal may have come before: handlers run first.
        self._joined = [*job.joined, *(each for each in self._joined if each not in job.joined)]
        self._complete = self._complete or job.complete
        try:
            counted = await self._count(job)
        except (asyncio.CancelledError, FailureError) as error:
            status = CountStatus.CANCELLED if is_cancelled_exception(error) else CountStatus.FAILED
            counted = Counted(job.warehouse, job.key, status, reason=why(error))
            await uninterrupted(self._leave(job, counted))
            raise
        await uninterrupted(self._leave(job, counted))
        return counted

    async def _count(self, job: Stocktake) -> Counted:
        if not job.deadline_at:
            earlier = await workflow.execute_activity_method(StocktakeActivities.close, job, **OPTIONS)
            if earlier is not None:
                return earlier
            deadline = workflow.now() + timedelta(seconds=job.deadline_seconds)
            job = dataclasses.replace(job, deadline_at=deadline.isoformat())
            if job.counting == jobs.Counting.BOOKS.value:
                await workflow.execute_activity_method(StocktakeActivities.count_by_books, job, **OPTIONS)
                self._complete = True
        await self._wait_for_sheet(job)
        return await workflow.execute_activity_method(StocktakeActivities.correct, job, **OPTIONS)

    async def _wait_for_sheet(self, job: Stocktake) -> None:
        """Keep the warehouse closed until its sheet is complete, or the deadline."""
        deadline = datetime.fromisoformat(job.deadline_at)
        prolonged = 0
        while not self._complete and (left := deadline - workflow.now()) > timedelta():
            if workflow.info().is_continue_as_new_suggested() or prolonged == job.renew_after > 0:
                # Handlers do not wait for anything, and what they note goes along.
                await workflow.wait_condition(workflow.all_handlers_finished)
                workflow.continue_as_new(dataclasses.replace(job, joined=tuple(self._joined), complete=self._complete))
            pause = min(left, timedelta(seconds=job.lease_seconds / PROLONGATIONS))
            try:
                await workflow.wait_condition(lambda: self._complete, timeout=pause)
            except TimeoutError:
                if await workflow.execute_activity_method(StocktakeActivities.prolong, job, **OPTIONS):
                    self._complete = True
                prolonged += 1

    async def _leave(self, job: Stocktake, counted: Counted) -> None:
        """Open the warehouse again, and tell those who wait."""
        reopening = Reopening(job, counted)
        await workflow.execute_activity_method(StocktakeActivities.reopen, reopening, **OPTIONS)
        # Who joins while others are told is told as well: after the last look at the list nothing is awaited.
        while self._joined:
            other = workflow.get_external_workflow_handle(self._joined.pop(0))
            try:
                await other.signal(ENDED, counted)
            except FailureError:
                workflow.logger.info("%s does not wait any more", other.id)


def why(error: BaseException) -> str:
    """What is at the bottom of it."""
    while isinstance(error, FailureError) and error.cause is not None:
        error = error.cause
    return str(error)[:300]
