"""How payments' workflows have their activities done."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, TypeVar

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, ApplicationError

from payments.contract import Refusal

ATTEMPT = timedelta(seconds=15)
"""Three requests to the gateway, of at most 4 s each, and two transactions. After a crash a retry waits for its end."""

RETRY = RetryPolicy(
    initial_interval=timedelta(milliseconds=200),
    maximum_interval=timedelta(seconds=10),
    non_retryable_error_types=[str(refusal) for refusal in Refusal],
)
"""Without an end: nobody knows the outcome before the gateway has told it."""

_Result = TypeVar("_Result")


async def step(method: Callable[[Any, Any], Awaitable[_Result]], request: object) -> _Result:
    """Have an activity done, however long it takes.

    Args:
        method: The activity.
        request: Its argument.

    Raises:
        ApplicationError: What the activity refused with, so that a caller finds the contract's type at once.
    """
    try:
        return await workflow.execute_activity_method(
            method,
            request,
            start_to_close_timeout=ATTEMPT,
            retry_policy=RETRY,
            # The effect may be there already: a cancelled workflow ends when it is known, not before.
            cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
        )
    except ActivityError as error:
        if isinstance(error.cause, ApplicationError):
            raise error.cause from None
        raise
