from collections.abc import Mapping
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from chassis.testing.serving import serve_app
from waybill.audit.books import BooksError
from waybill.audit.reading import KEEPERS, Reader
from waybill.audit.run import audit

TOKEN = "operator-token"
AT = "2026-11-24T12:00:00+00:00"


def order(order_id: str, status: str = "rejected", **changes: Any) -> dict[str, Any]:
    return {
        "order_id": order_id,
        "status": status,
        "finished": status == "rejected",
        "reason": None,
        "currency": "EUR",
        "total": None,
        "units": None,
        "parcels": None,
        "created_at": AT,
        "updated_at": AT,
        "notified": False,
        **changes,
    }


class FakeDeployment:
    """All keepers of books on one port, each under its own path."""

    def __init__(self) -> None:
        self.books: dict[str, list[dict[str, Any]]] = {keeper: [] for keeper in KEEPERS}
        self.discrepancies: list[dict[str, Any]] = []
        self.accounts: list[dict[str, Any]] = []
        self.failures = 0
        self.pages = 0
        self.readings_of_orders = 0
        self.later: list[list[dict[str, Any]]] = []

    def app(self) -> web.Application:
        app = web.Application()
        app.add_routes([web.get("/{keeper}/audit", self.page), web.get("/inventory/audit/stock", self.shelves)])
        app.add_routes([web.get("/payments/accounts", self.page_of_accounts)])
        return app

    async def page_of_accounts(self, request: web.Request) -> web.Response:
        return web.json_response({"items": self.accounts, "next": None})

    async def page(self, request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return web.json_response({"title": "Unauthorized"}, status=401)
        if self.failures:
            self.failures -= 1
            return web.json_response({"title": "Service Unavailable"}, status=503)
        keeper, after = request.match_info["keeper"], request.query["after"]
        if keeper == "orchestrator" and not after:
            self.readings_of_orders += 1
            if self.later and self.readings_of_orders > 1:
                self.books[keeper] = self.later.pop(0)
        items = [item for item in self.books[keeper] if item["order_id"] > after]
        self.pages += 1
        return web.json_response({"items": items[:2], "next": items[1]["order_id"] if len(items) > 2 else None})

    async def shelves(self, _: web.Request) -> web.Response:
        return web.json_response({"discrepancies": self.discrepancies})


def reader(session: aiohttp.ClientSession, base: str, token: str = TOKEN, patience: float = 10) -> Reader:
    urls: Mapping[str, str] = {keeper: f"{base}/{keeper}" for keeper in KEEPERS}
    return Reader(session, urls, token, patience_seconds=patience)


async def test_all_pages_of_all_books_are_read() -> None:
    world = FakeDeployment()
    world.books["orchestrator"] = [order(f"A{number}", notified=True) for number in range(5)]
    world.books["sandbox"] = [
        {
            "order_id": f"A{number}",
            "effects": [
                {
                    "provider": "mailbox",
                    "kind": "message",
                    "key": f"order:A{number}:message:rejected",
                    "amount": None,
                    "requests": 1,
                }
            ],
        }
        for number in range(5)
    ]
    async with serve_app(world.app()) as base, aiohttp.ClientSession() as session:
        report = await audit(reader(session, base))
    assert (report.checked, report.in_flight, report.violations) == (5, 0, ())
    assert report.as_json() == {"checked": 5, "in_flight": 0, "violations": []}


async def test_an_answer_that_fails_is_asked_for_again() -> None:
    world = FakeDeployment()
    world.failures = 2
    async with serve_app(world.app()) as base, aiohttp.ClientSession() as session:
        assert (await audit(reader(session, base))).checked == 0


async def test_who_never_answers_is_named() -> None:
    async with aiohttp.ClientSession() as session:
        with pytest.raises(BooksError, match=r"orchestrator does not answer at http://127.0.0.1:9"):
            await reader(session, "http://127.0.0.1:9", patience=0).read()


async def test_a_wrong_token_is_said_at_once() -> None:
    async with serve_app(FakeDeployment().app()) as base, aiohttp.ClientSession() as session:
        with pytest.raises(BooksError, match="orchestrator answers 401"):
            await reader(session, base, token="wrong").read()


async def test_a_missing_url_is_said_before_anyone_is_asked() -> None:
    async with aiohttp.ClientSession() as session:
        with pytest.raises(BooksError, match="no URL for inventory, payments, shipping, sandbox"):
            Reader(session, {"orchestrator": "http://127.0.0.1:1"}, TOKEN)


async def test_books_in_another_form_are_said_to_be() -> None:
    world = FakeDeployment()
    world.books["orchestrator"] = [{"order_id": "A"}]
    async with serve_app(world.app()) as base, aiohttp.ClientSession() as session:
        with pytest.raises(BooksError, match="not in the form"):
            await reader(session, base).read()


async def test_a_wait_ends_when_no_order_is_under_way() -> None:
    world = FakeDeployment()
    world.books["orchestrator"] = [order("A", "reserving", updated_at="2126-11-24T12:00:00+00:00")]
    message = {"provider": "mailbox", "kind": "message", "key": "order:A:message:rejected"}
    world.books["sandbox"] = [{"order_id": "A", "effects": [{**message, "amount": None, "requests": 1}]}]
    world.later = [world.books["orchestrator"], [order("A", notified=True)]]
    async with serve_app(world.app()) as base, aiohttp.ClientSession() as session:
        report = await audit(reader(session, base), wait_seconds=30)
    assert (report.in_flight, report.violations) == (0, ())


async def test_an_order_that_is_waited_for_in_vain_is_a_violation() -> None:
    world = FakeDeployment()
    world.books["orchestrator"] = [order("A", "reserving", updated_at="2126-11-24T12:00:00+00:00")]
    async with serve_app(world.app()) as base, aiohttp.ClientSession() as session:
        without_wait = await audit(reader(session, base))
        report = await audit(reader(session, base), wait_seconds=0.1)
    assert without_wait.violations == ()
    assert [str(violation) for violation in report.violations] == ["A: stuck: reserving after a wait of 0.1 s"]


async def test_an_order_that_came_in_while_books_were_read_is_under_way() -> None:
    world = FakeDeployment()
    world.books["inventory"] = [{"order_id": "A", "state": "held", "held": 1, "out": 0}]
    world.later = [[order("A", "authorising", updated_at="2126-11-24T12:00:00+00:00")]]
    async with serve_app(world.app()) as base, aiohttp.ClientSession() as session:
        report = await audit(reader(session, base))
    assert (report.checked, report.in_flight, report.violations) == (1, 1, ())


async def test_an_account_that_its_bookings_do_not_come_to_is_a_violation() -> None:
    world = FakeDeployment()
    world.accounts = [{"account_id": "C-1", "balance": 5, "ledger": 4, "balanced": False}]
    async with serve_app(world.app()) as base, aiohttp.ClientSession() as session:
        report = await audit(reader(session, base))
    assert [str(each) for each in report.violations] == ["C-1: account: the balance is 5, but its bookings come to 4"]


async def test_a_shelf_that_lost_units_is_a_violation() -> None:
    world = FakeDeployment()
    world.discrepancies = [{"sku": "TEA", "warehouse": "north", "on_hand": 9, "moved": 10, "held": 0, "lines": 0}]
    async with serve_app(world.app()) as base, aiohttp.ClientSession() as session:
        report = await audit(reader(session, base))
    assert "TEA in north" in str(report.violations[0])
