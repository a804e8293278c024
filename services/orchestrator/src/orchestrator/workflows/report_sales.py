"""The sales of the day before, each morning."""

from datetime import UTC, timedelta

from temporalio import workflow
from temporalio.common import SearchAttributeKey

from orchestrator.workflows.options import PATIENT

with workflow.unsafe.imports_passed_through():
    from orchestrator.report_activities import ReportActivities, SalesDay

REPORT_TIMEOUT = timedelta(seconds=30)
SCHEDULED = SearchAttributeKey.for_datetime("TemporalScheduledStartTime")
"""When the schedule meant this to start. A backfill starts it now and means another day."""


@workflow.defn(name="orchestrator.ReportSales")
class ReportSales:
    """Stores the report of the day before the one that it was scheduled for; again, it stores the same."""

    @workflow.run
    async def run(self) -> SalesDay:
        info = workflow.info()
        meant = info.typed_search_attributes.get(SCHEDULED) or info.start_time
        day = SalesDay((meant.astimezone(UTC) - timedelta(days=1)).date().isoformat())
        await workflow.execute_activity_method(
            ReportActivities.report_sales, day, start_to_close_timeout=REPORT_TIMEOUT, retry_policy=PATIENT
        )
        return day
