"""How inventory's workflows run their activities."""

from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy

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
