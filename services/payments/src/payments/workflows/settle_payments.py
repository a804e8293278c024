"""SettlePayments: the document of a weekday's captured and refunded money."""

from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy, SearchAttributeKey
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from payments.settlement_activities import SettlementActivities
    from payments.settlement_terms import Settlement, SettleRequest, day_of, due_on, latest_due

ATTEMPT = timedelta(seconds=30)
"""One transaction over what was booked since the last one."""

RETRY = RetryPolicy(initial_interval=timedelta(seconds=1), maximum_interval=timedelta(minutes=1))
"""Without an end: the settlement is made once the database is there."""

SCHEDULED = SearchAttributeKey.for_datetime("TemporalScheduledStartTime")
"""For when a schedule meant this run: after a delay, and in a backfill, not the time at which it runs."""


@workflow.defn(name="payments.SettlePayments")
class SettlePayments:
    """Makes the settlement that is due, or of a day that is asked for.

    Whatever runs twice, late, at the same time, or in a backfill: a day has one document, a booking is in one document,
    and what one day did not take the next one does.
    """

    @workflow.run
    async def run(self, request: SettleRequest) -> Settlement:
        """Run by the schedule ``settle-payments``, or by hand.

        Raises:
            ApplicationError: ``InvalidInput`` if the day is not over.
        """
        if request.date:
            due = due_on(day_of(request.date))
        else:
            due = latest_due(workflow.info().typed_search_attributes.get(SCHEDULED) or workflow.now())
        if due.cutoff > workflow.now():
            raise ApplicationError(f"date {due.date} is not over", type="InvalidInput", non_retryable=True)
        return await workflow.execute_activity_method(
            SettlementActivities.settle, due, start_to_close_timeout=ATTEMPT, retry_policy=RETRY
        )
