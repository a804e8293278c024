"""The customers' and the operators' HTTP surface."""

import uuid
from collections.abc import Sequence
from functools import partial
from typing import Any

from aiohttp import web
from pydantic import SecretStr
from sqlalchemy import RowMapping

from chassis.connection import Connection
from chassis.paging import page, page_args
from chassis.problems import Problem, operators_only, read_json
from orchestrator import contract, models, openapi
from orchestrator.asking import ask, ended, unknown
from orchestrator.contract import Status
from orchestrator.contracts import inventory
from orchestrator.intake import Intake
from orchestrator.settings import Settings
from orchestrator.store import Store
from orchestrator.terms import terms_of

ID_NAMESPACE = uuid.UUID("6f0d1c1e-9d0b-4f0e-8f43-0d7a5f0f3c55")
"""Under which an Idempotency-Key becomes an order id. Never change it: a repeat must find its order."""
PAGE = 50


class Api:
    """The handlers."""

    def __init__(self, store: Store, intake: Intake, connection: Connection, settings: Settings) -> None:
        """Take what they work with."""
        self._store = store
        self._intake = intake
        self._connection = connection
        self._settings = settings

    def routes(self) -> list[web.RouteDef]:
        """The routes, for the chassis."""
        token: SecretStr = self._settings.operator_token
        return [
            web.post("/orders", self.place),
            web.get("/orders", self.list),
            web.get("/orders/{order_id}", self.get),
            web.post("/orders/{order_id}/approval", operators_only(token)(self.decide)),
            web.post("/orders/{order_id}/cancellation", self.cancel),
            web.get("/audit", operators_only(token)(self.audit)),
            web.get("/openapi.json", self.openapi),
        ]

    async def place(self, request: web.Request) -> web.Response:
        """``POST /orders``: write the row, start the workflow if Temporal is there."""
        key = _idempotency_key(request)
        body = await read_json(request, models.OrderBody)
        order_id = body.order_id or str(uuid.uuid5(ID_NAMESPACE, key) if key else uuid.uuid4())
        digest = body.digest()
        try:
            order = terms_of(body, order_id, self._settings)
        except Problem:
            # The shop's limits are for new orders. A repeat finds its own, whatever they have become.
            row = await self._store.standing(order_id, key)
            if row is None:
                raise
        else:
            row = (await self._store.accept(order_id, digest, order, key)).row
        if row["digest"] != digest or (body.order_id is not None and row["order_id"] != body.order_id):
            by_key = key is not None and row["idempotency_key"] == key
            raise Problem(
                409,
                "Conflict",
                f"Another order was placed under this {'key' if by_key else 'id'}.",
                field="Idempotency-Key" if by_key else "order_id",
            )
        if row["started_at"] is None and row["request"] is not None:
            await self._intake.start(row["order_id"], row["request"])
        return web.json_response(
            {"order_id": row["order_id"], "status": row["status"]},
            status=202,
            headers={"Location": f"/orders/{row['order_id']}"},
        )

    async def get(self, request: web.Request) -> web.Response:
        """``GET /orders/{order_id}``."""
        row = await self._row(request)
        steps = await self._store.steps_of(row["order_id"])
        document = {
            **_summary(row),
            "lines": [{"sku": sku, "quantity": quantity} for sku, quantity in row["lines"]],
            "missing": [
                {"sku": sku, "quantity": quantity, "reason": inventory.Refusal.OUT_OF_STOCK, "attempts": 1}
                for sku, quantity in row["missing"] or []
            ],
            "parcels": row["parcels"],
            "tracking_numbers": row["tracking_numbers"] or [],
            "decision": row["decision"],
            "approval": row["approval"],
            "delivery": row["delivery"] or [],
            "notified": row["notified"],
            "steps": [
                {"status": step["status"], "at": step["at"].isoformat(), "detail": step["detail"]} for step in steps
            ],
        }
        return web.json_response(document)

    async def list(self, request: web.Request) -> web.Response:
        """``GET /orders``."""
        after, limit = page_args(request, PAGE)
        if after and not (after.isascii() and after.isdigit() and len(after) < 19):
            raise Problem(400, "Invalid Page", "after is not a key of these pages.", field="after")
        rows = await self._store.newest(_status(request), int(after) if after else None, limit)
        following = str(rows[-1]["number"]) if len(rows) == limit else None
        return web.json_response({"items": [_summary(row) for row in rows], "next": following})

    async def decide(self, request: web.Request) -> web.Response:
        """``POST /orders/{order_id}/approval``."""
        body = await read_json(request, models.ApprovalBody)
        decision = contract.Decision(body.decision == "approve", body.approver, body.note)
        return web.json_response(await self._update(request, "decide", decision))

    async def cancel(self, request: web.Request) -> web.Response:
        """``POST /orders/{order_id}/cancellation``."""
        body = await read_json(request, models.CancellationBody)
        progress = await self._update(request, "cancel", contract.CancelRequest(body.reason))
        return web.json_response(progress, status=202)

    async def audit(self, request: web.Request) -> web.Response:
        """``GET /audit``: this service's books, by order."""
        after, limit = page_args(request)
        return page(await self._store.books(after, limit), limit, "order_id")

    async def openapi(self, _: web.Request) -> web.Response:
        """``GET /openapi.json``."""
        return web.json_response(openapi.document())

    async def _row(self, request: web.Request) -> RowMapping:
        order_id = request.match_info["order_id"]
        # PostgreSQL refuses the null character; no id has any that cannot be printed.
        row = await self._store.get(order_id) if order_id.isprintable() else None
        if row is None:
            raise Problem(404, "Not Found", "There is no such order.")
        return row

    async def _update(
        self, request: web.Request, update: str, argument: contract.Decision | contract.CancelRequest
    ) -> dict[str, str]:
        """Ask the order's workflow.

        Raises:
            Problem: 404 if there is no such order; 409 if its workflow refuses or has ended; 503 if it is not known
                what came of it.
        """
        row = await self._row(request)
        if row["started_at"] is None:
            if row["request"] is None:
                raise ended("order", row["status"])
            if not await self._intake.start(row["order_id"], row["request"], row["import_id"]):
                raise unknown("order")
        progress = await ask(
            self._connection,
            contract.fulfil_id(row["order_id"]),
            update,
            [argument],
            contract.Progress,
            patience=self._intake.patience,
            what="order",
            row=partial(self._row, request),
        )
        return {"order_id": progress.order_id, "status": progress.status}


def _summary(row: RowMapping) -> dict[str, Any]:
    same: Sequence[str] = ("order_id", "number", "status", "reason", "detail", "currency", "total")
    return {name: row[name] for name in same} | {name: row[name].isoformat() for name in ("created_at", "updated_at")}


def _status(request: web.Request) -> Status | None:
    text = request.query.get("status")
    if text is None:
        return None
    try:
        return Status(text)
    except ValueError as error:
        raise Problem(400, "Invalid Filter", f"status is one of {', '.join(Status)}.", field="status") from error


def _idempotency_key(request: web.Request) -> str | None:
    key = request.headers.get("Idempotency-Key")
    if key is not None and not (1 <= len(key) <= 200 and key.isprintable()):
        raise Problem(400, "Invalid Key", "Idempotency-Key is 1 to 200 printable characters.", field="Idempotency-Key")
    return key
