"""The operators' HTTP surface for reports."""

from datetime import date
from typing import Any

from aiohttp import web
from pydantic import SecretStr
from sqlalchemy import RowMapping

from chassis.paging import page, page_args
from chassis.problems import Problem, operators_only
from orchestrator.report_store import ReportStore

PAGE = 31


class ReportsApi:
    """The handlers."""

    def __init__(self, store: ReportStore, operator_token: SecretStr) -> None:
        """Take what they work with."""
        self._store = store
        self._token = operator_token

    def routes(self) -> list[web.RouteDef]:
        """The routes, for the chassis."""
        guard = operators_only(self._token)
        return [
            web.get("/reports/sales", guard(self.list)),
            web.get("/reports/sales/{date}", guard(self.get)),
        ]

    async def list(self, request: web.Request) -> web.Response:
        """``GET /reports/sales``: newest first."""
        after, limit = page_args(request, PAGE)
        rows = await self._store.newest(_day(after, 400) if after else None, limit)
        return page([_document(row) for row in rows], limit, "date")

    async def get(self, request: web.Request) -> web.Response:
        """``GET /reports/sales/{date}``."""
        row = await self._store.get(_day(request.match_info["date"], 404))
        if row is None:
            raise Problem(404, "Not Found", "There is no report of that day.")
        return web.json_response(_document(row))


def _day(text: str, status: int) -> date:
    try:
        day = date.fromisoformat(text)
    except ValueError as error:
        raise Problem(status, "Invalid Date", "A day is of the form YYYY-MM-DD.", field="date") from error
    if day.isoformat() != text:
        raise Problem(status, "Invalid Date", "A day is of the form YYYY-MM-DD.", field="date")
    return day


def _document(row: RowMapping) -> dict[str, Any]:
    return {**row["document"], "made_at": row["made_at"].isoformat()}
