"""CancelShipment: the undo of all of an order's bookings."""

from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.workflow import ActivityCancellationType

from shipping import contract

with workflow.unsafe.imports_passed_through():
    from shipping.activities import Activities

RETRY = RetryPolicy(initial_interval=timedelta(seconds=0.2), maximum_interval=timedelta(seconds=10))


@workflow.defn(name="shipping.CancelShipment")
class CancelShipment(contract.CancelShipment):
    """Cancels, for as long as it takes."""

    @workflow.run
    async def run(self, undo: contract.Undo) -> contract.Cancelled:
        """Put up the fence and tell the carriers."""
        return await workflow.execute_activity_method(
            Activities.cancel,
            undo,
            # The carriers are told side by side, 5 s each at most; the rest is the database.
            start_to_close_timeout=timedelta(seconds=15),
            retry_policy=RETRY,
            cancellation_type=ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
        )
