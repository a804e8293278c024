"""Three carriers: quote, book, cancel, follow; a postcode is a parcel's fate."""

import sqlite3
import time
import uuid
from dataclasses import dataclass
from typing import Annotated, Any

from aiohttp import web
from pydantic import Field, StringConstraints

from chassis.problems import Problem, read_json
from sandbox.callbacks import Callbacks, call_off, schedule
from sandbox.ledger import count_request, record_effect
from sandbox.state import State
from sandbox.wire import (
    Answer,
    Body,
    Currency,
    Key,
    Pauses,
    Text,
    digest,
    idempotency_key,
    key_burned,
    key_reused,
    moment,
    refusal,
)

MAX_WEIGHT = 10**9
MAX_PARCEL = 1000

Country = Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}$")]
"""ISO 3166-1 alpha-2 code."""
Weight = Annotated[int, Field(ge=1, le=MAX_WEIGHT)]
"""Grams."""


@dataclass(frozen=True, slots=True)
class Tariff:
    """What a carrier asks."""

    parcel: int
    """Minor units for a parcel of any weight."""
    kilogram: int
    """Minor units for each kilogram, begun or full."""

    def price(self, weight: int) -> int:
        """Minor units for a parcel of so many grams, in whatever currency is asked for."""
        return self.parcel + self.kilogram * -(-weight // 1000)


CARRIERS = {"swift": Tariff(900, 150), "steady": Tariff(550, 90), "budget": Tariff(350, 60)}


class QuoteBody(Body):
    """Ask for a price."""

    weight: Weight
    warehouse: Text
    postcode: Text
    country: Country
    currency: Currency


class AddressBody(Body):
    """Where a parcel goes. Used, never kept."""

    name: Text
    street: Text
    city: Text
    postcode: Text
    country: Country


class BookingBody(Body):
    """Hand a parcel over."""

    reference: Text
    """The order's id."""
    parcel: int = Field(ge=1, le=MAX_PARCEL)
    weight: Weight
    warehouse: Text
    address: AddressBody


class CancellationBody(Body):
    """Call a booking off, and burn its key."""

    key: Key
    """Idempotency key of the booking."""


class Carriers:
    """The carriers' books."""

    def __init__(
        self, state: State, pauses: Pauses, callbacks: Callbacks, *, slow_seconds: float, delivery_seconds: float
    ) -> None:
        """The carriers in a database.

        Args:
            state: The database.
            pauses: How slow and lost answers wait.
            callbacks: Told when there is something new to call back.
            slow_seconds: How long a slow quote takes.
            delivery_seconds: How long a parcel takes from booking to its last state.
        """
        self._state = state
        self._pauses = pauses
        self._callbacks = callbacks
        self._slow_seconds = slow_seconds
        self._delivery_seconds = delivery_seconds

    def routes(self) -> list[web.RouteDef]:
        """Everything under ``/carriers/{carrier}/v1``."""
        return [
            web.post("/carriers/{carrier}/v1/quotes", self._post_quote),
            web.post("/carriers/{carrier}/v1/bookings", self._post_booking),
            web.get("/carriers/{carrier}/v1/bookings/{key:.+}", self._get_booking),
            web.post("/carriers/{carrier}/v1/cancellations", self._post_cancellation),
            web.get("/carriers/{carrier}/v1/shipments/{tracking_number}", self._get_shipment),
        ]

    def quote(self, carrier: str, body: QuoteBody) -> Answer:
        """A price, or why there is none."""
        if _strikes("DOWN", carrier, body.postcode):
            return _down()
        if _fate(body.postcode) == "NO-CARRIER":
            return refusal(422, "not_served", "The carrier does not go there.")
        return Answer(200, {"carrier": carrier, "price": CARRIERS[carrier].price(body.weight)})

    def book(self, carrier: str, key: str, body: BookingBody) -> Answer:
        """Take a parcel, or refuse it. A repeat gets the first answer."""
        postcode = body.address.postcode
        with self._state.transaction() as transaction:
            count_request(transaction, carrier, "booking", key)
            if _strikes("DOWN", carrier, postcode):
                return _down()
            known = _find(transaction, carrier, key)
            if known is not None:
                if known["status"] != "booked":
                    return key_burned()
                return Answer(201, _document(known)) if known["digest"] == digest(body) else key_reused()
            if _fate(postcode) in ("REFUSED", "NO-CARRIER"):
                return refusal(422, "refused", "The carrier does not take this parcel.")
            tracking_number = f"{carrier[:2].upper()}{uuid.uuid4().hex[:16].upper()}"
            now = time.time()
            transaction.execute(
                "INSERT INTO bookings VALUES (?, ?, ?, 'booked', ?, ?, ?, ?)",
                (carrier, key, tracking_number, body.reference, body.parcel, digest(body), now),
            )
            record_effect(transaction, carrier, "booking", key, order_id=body.reference)
            journey = _journey(postcode, now, self._delivery_seconds)
            schedule(transaction, carrier, key, tracking_number, journey, pending=self._callbacks.enabled)
            booked = {"key": key, "carrier": carrier, "tracking_number": tracking_number, "status": "booked"}
        self._callbacks.wake()
        return Answer(201, booked, lost=_fate(postcode) == "BOOK-TIMEOUT")

    def look_up(self, carrier: str, key: str) -> Answer:
        """What became of a booking's key."""
        with self._state.transaction() as transaction:
            known = _find(transaction, carrier, key)
        return (
            refusal(404, "unknown_key", "Nothing was booked under this key.")
            if known is None
            else Answer(200, _document(known))
        )

    def cancel(self, carrier: str, key: str) -> Answer:
        """Call a booking off; burn the key in any case."""
        with self._state.transaction() as transaction:
            count_request(transaction, carrier, "cancellation", key)
            known = _find(transaction, carrier, key)
            if known is None:
                transaction.execute(
                    "INSERT INTO bookings (carrier, key, status, at) VALUES (?, ?, 'burned', ?)",
                    (carrier, key, time.time()),
                )
                return Answer(200, {"status": "burned"})
            if known["status"] == "booked":
                transaction.execute(
                    "UPDATE bookings SET status = 'cancelled' WHERE carrier = ? AND key = ?", (carrier, key)
                )
                call_off(transaction, carrier, key, time.time())
                record_effect(transaction, carrier, "cancellation", key, order_id=known["reference"])
                return Answer(200, {"status": "cancelled"})
            return Answer(200, {"status": known["status"]})

    def follow(self, carrier: str, tracking_number: str) -> Answer:
        """Where a parcel is, and how it came there."""
        with self._state.transaction() as transaction:
            booking = transaction.execute(
                "SELECT status FROM bookings WHERE carrier = ? AND tracking_number = ?", (carrier, tracking_number)
            ).fetchone()
            if booking is None:
                return refusal(404, "unknown_shipment", "There is no shipment with this number.")
            events = [
                {"event_id": row["event_id"], "state": row["state"], "at": moment(row["due"])}
                for row in transaction.execute(
                    "SELECT * FROM shipment_events WHERE tracking_number = ? AND due <= ? ORDER BY number",
                    (tracking_number, time.time()),
                )
            ]
        state = booking["status"] if booking["status"] == "cancelled" or not events else events[-1]["state"]
        return Answer(200, {"tracking_number": tracking_number, "state": state, "events": events})

    async def _post_quote(self, request: web.Request) -> web.Response:
        carrier = _carrier(request)
        body = await read_json(request, QuoteBody)
        if _strikes("SLOW", carrier, body.postcode):
            await self._pauses.pause(self._slow_seconds)
        return self.quote(carrier, body).response()

    async def _post_booking(self, request: web.Request) -> web.Response:
        carrier, key = _carrier(request), idempotency_key(request)
        return await self._pauses.send(self.book(carrier, key, await read_json(request, BookingBody)))

    async def _get_booking(self, request: web.Request) -> web.Response:
        return self.look_up(_carrier(request), request.match_info["key"]).response()

    async def _post_cancellation(self, request: web.Request) -> web.Response:
        carrier = _carrier(request)
        return self.cancel(carrier, (await read_json(request, CancellationBody)).key).response()

    async def _get_shipment(self, request: web.Request) -> web.Response:
        return self.follow(_carrier(request), request.match_info["tracking_number"]).response()


def _carrier(request: web.Request) -> str:
    carrier = request.match_info["carrier"]
    if carrier not in CARRIERS:
        detail = f"There is no carrier of this name; there are {', '.join(CARRIERS)}."
        raise Problem(404, "Unknown Carrier", detail, field="carrier", error="unknown_carrier")
    return carrier


def _fate(postcode: str) -> str:
    return postcode.strip().upper()


def _strikes(fate: str, carrier: str, postcode: str) -> bool:
    return _fate(postcode) in (f"{fate}-ALL", f"{fate}-{carrier.upper()}")


def _journey(postcode: str, start: float, seconds: float) -> list[tuple[str, float]]:
    """The states that a parcel will reach, and when (seconds since 1970)."""
    match _fate(postcode):
        case "LOST":
            states = ["picked_up"]
        case "RETURNED":
            states = ["picked_up", "in_transit", "returned"]
        case _:
            states = ["picked_up", "in_transit", "delivered"]
    return [(state, start + seconds * number / 3) for number, state in enumerate(states, 1)]


def _down() -> Answer:
    return refusal(503, "down", "The carrier is down.")


def _document(row: sqlite3.Row) -> dict[str, Any]:
    return {name: row[name] for name in ("key", "carrier", "tracking_number", "status")}


def _find(transaction: sqlite3.Connection, carrier: str, key: str) -> sqlite3.Row | None:
    row: sqlite3.Row | None = transaction.execute(
        "SELECT * FROM bookings WHERE carrier = ? AND key = ?", (carrier, key)
    ).fetchone()
    return row
