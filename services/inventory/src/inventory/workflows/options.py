"""How inventory's workflows run their activities, and how they fail."""

from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, ApplicationError

from inventory.contract import Refusal

OPTIONS = workflow.ActivityConfig(
    # Ten times what a transaction takes when many want the same row; a killed worker's attempt is repeated after it.
    start_to_close_timeout=timedelta(seconds=10),
    # No limit of attempts: a database that is away comes back, and the caller decides how long to wait.
    retry_policy=RetryPolicy(
        initial_interval=timedelta(milliseconds=200),
        maximum_interval=timedelta(seconds=10),
        non_retryable_error_types=[*Refusal],
    ),
    # A cancelled workflow ends when its transaction has: whoever undoes it finds it done, or fences it.
    cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
)


def unwrapped(error: ActivityError) -> Exception:
    """What a workflow fails with when an activity did.

    Args:
        error: Of the activity.

    Returns:
        A refusal by itself, so that its type is that of the workflow's failure, as the contract promises; anything
        else, such as a cancellation, as it is.
    """
    if isinstance(error.cause, ApplicationError):
        return ApplicationError(
            error.cause.message, *error.cause.details, type=error.cause.type, non_retryable=error.cause.non_retryable
        )
    return error
