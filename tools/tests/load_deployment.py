"""A deployment that a load test can be conducted on: all services on one port, each under its own path."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from chassis.testing.serving import serve_app
from waybill.audit.reading import KEEPERS
from waybill.load.mix import KINDS
from waybill.load.report.model import Section
from waybill.load.session import Session
from waybill.load.targets import Target
from waybill.stack.plan import NAMESPACE

FULFILLED = KINDS["fulfilled"]
PROVIDERS = ("gateway", "swift", "steady", "budget", "mailbox")


class FakeDeployment:
    """Orders end as soon as they are taken; what else happens is told it.

    Attributes:
        status: With which orders are answered.
        written: Whether an order is written down, whatever it is answered.
        ends: Status and reason with which orders end; None lets them be under way.
        discrepancies: That inventory finds in its stock.
        answers: Status with which a path is answered, in the place of what it does.
        stalled: Paths that are not answered until ``relent``.
        asked: Paths that were asked for, in their order.
        faults: Of the outside world's providers.
        receipts: Of goods, by their id.
    """

    def __init__(self) -> None:
        self.status = 202
        self.written = True
        self.ends: tuple[str, str | None] | None = ("fulfilled", None)
        self.rows: list[dict[str, Any]] = []
        self.discrepancies: list[dict[str, Any]] = []
        self.answers: dict[str, int] = {}
        self.stalled: set[str] = set()
        self.asked: list[str] = []
        self.faults: dict[str, dict[str, Any]] = {name: {} for name in PROVIDERS}
        self.receipts: dict[str, dict[str, Any]] = {}
        self.waiting = 0
        self._relented = asyncio.Event()

    def relent(self) -> None:
        """Answer what was stalled."""
        self._relented.set()

    @asynccontextmanager
    async def served(self) -> AsyncIterator[dict[str, str]]:
        """Base URL of each keeper of books, while the block runs."""
        app = web.Application(middlewares=[self._asked])
        app.add_routes(
            [
                web.post("/orchestrator/orders", self._place),
                web.get("/orchestrator/orders", self._list),
                web.get("/{keeper}/audit", self._empty),
                web.get("/payments/accounts", self._empty),
                web.get("/inventory/audit/stock", self._shelves),
                web.get("/sandbox/faults", self._faults),
                web.put("/sandbox/faults", self._replace),
                web.put("/inventory/catalogue/{sku}", self._done),
                web.post("/inventory/receipts", self._receive),
                web.post("/payments/accounts/{name}/deposits", self._done),
            ]
        )
        async with serve_app(app) as base:
            try:
                yield {name: f"{base}/{name}" for name in KEEPERS}
            finally:
                self.relent()

    @web.middleware
    async def _asked(self, request: web.Request, handler: Any) -> web.StreamResponse:
        path = f"{request.method} {request.path}"
        self.asked.append(path)
        if path in self.stalled:
            self.waiting += 1
            await self._relented.wait()
        if path in self.answers:
            return web.json_response({"title": "told to"}, status=self.answers[path])
        answer: web.StreamResponse = await handler(request)
        return answer

    async def _place(self, request: web.Request) -> web.Response:
        body = await request.json()
        if self.written:
            now = datetime.now(UTC).isoformat()
            status, reason = self.ends or ("accepted", None)
            row = {"order_id": body["order_id"], "status": status, "reason": reason}
            self.rows.append({**row, "created_at": now, "updated_at": now})
        return web.json_response({}, status=self.status)

    async def _list(self, _: web.Request) -> web.Response:
        return web.json_response({"items": self.rows[::-1], "next": None})

    async def _empty(self, _: web.Request) -> web.Response:
        return web.json_response({"items": [], "next": None})

    async def _shelves(self, _: web.Request) -> web.Response:
        return web.json_response({"discrepancies": self.discrepancies})

    async def _faults(self, _: web.Request) -> web.Response:
        return web.json_response(self.faults)

    async def _replace(self, request: web.Request) -> web.Response:
        self.faults |= await request.json()
        return web.json_response(self.faults)

    async def _receive(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.receipts[body["receipt_id"]] = body
        return web.json_response({})

    async def _done(self, _: web.Request) -> web.Response:
        return web.json_response({})


class FakeTarget(Target):
    """Of a fake deployment: it has no process, and nothing can be changed in it."""

    kind = "a fake deployment"

    def __init__(self, urls: Mapping[str, str], temporal: str | None = None, namespace: str = NAMESPACE) -> None:
        super().__init__(urls, "operator-token", temporal, namespace)

    def pids(self) -> dict[str, int]:
        return {}

    def metrics(self) -> dict[str, str]:
        return {}

    async def scale(self, service: str, replicas: int) -> None:
        raise AssertionError(f"nobody asks for {replicas} of {service}")

    async def configure(self, service: str, variables: Mapping[str, str]) -> None:
        raise AssertionError(f"nobody sets {variables} of {service}")


@asynccontextmanager
async def entered(target: Target) -> AsyncIterator[Target]:
    """One that is up already."""
    yield target


async def orders(session: Session) -> Section:
    """Three of them."""
    for _ in range(3):
        await session.ledger.place(FULFILLED, "load", session.clock.now())
    await session.finished(stall_seconds=0.0)
    return Section("Three orders")
