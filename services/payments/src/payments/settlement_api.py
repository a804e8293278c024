"""The HTTP surface of the settlements, for operators."""

from datetime import date
from typing import Any

from aiohttp import web
from pydantic import SecretStr

from chassis.paging import page, page_args
from chassis.problems import Problem, operators_only
from payments.settlement_store import SettlementStore
from payments.settlement_terms import Settlement


def routes(store: SettlementStore, operator_token: SecretStr) -> list[web.RouteDef]:
    """The settlements' routes.

    Args:
        store: The settlements' memory.
        operator_token: What callers must show.
    """
    guarded = operators_only(operator_token)

    @guarded
    async def settlements(request: web.Request) -> web.StreamResponse:
        """``GET /settlements?after=&limit=``: all settlements, by date."""
        after, limit = page_args(request)
        found = await store.page(_date(after, "after") if after else None, limit)
        return page([_document(settlement) for settlement in found], limit, "date")

    @guarded
    async def settlement(request: web.Request) -> web.StreamResponse:
        """``GET /settlements/{date}``: one."""
        day = _date(request.match_info["date"], "date")
        found = await store.settlement(day)
        if found is None:
            raise Problem(404, "Not Found", f"There is no settlement of {day}.")
        return web.json_response(_document(found))

    return [web.get("/settlements", settlements), web.get("/settlements/{date}", settlement)]


def _date(text: str, field: str) -> date:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        day = None
    if day is None or day.isoformat() != text:
        raise Problem(400, "Invalid Date", f"{field} is not a date of the form 2026-11-24.", field=field)
    return day


def _document(settlement: Settlement) -> dict[str, Any]:
    return {
        "date": settlement.date,
        "cutoff": settlement.cutoff.isoformat(),
        "made_at": settlement.made_at.isoformat(),
        "lines": [
            {
                "currency": line.currency,
                "method": line.method,
                "captured": line.captured,
                "captures": line.captures,
                "refunded": line.refunded,
                "refunds": line.refunds,
                "net": line.captured - line.refunded,
            }
            for line in settlement.lines
        ],
    }
