"""The gate of a new version: a workflow that runs once on it before it gets anything else."""

from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy

GATE = "chassis.Gate"
LOOK = "chassis.look"
SECONDS = 60
"""How long a new version may take to show that it works."""


@workflow.defn(name=GATE)
class Gate:
    """Can a worker of the new version work where it is?"""

    @workflow.run
    async def run(self) -> None:
        """Look, until it can; fails if it cannot in time, and the version stays without work."""
        await workflow.execute_activity(
            LOOK,
            start_to_close_timeout=timedelta(seconds=10),
            schedule_to_close_timeout=timedelta(seconds=SECONDS),
            retry_policy=RetryPolicy(maximum_interval=timedelta(seconds=5)),
        )
