"""Picker: one picker of a wave, who does what the coordinator orders until dismissed."""

import asyncio
from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ApplicationError
from temporalio.workflow import ActivityCancellationType

with workflow.unsafe.imports_passed_through():
    from chassis import versioning
    from shipping import picking
    from shipping.pick_activities import PickActivities

RETRY = RetryPolicy(initial_interval=timedelta(seconds=0.2), maximum_interval=timedelta(seconds=10))

IDLE = timedelta(minutes=10)
"""How long to hear nothing before the coordinator is told that one is still here; if it is gone, so is the picker."""


@workflow.defn(name=picking.PICKER, versioning_behavior=versioning.lasting())
class Picker:
    """Picks one parcel after the other.

    What it says and hears are states: all that it has done of its orders, all that it shall do. So nothing is lost or
    done twice where a run ends and the next begins.
    """

    def __init__(self) -> None:
        """Know of no orders."""
        self._orders: picking.Orders | None = None
        self._done: dict[str, picking.Picked] = {}
        # Whether there is something to report.
        self._news = False
        self._reports = 0

    @workflow.signal(name=picking.ORDERS)
    def orders(self, orders: picking.Orders) -> None:
        """Take new orders; older ones than those known come too late."""
        if self._orders is not None and orders.sequence <= self._orders.sequence:
            return
        self._orders = orders
        self._done = {task: self._done[task] for task in orders.tasks if task in self._done}
        # Who orders what is done already has not taken the report in, and hears it again.
        self._news = bool(self._done) or orders.answer

    @workflow.run
    async def run(self, request: picking.PickerRequest) -> int:
        """Work until dismissed.

        Args:
            request: Which picker of which wave.

        Returns:
            How many reports it made.
        """
        self._take_up(request)
        while self._orders is None or not self._orders.dismissed:
            if (task := self._next()) is not None:
                self._done[task] = await self._pick(request, task)
                # The task may have been taken back meanwhile; that it is done matters all the same.
                here = await self._report(request, self._done.pop(task) if task not in self._wanted() else None)
            elif self._news or not await self._hears():
                here = await self._report(request)
            else:
                here = True
            if not here:
                workflow.logger.info("the coordinator is gone")
                break
            if workflow.cancellation_reason() is not None:
                # A pick that was waited for came to its end, and the cancellation is as good as forgotten.
                raise asyncio.CancelledError
            if workflow.info().is_continue_as_new_suggested() and not self._dismissed():
                await workflow.wait_condition(workflow.all_handlers_finished)
                workflow.continue_as_new(
                    picking.PickerRequest(
                        request.wave_id, request.number, self._orders, tuple(self._done.values()), self._reports
                    )
                )
        return self._reports

    def _take_up(self, request: picking.PickerRequest) -> None:
        """Go on where the run before left off. Signals may have come before this."""
        self._reports = request.reports
        newer, self._orders = self._orders, request.orders
        self._done = {picked.task_id: picked for picked in request.done}
        # Whatever the run before still had to say: what is done, or that one is here.
        self._news = request.reports > 0
        if newer is not None:
            self.orders(newer)
            self._news = self._news or request.reports > 0

    def _wanted(self) -> tuple[str, ...]:
        return () if self._orders is None else self._orders.tasks

    def _dismissed(self) -> bool:
        return self._orders is not None and self._orders.dismissed

    def _next(self) -> str | None:
        if self._orders is None or self._orders.held:
            return None
        return next((task for task in self._orders.tasks if task not in self._done), None)

    async def _pick(self, request: picking.PickerRequest, task: str) -> picking.Picked:
        return await workflow.execute_activity_method(
            PickActivities.pick,
            picking.Pick(request.wave_id, task, request.number),
            start_to_close_timeout=timedelta(seconds=30),
            heartbeat_timeout=timedelta(seconds=10),
            retry_policy=RETRY,
            cancellation_type=ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
        )

    async def _hears(self) -> bool:
        """Wait for orders.

        Returns:
            Whether any came.
        """
        known = self._orders
        try:
            await workflow.wait_condition(lambda: self._orders is not known, timeout=IDLE)
        except TimeoutError:
            return False
        return True

    async def _report(self, request: picking.PickerRequest, other: picking.Picked | None = None) -> bool:
        """Say what is done.

        Returns:
            Whether there is a coordinator to hear it.
        """
        self._news = False
        self._reports = max(self._reports + 1, workflow.time_ns() // 1000)
        results = (*self._done.values(), *(() if other is None else (other,)))
        # Without a run id: a coordinator that continued as new is still the coordinator.
        handle = workflow.get_external_workflow_handle(picking.wave_workflow_id(request.wave_id))
        try:
            await handle.signal(picking.REPORT, picking.Report(request.number, self._reports, results))
        except ApplicationError as error:
            workflow.logger.info("the coordinator was not told: %s", error)
            return False
        return True
