"""PickWave: the coordinator of a wave's pickers, with whom it talks by signals."""

import asyncio
from contextlib import suppress
from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.common import RetryPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import (
    ActivityError,
    ApplicationError,
    ChildWorkflowError,
    WorkflowAlreadyStartedError,
    is_cancelled_exception,
)
from temporalio.workflow import ChildWorkflowCancellationType, ParentClosePolicy

with workflow.unsafe.imports_passed_through():
    from chassis.progress import Progress
    from chassis.shielding import uninterrupted
    from shipping import picking
    from shipping.board import Board, Hand, WaveRequest
    from shipping.pick_activities import Page, PickActivities
    from shipping.workflows.picker import Picker

RETRY = RetryPolicy(initial_interval=timedelta(seconds=0.2), maximum_interval=timedelta(seconds=10))
SHORT = timedelta(seconds=10)
"""Time-out of an attempt at one statement of the database."""

GOODBYE = timedelta(seconds=2)
"""How long a coordinator that is done waits for its pickers to be."""

PAGE = 200
"""Tasks that are read at once: what a coordinator knows fits easily into what one run leaves to the next."""


@workflow.defn(name=picking.WAVE)
class PickWave:
    """Hands out tasks, takes them back from pickers that fail or fall silent, and pauses and resumes one or all.

    Pickers are abandoned children: they outlive the run that started them, since a run that continues as new would
    take others with it. The runs after the first hear nothing of a child's end: they know a dead picker by a signal
    that finds nobody, and a silent one by its lease.
    """

    def __init__(self) -> None:
        """Know nothing yet: signals and updates may come before the first step of a run."""
        self._request: WaveRequest | None = None
        self._board: Board | None = None
        self._reports: list[picking.Report] = []
        # Number and start of pickers that are not there any more.
        self._ended: list[tuple[int, int]] = []
        self._changed = False
        self._phase = "starting"
        self._clock: asyncio.Task[None] | None = None
        self._watches: list[asyncio.Task[None]] = []

    @workflow.signal(name=picking.REPORT)
    def report(self, report: picking.Report) -> None:
        """Take in what a picker did, when the loop comes to it."""
        self._reports.append(report)

    @workflow.update(name=picking.PAUSE)
    async def pause(self, choice: picking.Choice) -> picking.WaveStatus:
        """Let one or all pick nothing more for now. To pause again is to have it paused."""
        return await self._set_paused(choice, paused=True)

    @workflow.update(name=picking.RESUME)
    async def resume(self, choice: picking.Choice) -> picking.WaveStatus:
        """Let one or all go on."""
        return await self._set_paused(choice, paused=False)

    @pause.validator
    def _may_pause(self, choice: picking.Choice) -> None:
        self._insist(choice)

    @resume.validator
    def _may_resume(self, choice: picking.Choice) -> None:
        self._insist(choice)

    def _insist(self, choice: picking.Choice) -> None:
        if self._phase == "closing":
            raise ApplicationError("the wave is over", type=picking.NOT_POSSIBLE, non_retryable=True)
        if self._request is not None and choice.picker is not None and choice.picker > self._request.pickers:
            raise ApplicationError(
                f"the wave has {self._request.pickers} pickers", type=picking.NOT_POSSIBLE, non_retryable=True
            )

    async def _set_paused(self, choice: picking.Choice, *, paused: bool) -> picking.WaveStatus:
        await workflow.wait_condition(lambda: self._board is not None)
        self._insist(choice)
        self._require_board().pause(choice.picker, paused=paused)
        self._changed = True
        return self.status()

    @workflow.query(name=picking.STATUS)
    def status(self) -> picking.WaveStatus:
        """How far the wave is."""
        board, now = self._board, workflow.now()
        wave_id = "" if self._request is None else self._request.wave_id
        if board is None:
            started = workflow.info().start_time
            return picking.WaveStatus(
                wave_id,
                paused=False,
                progress=Progress.of(self._phase, done=0, total=None, failed=0, started=started, now=now),
            )
        progress = Progress.of(
            "paused" if board.paused and self._phase == "picking" else self._phase,
            done=board.done,
            total=board.total,
            failed=board.skipped,
            started=board.started,
            now=now,
            already=board.already,
        )
        hands = tuple(board.status(hand) for hand in board.hands)
        return picking.WaveStatus(wave_id, board.paused, progress, hands)

    @workflow.run
    async def run(self, request: WaveRequest) -> picking.Counts:
        """Pick all of the wave's parcels.

        Args:
            request: Which wave, and what the run before left.

        Returns:
            The wave, by the table.
        """
        self._request = request
        try:
            return await self._coordinate(request)
        except (asyncio.CancelledError, ActivityError, ChildWorkflowError) as error:
            if is_cancelled_exception(error):
                await uninterrupted(self._close(request, PickActivities.cancel))
            raise

    async def _coordinate(self, request: WaveRequest) -> picking.Counts:
        self._board = board = request.board or Board.of(
            await self._ask(PickActivities.gather, request.wave_id), request.pickers, workflow.now()
        )
        self._phase = "picking"
        while True:
            self._take_in(board, request)
            if board.finished:
                counts = await self._close(request, PickActivities.complete)
                if counts.waiting == 0:
                    return counts
                board.again(counts)
                self._phase = "picking"
            if workflow.info().is_continue_as_new_suggested():
                await workflow.wait_condition(workflow.all_handlers_finished)
                # What came while that was waited for; from here on nothing is awaited.
                self._take_in(board, request)
                workflow.continue_as_new(
                    WaveRequest(request.wave_id, request.warehouse, request.pickers, request.lease_seconds, board)
                )
            await self._start(board, request)
            await self._read(board, request)
            board.hand_out(workflow.now())
            await self._tell(board, request)
            await self._hear(board, request)

    def _take_in(self, board: Board, request: WaveRequest) -> None:
        reports, self._reports = self._reports, []
        ended, self._ended = self._ended, []
        for report in reports:
            board.take(report, workflow.now())
        for number, start in ended:
            board.lose(number, start)
        # After the reports: who has reported is not silent.
        board.lapse(workflow.now(), timedelta(seconds=request.lease_seconds))

    async def _start(self, board: Board, request: WaveRequest) -> None:
        wanted = board.to_start()
        await asyncio.gather(*(self._start_one(hand, request) for hand in wanted))
        for hand in wanted:
            board.begins(hand)

    async def _start_one(self, hand: Hand, request: WaveRequest) -> None:
        try:
            child = await workflow.start_child_workflow(
                Picker.run,
                picking.PickerRequest(request.wave_id, hand.number),
                id=picking.picker_workflow_id(request.wave_id, hand.number),
                id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
                parent_close_policy=ParentClosePolicy.ABANDON,
                cancellation_type=ChildWorkflowCancellationType.ABANDON,
            )
        except WorkflowAlreadyStartedError:
            # A coordinator that was terminated left it, and it takes orders from this one as well.
            return
        self._watches.append(asyncio.create_task(self._watch(hand.number, hand.starts + 1, child)))

    async def _watch(self, number: int, start: int, child: workflow.ChildWorkflowHandle[Any, int]) -> None:
        """Notice that a picker ended before it was dismissed, whatever ended it. Does not outlive this run."""
        try:
            await child
        except ChildWorkflowError as error:
            workflow.logger.warning("picker %d is lost: %s", number, error.cause)
        self._ended.append((number, start))

    async def _read(self, board: Board, request: WaveRequest) -> None:
        if board.hungry:
            page = await self._ask(PickActivities.waiting, Page(request.wave_id, board.after, PAGE))
            board.read(page, last=len(page) < PAGE)

    async def _tell(self, board: Board, request: WaveRequest, *, dismissed: bool = False) -> None:
        """Send orders to those who should have new ones, side by side. Who is not there to get them is lost."""
        hands = [hand for hand in board.hands if not hand.lost and (dismissed or not hand.told)]
        here = await asyncio.gather(*(self._tell_one(board, hand, request, dismissed) for hand in hands))
        for hand, found in zip(hands, here, strict=True):
            if not found and not dismissed:
                self._ended.append((hand.number, hand.starts))

    async def _tell_one(self, board: Board, hand: Hand, request: WaveRequest, dismissed: bool) -> bool:
        orders = board.orders(hand, workflow.time_ns() // 1000, dismissed=dismissed)
        handle = workflow.get_external_workflow_handle(picking.picker_workflow_id(request.wave_id, hand.number))
        try:
            await handle.signal(picking.ORDERS, orders)
        except ApplicationError as error:
            workflow.logger.info("picker %d was not told: %s", hand.number, error)
            return False
        return True

    async def _hear(self, board: Board, request: WaveRequest) -> None:
        """Wait until something is to be done."""
        if self._clock is not None and self._clock.done():
            self._clock = None
        if self._clock is None and board.leases:
            # One timer for many reports: silence is noticed after one to one and a half leases.
            self._clock = asyncio.create_task(workflow.sleep(timedelta(seconds=request.lease_seconds / 2)))
        clock = self._clock
        await workflow.wait_condition(
            lambda: bool(
                self._reports or self._ended or self._changed or (clock is not None and clock.done()) or board.finished
            )
        )
        self._changed = False

    async def _close(self, request: WaveRequest, how: Any) -> picking.Counts:
        """Send the pickers home, and write the end down."""
        self._phase = "closing"
        counts: picking.Counts = await self._ask(how, request.wave_id)
        if counts.waiting == 0 and self._board is not None:
            await self._tell(self._board, request, dismissed=True)
            # Ends of children that come just as a workflow completes have it do so once more, from its whole history.
            with suppress(TimeoutError):  # who is in the midst of a pick comes home later
                await workflow.wait_condition(lambda: all(watch.done() for watch in self._watches), timeout=GOODBYE)
        return counts

    async def _ask(self, method: Any, argument: Any) -> Any:
        return await workflow.execute_activity_method(
            method, argument, start_to_close_timeout=SHORT, retry_policy=RETRY
        )

    def _require_board(self) -> Board:
        assert self._board is not None  # noqa: S101 - for the type checker
        return self._board
