"""What customers, operators and the warehouse say to the services, again and again until somebody answers."""

import asyncio
from collections.abc import Mapping
from typing import Any

import aiohttp

from waybill.demo.samples import CATALOGUE, CURRENCY, STORE_CREDIT

ASK_SECONDS = 15.0
"""Time-out of one request."""
PAUSE_SECONDS = 0.3
"""Before a request is repeated."""
PATIENCE_SECONDS = 120.0
"""How long a request is repeated: a service may be down, or killed on purpose, for a while."""


class ShopError(Exception):
    """A service does not answer, or answers what it must not."""


class Shop:
    """The services' HTTP surfaces, from outside. Every request may be repeated: all of them are idempotent."""

    def __init__(self, session: aiohttp.ClientSession, urls: Mapping[str, str], operator_token: str) -> None:
        """Prepare.

        Args:
            session: To ask with.
            urls: Base URL of each service.
            operator_token: The operators' bearer token.
        """
        self._session = session
        self._urls = urls
        self._operator = {"Authorization": f"Bearer {operator_token}"}

    async def stock_up(self, run: str) -> None:
        """Put the catalogue and the goods where they belong.

        Args:
            run: Unique to this demo: the same goods come in once only.
        """
        for product in CATALOGUE:
            body: dict[str, Any] = {"weight": product.weight, "prices": {CURRENCY: product.price}}
            await self._expect("PUT", "inventory", f"/catalogue/{product.sku}", body, {200, 201, 204})
            for warehouse, quantity in product.receipts.items():
                await self.stock(product.sku, warehouse, quantity, f"{run}-{product.sku}-{warehouse}")

        for name, amount in STORE_CREDIT.items():
            move = {"booking_key": f"{run}-{name}-in", "amount": amount, "currency": CURRENCY}
            await self._expect("POST", "payments", f"/accounts/{run}-{name}/deposits", move, {200})

    async def stock(self, sku: str, warehouse: str, quantity: int, receipt_id: str) -> None:
        """Goods come in. The same receipt again is the same goods."""
        body = {"receipt_id": receipt_id, "sku": sku, "warehouse": warehouse, "quantity": quantity}
        await self._expect("POST", "inventory", "/receipts", body, {200, 201})

    async def ask_to(self, service: str, path: str, body: Mapping[str, Any], statuses: set[int]) -> dict[str, Any]:
        """``POST`` to a service.

        Raises:
            ShopError: If the answer has another status, or there is none for a long time.
        """
        return await self._expect("POST", service, path, body, statuses)

    async def look(self, service: str, path: str) -> dict[str, Any]:
        """``GET`` from a service.

        Raises:
            ShopError: If there is no such thing, or no answer for a long time.
        """
        return await self._expect("GET", service, path, None, {200})

    async def place(self, body: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
        """``POST /orders``: status and document of the answer."""
        return await self._ask("POST", "orchestrator", "/orders", body)

    async def order(self, order_id: str) -> dict[str, Any] | None:
        """``GET /orders/{order_id}``, or None if there is no such order."""
        status, document = await self._ask("GET", "orchestrator", f"/orders/{order_id}")
        return document if status == 200 else None

    async def newest(self, limit: int) -> list[dict[str, Any]]:
        """``GET /orders``, newest first."""
        page = await self._expect("GET", "orchestrator", f"/orders?limit={limit}", None, {200})
        items: list[dict[str, Any]] = page["items"]
        return items

    async def decide(self, order_id: str, decision: str) -> int:
        """Approve or refuse, as an operator. Returns the status of the answer."""
        body = {"decision": decision, "approver": "ada", "note": "a sample"}
        status, _ = await self._ask("POST", "orchestrator", f"/orders/{order_id}/approval", body)
        return status

    async def cancel(self, order_id: str) -> int:
        """Cancel, as the customer. Returns the status of the answer."""
        status, _ = await self._ask(
            "POST", "orchestrator", f"/orders/{order_id}/cancellation", {"reason": "changed my mind"}
        )
        return status

    async def carriers(self, order_id: str) -> frozenset[str]:
        """Who takes an order's parcels, from shipping's books."""
        # Pages begin after a key: one that is a little smaller than the order's own.
        page = await self._expect("GET", "shipping", f"/audit?limit=100&after={order_id[:-1]}", None, {200})
        for item in page["items"]:
            if item["order_id"] == order_id:
                return frozenset(parcel["carrier"] for parcel in item["parcels"])
        return frozenset()

    async def _expect(
        self, method: str, service: str, path: str, body: Mapping[str, Any] | None, statuses: set[int]
    ) -> dict[str, Any]:
        status, document = await self._ask(method, service, path, body)
        if status not in statuses:
            raise ShopError(f"{service} answers {status} to {method} {path}: {document}")
        return document

    async def _ask(
        self, method: str, service: str, path: str, body: Mapping[str, Any] | None = None
    ) -> tuple[int, dict[str, Any]]:
        """An answer that is no error of the server's.

        Raises:
            ShopError: If there is none for a long time.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + PATIENCE_SECONDS
        while True:
            try:
                async with self._session.request(
                    method,
                    self._urls[service] + path,
                    json=body,
                    headers=self._operator,
                    timeout=aiohttp.ClientTimeout(total=ASK_SECONDS),
                ) as response:
                    document = await response.json(content_type=None) if response.status != 204 else {}
                    if response.status < 500:
                        return response.status, document
                    said = f"{service} answers {response.status} to {method} {path}: {document}"
            except (aiohttp.ClientError, TimeoutError, ValueError) as error:
                said = f"{service} does not answer {method} {path}: {str(error) or type(error).__name__}"
            if loop.time() > deadline:
                raise ShopError(said)
            await asyncio.sleep(PAUSE_SECONDS)
