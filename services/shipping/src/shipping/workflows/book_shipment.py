"""BookShipment: one parcel is handed to its carrier."""

from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.workflow import ActivityCancellationType

from shipping import contract

with workflow.unsafe.imports_passed_through():
    from shipping.activities import Activities

RETRY = RetryPolicy(
    initial_interval=timedelta(seconds=0.2),
    maximum_interval=timedelta(seconds=10),
    non_retryable_error_types=[contract.Refusal.BOOKING_REFUSED, contract.Refusal.SHIPMENT_CANCELLED],
)


@workflow.defn(name="shipping.BookShipment")
class BookShipment(contract.BookShipment):
    """Books, for as long as it takes: whoever wants it no longer cancels the shipment."""

    @workflow.run
    async def run(self, request: contract.BookRequest) -> contract.Booking:
        """Book the parcel.

        Raises:
            ActivityError: Caused by an application error of type ``booking_refused`` or ``shipment_cancelled``.
        """
        return await workflow.execute_activity_method(
            Activities.book,
            request,
            # Two calls to the carrier of 5 s each, and the database.
            start_to_close_timeout=timedelta(seconds=15),
            retry_policy=RETRY,
            # Settled means settled: the caller must not undo while the attempt still runs.
            cancellation_type=ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
        )
