"""Updates of running workflows, asked for over HTTP."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any, TypeVar

from sqlalchemy import RowMapping
from temporalio.client import WorkflowHandle, WorkflowUpdateFailedError, WorkflowUpdateRPCTimeoutOrCancelledError
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from chassis.connection import Connection, TemporalUnavailable
from chassis.problems import Problem

AnswerT = TypeVar("AnswerT")


def unknown(what: str) -> Problem:
    """An update that was not answered may still take effect."""
    return Problem(503, "Service Unavailable", f"It is not known yet what came of it: look at the {what} again.")


def ended(what: str, status: str) -> Problem:
    """There is no workflow that could answer. The status may be from before it was ended from outside."""
    return Problem(409, "Conflict", f"The {what} has ended and takes nothing more. It was last seen as {status}.")


async def ask(
    connection: Connection,
    workflow_id: str,
    update: str,
    arguments: Sequence[Any],
    answer: type[AnswerT],
    *,
    patience: timedelta,
    what: str,
    row: Callable[[], Awaitable[RowMapping]],
) -> AnswerT:
    """Ask a workflow, again where the server says that the question was lost. The update must bear to be asked twice.

    Args:
        connection: To Temporal.
        workflow_id: Whom.
        update: The update's name.
        arguments: Its arguments.
        answer: Type of the answer.
        patience: Longest wait.
        what: In one word, what the workflow works on.
        row: Reads its row, which says where it is. That is read after the question: the workflow may have ended since
            the caller read it.

    Raises:
        Problem: 409 if the workflow refuses or has ended; 503 if it is not known what came of it.
    """
    try:
        handle: WorkflowHandle[Any, Any] = connection.client.get_workflow_handle(workflow_id)
        async with asyncio.timeout(patience.total_seconds()):
            while True:
                try:
                    answered: AnswerT = await handle.execute_update(
                        update, args=arguments, result_type=answer, rpc_timeout=patience
                    )
                except RPCError as error:
                    # The workflow's task failed under it, as it does when something comes while it continues as new.
                    if error.status is not RPCStatusCode.FAILED_PRECONDITION:
                        raise
                else:
                    return answered
    except WorkflowUpdateFailedError as error:
        cause = error.cause
        if not isinstance(cause, ApplicationError):
            raise
        raise Problem(409, "Conflict", cause.message, error=cause.type) from error
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            raise ended(what, (await row())["status"]) from error
        raise unknown(what) from error
    except (TemporalUnavailable, TimeoutError, WorkflowUpdateRPCTimeoutOrCancelledError) as error:
        raise unknown(what) from error
