"""One partition of an import: so many lines, with a history of its own."""

from datetime import timedelta

from temporalio import workflow
from temporalio.common import Priority, RetryPolicy

with workflow.unsafe.imports_passed_through():
    from inventory import jobs
    from inventory.import_activities import SENSELESS, UNKNOWN, ImportActivities

PRIORITY = Priority(priority_key=jobs.BULK)

OPTIONS = workflow.ActivityConfig(
    # A few chunks of a second or less. What tells a dead worker from a slow database is the heartbeat.
    start_to_close_timeout=timedelta(minutes=5),
    heartbeat_timeout=timedelta(seconds=10),
    retry_policy=RetryPolicy(
        initial_interval=timedelta(milliseconds=200),
        maximum_interval=timedelta(seconds=10),
        non_retryable_error_types=[UNKNOWN, SENSELESS],
    ),
    cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
    priority=PRIORITY,
)


@workflow.defn(name=jobs.IMPORT_PARTITION)
class ImportPartition:
    """Activity after activity, each of a few chunks, until the last line is through."""

    @workflow.run
    async def run(self, partition: jobs.Partition) -> jobs.Applied:
        """Apply.

        Raises:
            ActivityError: If the partition cannot be finished; what is through stays.
        """
        while True:
            applied = await workflow.execute_activity_method(ImportActivities.apply, partition, **OPTIONS)
            if applied.finished:
                return applied
