"""Work on a service's own database, done within the workflow task where that goes well.

A local activity needs no round trip to the server: one event of history instead of six, and about half of the time. But
one that has to be tried again holds its workflow task open, which costs three events every few seconds for as long as a
database is away. So it gets one attempt; where that does not do, the server takes over, and tries an ordinary activity
for as long as its policy says, at no cost.
"""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, TypeVar

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, ApplicationError, FailureError, is_cancelled_exception

ArgumentT = TypeVar("ArgumentT")
ResultT = TypeVar("ResultT")

MOMENT = timedelta(seconds=3)
"""Longest that the attempt within the workflow task may take: a task that lasts 8 s begins to cost events."""


async def local_first(
    activity: Callable[[Any, ArgumentT], Awaitable[ResultT]], argument: ArgumentT, options: workflow.ActivityConfig
) -> ResultT:
    """Execute an activity that is a short transaction, and may run again.

    What is lost against an ordinary activity: the queue's rate limit, and the web interface shows it as a marker.

    Args:
        activity: A method.
        argument: Its argument.
        options: Of the ordinary activity. Time-out and policy must be there.

    Returns:
        What it returns.

    Raises:
        temporalio.exceptions.ApplicationError: What the activity refuses for good, by itself wherever it ran.
        temporalio.exceptions.FailureError: If it is cancelled, or its time is over. A cancellation that comes while the
            first attempt runs may find it done: look for it afterwards.
    """
    policy, limit = options["retry_policy"] or RetryPolicy(), options["start_to_close_timeout"]
    final = policy.non_retryable_error_types or ()
    try:
        return await workflow.execute_local_activity_method(
            activity,
            argument,
            start_to_close_timeout=MOMENT if limit is None else min(MOMENT, limit),
            retry_policy=RetryPolicy(maximum_attempts=1),
            cancellation_type=options.get("cancellation_type", workflow.ActivityCancellationType.TRY_CANCEL),
        )
    except FailureError as error:
        # The core raises what a local activity failed of by itself, and an ordinary one's within an ActivityError.
        root = error.cause if isinstance(error, ActivityError) else error
        if isinstance(root, ApplicationError) and (root.non_retryable or root.type in final):
            raise _itself(root) from error
        if is_cancelled_exception(error):
            raise
        workflow.logger.info("the server takes over what did not go at once: %s", root)
    try:
        return await workflow.execute_activity_method(activity, argument, **options)
    except ActivityError as error:
        if isinstance(error.cause, ApplicationError):
            raise _itself(error.cause) from error
        raise


def _itself(error: ApplicationError) -> ApplicationError:
    """The same once more: one that was raised from another would be its own cause."""
    return ApplicationError(error.message, *error.details, type=error.type, non_retryable=error.non_retryable)
