"""What a saga needs of asyncio: steps that settle before anything is undone, and undos that are never given up."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from datetime import timedelta
from typing import Any, TypeVar, cast

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import FailureError, WorkflowAlreadyStartedError, is_cancelled_exception
from temporalio.workflow import ChildWorkflowCancellationType, ParentClosePolicy

with workflow.unsafe.imports_passed_through():
    from chassis.shielding import uninterrupted
    from orchestrator.metrics import COMPENSATIONS, COMPENSATIONS_MEAN, DONE, FAILED

ArgumentT = TypeVar("ArgumentT")
ResultT = TypeVar("ResultT")

Run = Callable[[Any, ArgumentT], Awaitable[ResultT]]
"""The ``run`` of a contract's workflow."""

Undo = Callable[[str], Awaitable[None]]
"""Undoes one step, for a reason."""

UNDO_RETRIES = RetryPolicy(
    initial_interval=timedelta(seconds=1), maximum_interval=timedelta(minutes=1), maximum_attempts=5
)
"""Of one round of an undo. There is no last round: see ``undo``."""


TURN = timedelta(seconds=10)
"""How long an undo is waited for before the next one begins all the same."""

FIRST_PAUSE, LONGEST_PAUSE = timedelta(seconds=2), timedelta(minutes=15)
"""Before something is tried again. Each round takes a dozen events of a history that has room for 50,000."""


def pauses() -> Iterator[timedelta]:
    """Pauses between rounds: each twice the one before it, up to the longest."""
    pause = FIRST_PAUSE
    while True:
        yield pause
        pause = min(pause * 2, LONGEST_PAUSE)


async def settle(tasks: Sequence["asyncio.Task[Any]"]) -> None:
    """Wait until all succeed; at the first failure, or a cancellation, cancel the others and wait until they ended.

    A plain gather goes on at the first failure while the others still run, and an undo would overtake its step.

    Args:
        tasks: Steps under way, side by side.

    Raises:
        BaseException: The first failure in the order of the tasks; one that is no cancellation before one that is.
    """
    cancelled: asyncio.CancelledError | None = None
    try:
        await workflow.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    except asyncio.CancelledError as error:
        # Not a finally: that would also run, without a loop, when a worker drops a workflow that is not at its end.
        cancelled = error
    for task in tasks:
        task.cancel()
    await uninterrupted(_ended(tasks))
    if cancelled is not None:
        raise cancelled
    failures = [failure for task in tasks if (failure := _failure(task)) is not None]
    for failure in failures:
        if not (isinstance(failure, asyncio.CancelledError) or is_cancelled_exception(failure)):
            raise failure
    if failures:
        raise failures[0]


async def _ended(tasks: Sequence["asyncio.Task[Any]"]) -> None:
    await workflow.wait(tasks)


def _failure(task: "asyncio.Task[Any]") -> BaseException | None:
    return asyncio.CancelledError() if task.cancelled() else task.exception()


def _called(run: Run[Any, ResultT]) -> tuple[str, type[ResultT]]:
    """Wire name and result of a contract's workflow.

    The answer of a child that is named by its ``run`` is decoded outside the workflow's code, which then fails with
    nothing undone if the answer does not fit. One that is named by a text may answer anything, and the saga decodes it.
    """
    name, result = workflow._Definition.get_name_and_result_type(run)  # noqa: SLF001 - there is no other way to it
    return name, cast(type[ResultT], result)


def _decoded(answer: Any, result: type[ResultT]) -> ResultT:
    converter = workflow.payload_converter()
    decoded: ResultT
    [decoded] = converter.from_payloads(converter.to_payloads([answer]), [result])
    return decoded


async def step(
    run: Run[ArgumentT, ResultT], argument: ArgumentT, *, id: str, task_queue: str, backstop: timedelta | None
) -> ResultT:
    """One step of a saga: a child workflow on its owner's queue.

    Args:
        run: Of the owner's contract.
        argument: Its argument.
        id: From the owner's contract, so that every retry, reset and undo finds the same one.
        task_queue: The owner's.
        backstop: Execution time-out, in days; deadlines live inside the child. None for what must not end so.

    Raises:
        temporalio.exceptions.ChildWorkflowError: If the owner refuses, or the step is cancelled.
        temporalio.exceptions.ApplicationError: If the owner's answer is not what its contract says.
    """
    name, result = _called(run)
    for pause in pauses():
        try:
            answer = await workflow.execute_child_workflow(
                name,
                argument,
                result_type=cast(type, Any),
                id=id,
                task_queue=task_queue,
                execution_timeout=backstop,
                # A step of a parent that is no more has nobody to go on for. It is asked to stop, and not terminated,
                # because only then it ends with its books in order.
                parent_close_policy=ParentClosePolicy.REQUEST_CANCEL,
            )
        except WorkflowAlreadyStartedError:
            # It still runs, as it can after a reset of the parent.
            await workflow.sleep(pause)
        else:
            return _decoded(answer, result)
    raise AssertionError("pauses have no end")


def report(error: BaseException) -> None:
    """Make what nobody foresaw heard, with its trace."""
    workflow.logger.error("the order fails", exc_info=error)


async def undo(run: Run[ArgumentT, Any], argument: ArgumentT, *, id: str, task_queue: str) -> None:
    """Undo one step, on its owner's queue, for as long as it takes, also after the parent is gone.

    Whatever it fails of, it is tried again: what it is to undo is still there, and nobody else will.

    Args:
        run: Of the owner's contract.
        argument: Order and reason.
        id: From the owner's contract.
        task_queue: The owner's.
    """
    name, _ = _called(run)
    for pause in pauses():
        try:
            # What it says besides having ended well is of no use here.
            await workflow.execute_child_workflow(
                name,
                argument,
                result_type=cast(type, Any),
                id=id,
                task_queue=task_queue,
                retry_policy=UNDO_RETRIES,
                # Under the default policy an undo was terminated when its parent closed.
                parent_close_policy=ParentClosePolicy.ABANDON,
                cancellation_type=ChildWorkflowCancellationType.ABANDON,
            )
        except WorkflowAlreadyStartedError:
            await workflow.sleep(pause)
        except FailureError as error:
            workflow.logger.error("the undo %s failed and begins again in %s", id, pause, exc_info=error)
            _count(name, FAILED)
            await workflow.sleep(pause)
        else:
            _count(name, DONE)
            return


def _count(name: str, result: str) -> None:
    """The SDK's counter, which does not count again when a workflow is replayed."""
    counter = workflow.metric_meter().create_counter(COMPENSATIONS, COMPENSATIONS_MEAN)
    counter.add(1, {"step": name.rpartition(".")[2], "result": result})


async def unwind(undos: Sequence[Undo], reason: str) -> None:
    """Undo what was begun, the last first. None of them waits for one that does not come to its end.

    Args:
        undos: In the order in which their steps began.
        reason: What for.
    """
    begun: list[asyncio.Task[None]] = []
    for undo_step in reversed(undos):
        task = asyncio.ensure_future(undo_step(reason))
        begun.append(task)
        await workflow.wait([task], timeout=TURN.total_seconds())
    for task in begun:
        await task
