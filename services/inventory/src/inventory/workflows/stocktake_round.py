"""Counts several warehouses, side by side."""

import asyncio
from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import ChildWorkflowError, FailureError, WorkflowAlreadyStartedError, is_cancelled_exception
from temporalio.workflow import ParentClosePolicy

from inventory import contract
from inventory.workflows.options import OPTIONS
from inventory.workflows.warehouse_stocktake import ENDED, WarehouseStocktake, why

with workflow.unsafe.imports_passed_through():
    from chassis.shielding import uninterrupted
    from inventory import jobs
    from inventory.jobs import Counted, CountStatus, Round, RoundResult, Stocktake
    from inventory.stocktake_activities import RoundEnding, StocktakeActivities

AGAIN = timedelta(seconds=1)
"""Pause before a warehouse is tried again whose stocktake was left by another round."""


@workflow.defn(name=jobs.STOCKTAKE_ROUND)
class StocktakeRound:
    """One child a warehouse. Where another round's is under way, this one joins it and gets its result."""

    def __init__(self) -> None:
        """Nothing is told yet."""
        self._told: dict[str, Counted] = {}

    @workflow.signal(name=ENDED)
    def stocktake_ended(self, counted: Counted) -> None:
        """A stocktake that this round joined is over."""
        self._told[counted.warehouse] = counted

    @workflow.run
    async def run(self, job: Round) -> RoundResult:
        """Count all of them. One that fails does not fail the others.

        Raises:
            CancelledError: After the warehouses that this round closed are open again.
        """
        counts: dict[str, Counted] = {}
        try:
            await self._all(job, counts)
        except (asyncio.CancelledError, FailureError) as error:
            if is_cancelled_exception(error):
                await uninterrupted(_finish(job, counts, "cancelled"))
            raise
        return await uninterrupted(_finish(job, counts, "completed"))

    async def _all(self, job: Round, counts: dict[str, Counted]) -> None:
        warehouses = list(job.warehouses) or await workflow.execute_activity_method(
            StocktakeActivities.warehouses, **OPTIONS
        )
        tasks = [asyncio.create_task(self._one(job, warehouse, counts)) for warehouse in warehouses]
        if not tasks:
            return
        try:
            await workflow.wait(tasks)
        except asyncio.CancelledError:
            for task in tasks:
                task.cancel()
            await uninterrupted(_ended(tasks))
            raise
        for task in tasks:
            task.result()

    async def _one(self, job: Round, warehouse: str, counts: dict[str, Counted]) -> None:
        """Count a warehouse, or join the count that is under way, until there is a result."""
        while warehouse not in counts:
            try:
                counts[warehouse] = await self._count(job, warehouse)
            except WorkflowAlreadyStartedError:
                if (told := await self._join(job, warehouse)) is None:
                    continue
                if told.status == CountStatus.CANCELLED.value:
                    # The other round was left. Its stocktake will be over in a moment, and then it is this one's turn.
                    await workflow.sleep(AGAIN)
                    continue
                counts[warehouse] = told

    async def _count(self, job: Round, warehouse: str) -> Counted:
        key = jobs.stocktake_key(job.round_id, warehouse)
        try:
            return await workflow.execute_child_workflow(
                WarehouseStocktake.run,
                Stocktake(
                    key,
                    job.round_id,
                    warehouse,
                    job.counting,
                    job.deadline_seconds,
                    job.lease_seconds,
                    job.renew_after,
                ),
                id=jobs.stocktake_workflow_id(warehouse),
                task_queue=contract.TASK_QUEUE,
                # Should the round end before its stocktake, the warehouse is opened again at once. If nothing is there
                # to do that, the lease does.
                parent_close_policy=ParentClosePolicy.REQUEST_CANCEL,
            )
        except ChildWorkflowError as error:
            if is_cancelled_exception(error) and workflow.cancellation_reason() is not None:
                raise
            status = CountStatus.CANCELLED if is_cancelled_exception(error) else CountStatus.FAILED
            return Counted(warehouse, key, status, reason=why(error))

    async def _join(self, job: Round, warehouse: str) -> Counted | None:
        """Ask the stocktake that is under way for its result.

        Returns:
            None if it is over by now, or has been silent for so long that it must be asked again.
        """
        self._told.pop(warehouse, None)
        running: workflow.ExternalWorkflowHandle[WarehouseStocktake] = workflow.get_external_workflow_handle_for(
            WarehouseStocktake.run, jobs.stocktake_workflow_id(warehouse)
        )
        try:
            await running.signal(WarehouseStocktake.join, workflow.info().workflow_id)
        except FailureError as error:
            if is_cancelled_exception(error):
                raise
            return None
        try:
            patience = timedelta(seconds=job.lease_seconds)
            await workflow.wait_condition(lambda: warehouse in self._told, timeout=patience)
        except TimeoutError:
            return None
        return self._told.pop(warehouse)


async def _finish(job: Round, counts: dict[str, Counted], state: str) -> RoundResult:
    result = RoundResult(job.round_id, tuple(counts[warehouse] for warehouse in sorted(counts)))
    await workflow.execute_activity_method(StocktakeActivities.finish, RoundEnding(result, state), **OPTIONS)
    return result


async def _ended(tasks: list[asyncio.Task[None]]) -> None:
    await workflow.wait(tasks)
