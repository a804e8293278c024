"""A small client of the sandbox, for tests."""

from dataclasses import dataclass
from typing import Any

import aiohttp


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer that was received."""

    status: int
    body: dict[str, Any]
    content_type: str


class Client:
    """Speaks to one sandbox."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        """A client on a session.

        Args:
            session: Its base URL is that of the sandbox.
        """
        self.session = session

    async def call(self, method: str, path: str, json: Any = None, **headers: str) -> Reply:
        """Send one request.

        Args:
            method: HTTP method.
            path: With the query.
            json: The body; none if None.
            headers: Further headers, with ``_`` for ``-``.
        """
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.session.request(method, path, json=json, headers=names) as answer:
            return Reply(answer.status, await answer.json(content_type=None), answer.content_type)

    async def get(self, path: str) -> Reply:
        """Send a GET."""
        return await self.call("GET", path)

    async def post(self, path: str, json: Any, key: str | None = None) -> Reply:
        """Send a POST, with an idempotency key if there is one."""
        return await self.call("POST", path, json, **({} if key is None else {"Idempotency_Key": key}))

    async def authorise(self, key: str, card: str = "tok_ok", order: str = "order", amount: int = 1250) -> Reply:
        """Authorise an amount of euros at the gateway."""
        body = {"amount": amount, "currency": "EUR", "card_token": card, "reference": order}
        return await self.post("/gateway/v1/authorisations", body, key)

    async def capture(self, key: str, authorisation_key: str) -> Reply:
        """Capture an authorisation at the gateway."""
        return await self.post("/gateway/v1/captures", {"authorisation_key": authorisation_key}, key)

    async def refund(self, key: str, capture_key: str) -> Reply:
        """Refund a capture at the gateway."""
        return await self.post("/gateway/v1/refunds", {"capture_key": capture_key}, key)

    async def void(self, key: str) -> Reply:
        """Void an authorisation at the gateway."""
        return await self.post("/gateway/v1/voids", {"key": key})

    async def quote(self, carrier: str, postcode: str = "10115", weight: int = 1200) -> Reply:
        """Ask a carrier for a price."""
        body = {"weight": weight, "warehouse": "BER", "postcode": postcode, "country": "DE", "currency": "EUR"}
        return await self.post(f"/carriers/{carrier}/v1/quotes", body)

    async def book(self, carrier: str, key: str, postcode: str = "10115", order: str = "order") -> Reply:
        """Hand a parcel to a carrier."""
        address = {"name": "Ada", "street": "Weg 1", "city": "Berlin", "postcode": postcode, "country": "DE"}
        body = {"reference": order, "parcel": 1, "weight": 1200, "warehouse": "BER", "address": address}
        return await self.post(f"/carriers/{carrier}/v1/bookings", body, key)

    async def cancel(self, carrier: str, key: str) -> Reply:
        """Call a booking off."""
        return await self.post(f"/carriers/{carrier}/v1/cancellations", {"key": key})

    async def message(self, key: str, order: str = "order", subject: str = "Your order") -> Reply:
        """Send a message."""
        body = {"reference": order, "template": "fulfilled", "to": "ada@example.org", "subject": subject, "body": "…"}
        return await self.post("/mailbox/v1/messages", body, key)

    async def effects(self, key: str) -> int:
        """How many effects there were under a key."""
        return int((await self.get(f"/effects?key={key}")).body["effects"])
