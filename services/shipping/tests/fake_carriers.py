"""The carriers of shipping's tests: a small HTTP server with switches, which counts what took effect."""

import asyncio
from collections import Counter
from typing import Any

from aiohttp import web

DOWN, HANG, GARBAGE, NOT_SERVED, REFUSED = "down", "hang", "garbage", "not_served", "refused"
EFFECT_THEN_HANG = "effect_then_hang"
EFFECT_THEN_DOWN = "effect_then_down"


class FakeCarriers:
    """One server for all carriers.

    Attributes:
        prices: Price by carrier, for each kilogram begun.
        nonsense: What a carrier says instead of a price.
        quote_fate: How a carrier answers to quotes; fine if not named.
        quotes_until_fine: How many quotes a carrier fails before it answers.
        quote_waits: What a carrier waits for before it answers to a quote.
        unserved: (carrier, weight) for which there is no service.
        booking_fates: Fates of the next booking requests, first in first out; fine when empty.
        cancel_fates: The same for cancellations.
        shipment_fate: How questions for a shipment are answered; fine if None.
        events: What a tracking number's shipment answers; 404 if not named.
        requests: (carrier, what) in the order in which they came.
        bookings: Status by key.
        effects: How often each key was booked.
        entered: Set when a booking arrives.
        gate: Bookings wait for it.
        released: Set it to let all hanging requests go.
    """

    def __init__(self) -> None:
        self.prices: dict[str, int] = {"swift": 900, "steady": 600, "budget": 300}
        self.nonsense: dict[str, Any] = {}
        self.quote_fate: dict[str, str] = {}
        self.quotes_until_fine: Counter[str] = Counter()
        self.quote_waits: dict[str, asyncio.Event] = {}
        self.unserved: set[tuple[str, int]] = set()
        self.booking_fates: list[str] = []
        self.cancel_fates: list[str] = []
        self.shipment_fate: str | None = None
        self.events: dict[str, list[dict[str, Any]]] = {}
        self.requests: list[tuple[str, str]] = []
        self.bookings: dict[str, dict[str, Any]] = {}
        self.effects: Counter[str] = Counter()
        self.entered = asyncio.Event()
        self.gate = asyncio.Event()
        self.gate.set()
        self.released = asyncio.Event()

    def app(self) -> web.Application:
        app = web.Application()
        app.add_routes(
            [
                web.post("/{carrier}/v1/quotes", self._quote),
                web.post("/{carrier}/v1/bookings", self._book),
                web.get("/{carrier}/v1/bookings/{key}", self._find),
                web.post("/{carrier}/v1/cancellations", self._cancel),
                web.get("/{carrier}/v1/shipments/{number}", self._shipment),
            ]
        )
        return app

    def asked(self, what: str) -> int:
        """How many requests of a kind came."""
        return sum(kind == what for _, kind in self.requests)

    async def _fate(self, fate: str | None) -> web.Response | None:
        match fate:
            case "down":
                return web.json_response({"error": "down"}, status=503)
            case "garbage":
                return web.Response(text="<html>", status=200)
            case "hang":
                await self.released.wait()
                return web.json_response({"error": "down"}, status=503)
        return None

    async def _quote(self, request: web.Request) -> web.Response:
        carrier, body = request.match_info["carrier"], await request.json()
        self.requests.append((carrier, "quote"))
        if self.quotes_until_fine[carrier] > 0:
            self.quotes_until_fine[carrier] -= 1
            return web.json_response({"error": "down"}, status=503)
        if carrier in self.quote_waits:
            await self.quote_waits[carrier].wait()
        fate = self.quote_fate.get(carrier)
        if fate == NOT_SERVED or (carrier, body["weight"]) in self.unserved:
            return web.json_response({"error": "not_served"}, status=422)
        price = self.prices[carrier] * (1 + (body["weight"] - 1) // 1000)
        return await self._fate(fate) or web.json_response(
            {"carrier": carrier, "price": self.nonsense.get(carrier, price)}
        )

    async def _book(self, request: web.Request) -> web.Response:
        carrier, key, body = request.match_info["carrier"], request.headers["Idempotency-Key"], await request.json()
        self.requests.append((carrier, "book"))
        self.entered.set()
        await self.gate.wait()
        fate = self.booking_fates.pop(0) if self.booking_fates else None
        known = self.bookings.get(key)
        if known is not None and known["status"] != "booked":
            return web.json_response({"error": "key_burned"}, status=409)
        if fate == REFUSED:
            return web.json_response({"error": "refused"}, status=422)
        if fate in {DOWN, HANG, GARBAGE}:
            answer = await self._fate(fate)
            assert answer is not None
            return answer
        if known is None:
            self.effects[key] += 1
            number = f"{carrier}-{body['reference']}-{body['parcel']}"
            self.bookings[key] = {"key": key, "tracking_number": number, "status": "booked"}
        if fate == EFFECT_THEN_HANG:
            await self.released.wait()
        if fate == EFFECT_THEN_DOWN:
            return web.json_response({"error": "down"}, status=503)
        return web.json_response({**self.bookings[key], "carrier": carrier}, status=201)

    async def _find(self, request: web.Request) -> web.Response:
        self.requests.append((request.match_info["carrier"], "find"))
        known = self.bookings.get(request.match_info["key"])
        if known is None:
            return web.json_response({"error": "unknown_key"}, status=404)
        return web.json_response(known)

    async def _cancel(self, request: web.Request) -> web.Response:
        carrier, key = request.match_info["carrier"], (await request.json())["key"]
        self.requests.append((carrier, "cancel"))
        fate = self.cancel_fates.pop(0) if self.cancel_fates else None
        answer = await self._fate(fate)
        if answer is not None:
            return answer
        known = self.bookings.setdefault(key, {"key": key, "tracking_number": None, "status": "burned"})
        if known["status"] == "booked":
            known["status"] = "cancelled"
        if fate == EFFECT_THEN_DOWN:
            return web.json_response({"error": "down"}, status=503)
        return web.json_response({"status": known["status"]})

    async def _shipment(self, request: web.Request) -> web.Response:
        number = request.match_info["number"]
        self.requests.append((request.match_info["carrier"], "shipment"))
        answer = await self._fate(self.shipment_fate)
        if answer is not None:
            return answer
        if number not in self.events:
            return web.json_response({"error": "unknown"}, status=404)
        return web.json_response({"tracking_number": number, "state": "booked", "events": self.events[number]})
