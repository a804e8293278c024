"""All that reports are made of, put together."""

from datetime import timedelta

from aiohttp import web
from sqlalchemy.ext.asyncio import AsyncEngine
from temporalio.client import ScheduleOverlapPolicy

from chassis.schedules import ServiceSchedule
from orchestrator import contract
from orchestrator.report_activities import ReportActivities
from orchestrator.report_store import ReportStore
from orchestrator.reports_api import ReportsApi
from orchestrator.settings import Settings

DAILY_SALES_REPORT = ServiceSchedule(
    id="daily-sales-report",
    workflow="orchestrator.ReportSales",
    task_queue=contract.TASK_QUEUE,
    cron="0 9 * * *",
    # A backfill is of several days, and each wants its report.
    overlap=ScheduleOverlapPolicy.BUFFER_ALL,
    catchup=timedelta(days=7),
    note="Sales of the day before, at GET /reports/sales/{date}",
)


class Reporting:
    """Of one service.

    Attributes:
        activities: For the worker.
        schedules: For the chassis.
    """

    schedules = (DAILY_SALES_REPORT,)

    def __init__(self, engine: AsyncEngine, settings: Settings) -> None:
        """Put it together."""
        store = ReportStore(engine)
        self.activities = ReportActivities(store)
        self._api = ReportsApi(store, settings.operator_token)

    def routes(self) -> list[web.RouteDef]:
        """The routes, for the chassis."""
        return self._api.routes()
