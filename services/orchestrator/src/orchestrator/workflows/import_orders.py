"""Thousands of orders from a file: a window of them under way, over as many runs as it takes."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.common import Priority, WorkflowIDReusePolicy
from temporalio.exceptions import ActivityError, ApplicationError, WorkflowAlreadyStartedError, is_cancelled_exception
from temporalio.workflow import ChildWorkflowCancellationType, ParentClosePolicy

from orchestrator.workflows.options import PATIENT, RECORD

with workflow.unsafe.imports_passed_through():
    from chassis.local_first import local_first
    from chassis.progress import Progress
    from chassis.shielding import uninterrupted
    from orchestrator import contract, import_contract
    from orchestrator.import_activities import ImportActivities, Note, Taken, TakeRequest, WatchRequest
    from orchestrator.import_contract import Carried, ImportRequest, ImportResult, ImportState, ImportStatus

CHUNK = 50
"""Most orders of one payload. They are also bounded by their bytes: see the store."""
TAKE_TIMEOUT = timedelta(seconds=30)
WATCH_TIMEOUT = timedelta(seconds=30)
WATCH_HEARTBEAT = timedelta(seconds=10)
SHARE = 4
"""A quarter of the window that has ended is not waited for any longer: it is handed out anew."""


@workflow.defn(name="orchestrator.ImportOrders")
class ImportOrders(import_contract.ImportOrders):
    """See the contract. Its orders are abandoned children: nothing that happens to the import reaches them.

    A child's completion does not reach the run after continue-as-new, so ended orders are seen in the orders table.
    """

    def __init__(self) -> None:
        self._given: ImportRequest | None = None
        self._at = Carried()
        self._status = ImportStatus.RUNNING
        self._work: asyncio.Task[bool] | None = None

    @workflow.run
    async def run(self, request: ImportRequest) -> ImportResult:
        self._given, self._at = request, request.carried
        self._at.started = self._at.started or workflow.now()
        self._status = ImportStatus.PAUSED if self._at.paused else ImportStatus.RUNNING
        self._work = asyncio.create_task(self._until_over())
        status = ImportStatus.COMPLETED
        try:
            if await self._work:
                # What an update still has to say must be said in this run: the next one does not know of it.
                await workflow.wait_condition(lambda: self._at.cancelled or workflow.all_handlers_finished())
                self._checkpoint()
                self._at.runs += 1
                workflow.continue_as_new(replace(request, carried=self._at))
        except (asyncio.CancelledError, ActivityError) as error:
            cancelled = self._at.cancelled or workflow.cancellation_reason() is not None
            if not cancelled or not (isinstance(error, asyncio.CancelledError) or is_cancelled_exception(error)):
                raise
            status = ImportStatus.CANCELLED
        result = await uninterrupted(self._finish(status))
        await uninterrupted(workflow.wait_condition(workflow.all_handlers_finished))
        if status == ImportStatus.CANCELLED and workflow.cancellation_reason() is not None:
            raise asyncio.CancelledError
        return result

    async def _until_over(self) -> bool:
        """Hand out and watch, in turn.

        Returns:
            Whether there is more to do in another run.
        """
        await self._note()
        while True:
            self._checkpoint()
            while self._may_hand_out():
                # A row that is taken is also started, whatever comes meanwhile.
                await uninterrupted(self._hand_out())
                self._checkpoint()
            if self._at.running:
                await self._watch_until_there_is_room()
            elif self._at.exhausted:
                return False
            else:
                await workflow.wait_condition(lambda: not self._at.paused)
            if self._is_long():
                return True

    async def _hand_out(self) -> None:
        free = self._request.window - len(self._at.running)
        taken = await workflow.execute_activity_method(
            ImportActivities.take_rows,
            TakeRequest(self._request.import_id, self._at.last_line, min(free, CHUNK)),
            start_to_close_timeout=TAKE_TIMEOUT,
            retry_policy=PATIENT,
        )
        await self._start(taken)
        self._at.running += [*taken.running, *(order.order_id for order in taken.orders)]
        self._at.last_line, self._at.exhausted = taken.last_line, taken.exhausted
        self._at.done += taken.done
        self._at.failed += taken.done

    async def _start(self, taken: Taken) -> None:
        """Start orders, and wait until they are started: one that was only asked for would end with this run."""
        starts = [asyncio.create_task(self._start_one(order)) for order in taken.orders]
        if starts:
            await workflow.wait(starts)
        for start in starts:
            start.result()

    async def _start_one(self, order: contract.Order) -> None:
        try:
            child = await workflow.start_child_workflow(
                "orchestrator.FulfilOrder",
                order,
                id=contract.fulfil_id(order.order_id),
                task_queue=contract.TASK_QUEUE,
                parent_close_policy=ParentClosePolicy.ABANDON,
                cancellation_type=ChildWorkflowCancellationType.ABANDON,
                id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
                priority=Priority(priority_key=self._request.priority),
            )
        except WorkflowAlreadyStartedError:
            # By the intake, which starts what stays accepted for long, or by this run before it was reset.
            workflow.logger.info("order %s is under way already", order.order_id)
        else:
            child.add_done_callback(_look_away)

    async def _watch_until_there_is_room(self) -> None:
        """Until some orders ended, or a resume lets more be handed out at once."""
        watch = asyncio.create_task(self._watch())
        try:
            await workflow.wait_condition(lambda: watch.done() or self._may_hand_out())
            if watch.done():
                watch.result()
        finally:
            # It only looks: whether it hears of this, and when, does not matter.
            watch.add_done_callback(_look_away)
            watch.cancel()

    async def _watch(self) -> None:
        running = self._at.running
        watched = await workflow.execute_activity_method(
            ImportActivities.watch_orders,
            WatchRequest(
                self._request.import_id, tuple(running), min(len(running), max(1, self._request.window // SHARE))
            ),
            start_to_close_timeout=WATCH_TIMEOUT,
            heartbeat_timeout=WATCH_HEARTBEAT,
            retry_policy=PATIENT,
        )
        ended = {*watched.good, *watched.bad}
        self._at.running = [order_id for order_id in running if order_id not in ended]
        self._at.done += len(ended)
        self._at.failed += len(watched.bad)

    async def _finish(self, status: ImportStatus) -> ImportResult:
        result = await workflow.execute_activity_method(
            ImportActivities.finish_import,
            Note(self._request.import_id, status, self._next_sequence()),
            start_to_close_timeout=TAKE_TIMEOUT,
            retry_policy=PATIENT,
        )
        self._status = status
        return result

    @workflow.update
    async def pause(self) -> ImportState:  # type: ignore[override] # temporalio ties it to the class
        """See the contract."""
        return await self._steer(paused=True)

    @workflow.update
    async def resume(self) -> ImportState:  # type: ignore[override] # temporalio ties it to the class
        """See the contract."""
        return await self._steer(paused=False)

    async def _steer(self, *, paused: bool) -> ImportState:
        # An update that comes with the start is handled before ``run`` has its request.
        await workflow.wait_condition(lambda: self._given is not None)
        self._at.paused = paused
        self._at.steered += 1
        self._status = ImportStatus.PAUSED if paused else ImportStatus.RUNNING
        await self._note()
        return self.state()

    @workflow.update
    async def cancel(self) -> ImportState:  # type: ignore[override] # temporalio ties it to the class
        """See the contract."""
        await workflow.wait_condition(lambda: self._work is not None)
        if not self._at.cancelled:
            self._at.cancelled = True
            self._at.steered += 1
            if self._work is not None:
                self._work.cancel()
        await workflow.wait_condition(lambda: self._status in import_contract.OVER)
        return self.state()

    @pause.validator
    def _pause_validator(self) -> None:
        self._refuse_if_over()

    @resume.validator
    def _resume_validator(self) -> None:
        self._refuse_if_over()

    @cancel.validator
    def _cancel_validator(self) -> None:
        if self._status == ImportStatus.COMPLETED:
            self._refuse()

    def _refuse_if_over(self) -> None:
        if self._at.cancelled or self._status in import_contract.OVER or workflow.cancellation_reason() is not None:
            self._refuse()

    def _refuse(self) -> None:
        raise ApplicationError("The import is over, or about to be.", type=import_contract.IMPORT_OVER)

    @workflow.query
    def progress(self) -> Progress:
        """See the contract."""
        return Progress.of(
            self._status,
            done=self._at.done,
            total=self._request.rows,
            failed=self._at.failed,
            started=self._at.started or workflow.now(),
            now=workflow.now(),
        )

    @workflow.query
    def state(self) -> ImportState:
        """See the contract."""
        at = self._at
        return ImportState(self._request.import_id, self._status, at.last_line, len(at.running), at.steered, at.runs)

    @property
    def _request(self) -> ImportRequest:
        if self._given is None:
            raise ApplicationError("the import has not begun yet", non_retryable=True)
        return self._given

    def _may_hand_out(self) -> bool:
        at = self._at
        return not (at.paused or at.exhausted or at.cancelled) and len(at.running) < self._request.window

    def _checkpoint(self) -> None:
        """Look for a cancellation that went unnoticed while orders were started."""
        if self._at.cancelled or workflow.cancellation_reason() is not None:
            raise asyncio.CancelledError

    def _is_long(self) -> bool:
        info, limit = workflow.info(), self._request.events
        return info.get_current_history_length() >= limit if limit else info.is_continue_as_new_suggested()

    def _next_sequence(self) -> int:
        self._at.sequence = max(self._at.sequence + 1, workflow.time_ns() // 1000)
        return self._at.sequence

    async def _note(self) -> None:
        note = Note(self._request.import_id, self._status, self._next_sequence())
        await local_first(ImportActivities.note_import, note, RECORD)


def _look_away(task: "asyncio.Task[Any]") -> None:
    """How an order ends is no business of the run that started it, nor how a look that nobody waits for does."""
    if not task.cancelled():
        task.exception()
