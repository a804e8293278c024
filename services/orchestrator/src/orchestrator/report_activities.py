"""What ReportSales asks of the orders table."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from temporalio import activity

from orchestrator.report_store import ReportStore


@dataclass(frozen=True, slots=True)
class SalesDay:
    """A day, ``YYYY-MM-DD``, in UTC."""

    date: str


class ReportActivities:
    """Each may run twice and takes effect once."""

    def __init__(self, store: ReportStore) -> None:
        """Take what they work with."""
        self._store = store

    def all(self) -> Sequence[Callable[..., Any]]:
        """For the worker."""
        return [self.report_sales]

    @activity.defn(name="orchestrator.report_sales")
    async def report_sales(self, day: SalesDay) -> None:
        """Write the report of a day, or write it anew."""
        await self._store.make(date.fromisoformat(day.date))
