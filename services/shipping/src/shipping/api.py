"""Shipping's HTTP surface: carriers' webhooks, and its books for operators."""

import hashlib
import hmac
from collections.abc import Sequence
from typing import Any

from aiohttp import web
from pydantic import SecretStr

from chassis.paging import page, page_args
from chassis.problems import Problem, operators_only, read_json
from shipping.carriers import CarrierEvent, Text
from shipping.delivery import Sighting
from shipping.relay import Relay
from shipping.reports import Report, Reports
from shipping.store import ParcelRow, ParcelState, Store

SIGNATURE = "X-Waybill-Signature"
"""Header with ``sha256=`` and the hexadecimal HMAC-SHA256 of the raw body."""


class WebhookEvent(CarrierEvent):
    """The body of a carrier's webhook."""

    reference: Text
    """The booking's idempotency key."""
    tracking_number: Text


class Api:
    """The handlers, over what they need."""

    def __init__(self, store: Store, reports: Reports, relay: Relay, secret: SecretStr, operator: SecretStr) -> None:
        """Put together.

        Args:
            store: Bookings.
            reports: Events and silences.
            relay: Woken when there is news.
            secret: Key of the webhooks' signatures.
            operator: Bearer token of operators.
        """
        self._store = store
        self._reports = reports
        self._relay = relay
        self._secret = secret.get_secret_value().encode()
        self._operator = operator

    def routes(self) -> Sequence[web.RouteDef]:
        """All routes of the service."""
        guarded = operators_only(self._operator)
        return [
            web.post("/webhooks/carriers/{carrier:[a-z][a-z0-9-]*}", self.webhook),
            web.get("/audit", guarded(self.audit)),
            web.get("/escalations", guarded(self.escalations)),
        ]

    async def webhook(self, request: web.Request) -> web.Response:
        """``POST /webhooks/carriers/{carrier}``: something happened to a parcel.

        Stored first, then told to whoever tracks the parcel; the answer waits for the first only, so that Temporal
        may be away. What is stored already, or is for no parcel of ours, is as welcome.
        """
        given = request.headers.get(SIGNATURE, "").encode(errors="replace")
        if not hmac.compare_digest(given, sign(self._secret, await request.read()).encode()):
            raise Problem(401, "Unauthorized", f"{SIGNATURE} is not the signature of the body.")
        event = await read_json(request, WebhookEvent)
        await self._reports.add(
            Report(
                carrier=request.match_info["carrier"],
                event_id=event.event_id,
                key=event.reference,
                tracking_number=event.tracking_number,
                state=event.state,
                at=event.at,
                expected_at=event.expected_at,
            )
        )
        self._relay.wake()
        return web.Response(status=204)

    async def audit(self, request: web.Request) -> web.Response:
        """``GET /audit``: all orders with their parcels, page by page."""
        after, limit = page_args(request)
        shipments = await self._store.page(after, limit)
        sightings = await self._reports.sightings([parcel for order in shipments for parcel in order.parcels])
        items = [
            {
                "order_id": order.order_id,
                "cancelled": order.cancelled,
                "parcels": [_audited(parcel, sightings[parcel.key]) for parcel in order.parcels],
            }
            for order in shipments
        ]
        return page(items, limit, "order_id")

    async def escalations(self, request: web.Request) -> web.Response:
        """``GET /escalations``: silences and missed promises, oldest first, page by page."""
        after, limit = page_args(request)
        if after and not (after.isascii() and after.isdigit() and len(after) < 19):
            raise Problem(400, "Invalid Page", "after is not a key.", field="after")
        items = [
            {
                "id": str(row["id"]),
                "kind": row["kind"],
                "order_id": row["order_id"],
                "parcel": row["parcel"],
                "at": row["at"].isoformat(),
                "silent_since": row["silent_since"].isoformat(),
                "promised_at": row["promised_at"] and row["promised_at"].isoformat(),
                "news": row["news"],
                "detail": row["detail"],
            }
            for row in await self._reports.silences(int(after or 0), limit)
        ]
        return page(items, limit, "id")


def sign(secret: bytes, body: bytes) -> str:
    """The signature of a webhook's body."""
    return "sha256=" + hmac.new(secret, body, hashlib.sha256).hexdigest()


def _audited(parcel: ParcelRow, seen: Sighting) -> dict[str, Any]:
    booked = parcel.state is ParcelState.BOOKED
    return {
        "parcel": parcel.parcel,
        "carrier": parcel.carrier,
        "state": str(seen.state if booked else parcel.state),
        "tracking_number": parcel.tracking_number,
    }
