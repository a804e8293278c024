"""What a saga needs of asyncio: steps that settle before anything is undone, and work that no cancellation reaches."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any, TypeVar

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import (
    ChildWorkflowError,
    TerminatedError,
    WorkflowAlreadyStartedError,
    is_cancelled_exception,
)
from temporalio.workflow import ChildWorkflowCancellationType, ParentClosePolicy

ArgumentT = TypeVar("ArgumentT")
ResultT = TypeVar("ResultT")

Run = Callable[[Any, ArgumentT], Awaitable[ResultT]]
"""The ``run`` of a contract's workflow."""

UNDO_RETRIES = RetryPolicy(initial_interval=timedelta(seconds=1), maximum_interval=timedelta(minutes=1))
"""An undo is tried until it succeeds. One that keeps failing is for an operator to see, never to be given up."""

ID_TAKEN_PAUSE = timedelta(seconds=2)
"""How long to wait where a workflow of the wanted id still runs, as it can after a reset of the parent."""


async def uninterrupted(work: Coroutine[Any, Any, ResultT]) -> ResultT:
    """Do something to its end, however often the workflow is cancelled meanwhile.

    One ``asyncio.shield`` breaks at the second cancellation: it is awaited anew until the work is done.

    Args:
        work: What is to be done.

    Returns:
        Its result; what it raises is raised.
    """
    task = asyncio.create_task(work)
    while not task.done():
        with suppress(asyncio.CancelledError):
            await asyncio.shield(task)
    return task.result()


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
    """
    while True:
        try:
            return await workflow.execute_child_workflow(
                run,
                argument,
                id=id,
                task_queue=task_queue,
                execution_timeout=backstop,
                # A step of a parent that is no more has nobody to go on for. It is asked to stop, and not terminated,
                # because only then it ends with its books in order.
                parent_close_policy=ParentClosePolicy.REQUEST_CANCEL,
            )
        except WorkflowAlreadyStartedError:
            await workflow.sleep(ID_TAKEN_PAUSE)


async def undo(run: Run[ArgumentT, ResultT], argument: ArgumentT, *, id: str, task_queue: str) -> ResultT:
    """Undo one step, on its owner's queue, for as long as it takes, also after the parent is gone.

    Args:
        run: Of the owner's contract.
        argument: Order and reason.
        id: From the owner's contract.
        task_queue: The owner's.
    """
    while True:
        try:
            return await workflow.execute_child_workflow(
                run,
                argument,
                id=id,
                task_queue=task_queue,
                retry_policy=UNDO_RETRIES,
                # Under the default policy an undo was terminated when its parent closed.
                parent_close_policy=ParentClosePolicy.ABANDON,
                cancellation_type=ChildWorkflowCancellationType.ABANDON,
            )
        except WorkflowAlreadyStartedError:
            await workflow.sleep(ID_TAKEN_PAUSE)
        except ChildWorkflowError as error:
            # Somebody stopped the undo itself. What it was to undo is still there, and nobody else will.
            if not (is_cancelled_exception(error) or isinstance(error.cause, TerminatedError)):
                raise
            workflow.logger.warning("the undo %s was stopped and begins again", id)
            await workflow.sleep(ID_TAKEN_PAUSE)
