"""The gateway's HTTP surface in small, with a memory of effects and switches for trouble."""

import asyncio
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from aiohttp import web

DECLINES = {"tok_declined": "do_not_honour", "tok_insufficient": "insufficient_funds"}


class Trouble(StrEnum):
    HANG_AFTER_EFFECT = "hang after the effect"
    DROP_AFTER_EFFECT = "drop the connection after the effect"
    DROP_BEFORE_EFFECT = "drop the connection before the effect"
    ERROR_BEFORE_EFFECT = "answer 500, without an effect"
    ERROR_AFTER_EFFECT = "answer 500, after the effect"
    NONSENSE_AFTER_EFFECT = "say yes to something unreadable"


@dataclass
class Operation:
    id: str
    key: str
    kind: str
    status: str
    amount: int
    currency: str | None
    reason: str | None = None
    body: dict[str, Any] = field(default_factory=dict)

    def public(self) -> dict[str, Any]:
        names = ("id", "key", "kind", "status", "amount", "currency", "reason")
        return {name: getattr(self, name) for name in names}


class FakeGateway:
    """Knows authorisations, captures, refunds and burned keys, and counts the effects under each key."""

    def __init__(self) -> None:
        self.operations: dict[str, Operation] = {}
        self.effects: Counter[str] = Counter()
        self.requests: Counter[tuple[str, str]] = Counter()
        self.trouble: defaultdict[str, list[Trouble]] = defaultdict(list)
        """By path, ``authorisations`` and so on: used up one a request."""
        self.released = asyncio.Event()
        """Ends what hangs."""

    # The state of the world, for the tests' questions.

    def taken(self, order_id: str) -> int:
        """Minor units captured and not refunded."""
        return self._sum(order_id, "capture") - self._sum(order_id, "refund")

    def set_aside(self, order_id: str) -> int:
        """Minor units authorised and neither captured nor voided."""
        found = self.operations.get(f"payment:{order_id}:authorise")
        return found.amount if found is not None and found.status == "authorised" else 0

    def _sum(self, order_id: str, step: str) -> int:
        key = f"payment:{order_id}:{step}"
        return self.operations[key].amount * self.effects[key] if key in self.operations else 0

    # HTTP.

    def app(self) -> web.Application:
        app = web.Application()
        app.add_routes(
            [
                web.post("/gateway/v1/{what}", self._post),
                web.get("/gateway/v1/operations/{key}", self._look_up),
            ]
        )
        return app

    async def _look_up(self, request: web.Request) -> web.StreamResponse:
        key = request.match_info["key"]
        self.requests["operations", key] += 1
        trouble = self._next_trouble("operations")
        if trouble is not None:
            await self._fail(request, trouble)
        found = self.operations.get(key)
        return _problem(404, "unknown_key") if found is None else web.json_response(found.public())

    async def _post(self, request: web.Request) -> web.StreamResponse:
        what, body = request.match_info["what"], await request.json()
        key = request.headers.get("Idempotency-Key") or str(body["key"])
        self.requests[what, key] += 1
        trouble = self._next_trouble(what)
        if trouble in (Trouble.DROP_BEFORE_EFFECT, Trouble.ERROR_BEFORE_EFFECT):
            await self._fail(request, trouble)
        effect = {
            "authorisations": self._authorise,
            "captures": self._capture,
            "voids": self._void,
            "refunds": self._refund,
        }
        response = effect[what](key, body)
        if trouble is Trouble.NONSENSE_AFTER_EFFECT:
            return (
                web.json_response({"what": "nonsense"}, status=response.status) if response.status < 400 else response
            )
        if trouble is not None:
            await self._fail(request, trouble)
        return response

    def _next_trouble(self, what: str) -> Trouble | None:
        return self.trouble[what].pop(0) if self.trouble[what] else None

    async def _fail(self, request: web.Request, trouble: Trouble) -> None:
        if trouble is Trouble.HANG_AFTER_EFFECT:
            await self.released.wait()
        if trouble in (Trouble.ERROR_BEFORE_EFFECT, Trouble.ERROR_AFTER_EFFECT):
            raise web.HTTPInternalServerError
        assert request.transport is not None
        request.transport.close()
        raise ConnectionResetError

    def _authorise(self, key: str, body: dict[str, Any]) -> web.Response:
        found = self.operations.get(key)
        if found is not None:
            return self._repeated(found, body)
        reason = DECLINES.get(body["card_token"])
        if not reason and not body["card_token"].startswith("tok_"):
            return _problem(422, "card_number")
        status = "declined" if reason else "authorised"
        made = self._remember(key, "authorisation", status, body["amount"], body["currency"], reason, body)
        return self._repeated(made, body)

    def _repeated(self, found: Operation, body: dict[str, Any]) -> web.Response:
        if found.status in ("burned", "voided"):
            return _problem(409, "key_burned")
        if found.body != body:
            return _problem(422, "key_reused")
        if found.status == "declined":
            return _problem(402, "declined", reason=found.reason)
        return web.json_response(found.public() | {"status": "authorised"}, status=201)

    def _capture(self, key: str, body: dict[str, Any]) -> web.Response:
        if key in self.operations:
            return web.json_response(self.operations[key].public(), status=201)
        source = self.operations.get(body["authorisation_key"])
        if source is None or source.status == "declined":
            return _problem(404, "unknown_authorisation")
        if source.status in ("voided", "burned"):
            return _problem(409, "voided")
        if source.body["card_token"] == "tok_lapsed":
            return _problem(402, "declined", reason="authorisation_lapsed")
        source.status = "captured"
        made = self._remember(key, "capture", "captured", source.amount, source.currency)
        return web.json_response(made.public(), status=201)

    def _void(self, key: str, body: dict[str, Any]) -> web.Response:
        found = self.operations.get(key)
        if found is None:
            found = self._remember(key, "void", "burned", 0, None, effect=False)
        match found.status:
            case "captured":
                return _problem(409, "captured")
            case "authorised":
                found.status = "voided"
                self.effects[f"{key}:void"] += 1
            case "declined":
                found.status = "burned"
        amount = found.amount if found.status == "voided" else 0
        return web.json_response({"status": found.status, "amount": amount})

    def _refund(self, key: str, body: dict[str, Any]) -> web.Response:
        if key not in self.operations:
            source = self.operations.get(body["capture_key"])
            if source is None:
                return _problem(404, "unknown_capture")
            source.status = "refunded"
            self._remember(key, "refund", "refunded", source.amount, source.currency)
        return web.json_response(self.operations[key].public(), status=201)

    def _remember(
        self,
        key: str,
        kind: str,
        status: str,
        amount: int,
        currency: str | None,
        reason: str | None = None,
        body: dict[str, Any] | None = None,
        *,
        effect: bool = True,
    ) -> Operation:
        self.operations[key] = Operation(f"{kind}-of-{key}", key, kind, status, amount, currency, reason, body or {})
        self.effects[key] += effect
        return self.operations[key]


def _problem(status: int, error: str, **members: Any) -> web.Response:
    body = {"type": "about:blank", "title": error, "status": status, "error": error, **members}
    return web.json_response(body, status=status, content_type="application/problem+json")
