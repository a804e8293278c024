"""Reading everybody's books over HTTP."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp

from waybill.audit import books
from waybill.audit.books import AccountEntry, Books, BooksError, Discrepancy

KEEPERS = ("orchestrator", "inventory", "payments", "shipping", "sandbox")
"""Who keeps books."""

PAGE = 500
ASK_SECONDS = 30.0
"""Time-out of one page."""
PATIENCE_SECONDS = 60.0
"""How long to ask again while somebody does not answer: a restarted service is back by then."""
PAUSE_SECONDS = 0.5


@dataclass(frozen=True)
class Reading:
    """All books, read once."""

    books: list[Books]
    shelves: list[Discrepancy]
    accounts: list[AccountEntry]


class Reader:
    """Reads the books of a deployment."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        urls: Mapping[str, str],
        token: str,
        *,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        """Prepare.

        Args:
            session: To ask with.
            urls: Base URL of each keeper.
            token: The operators' bearer token.
            patience_seconds: How long to ask again while somebody does not answer.

        Raises:
            BooksError: If a keeper's URL is missing.
        """
        missing = [name for name in KEEPERS if not urls.get(name)]
        if missing:
            raise BooksError(f"no URL for {', '.join(missing)}")
        self._session = session
        self._urls = {name: urls[name].rstrip("/") for name in KEEPERS}
        self._headers = {"Authorization": f"Bearer {token}"}
        self._patience = patience_seconds

    async def read(self) -> Reading:
        """Read all books; see ``books.gather`` for the order in which that must be done.

        Raises:
            BooksError: If somebody does not answer, or not as expected.
        """
        try:
            orders = [books.order_entry(item) for item in await self._items("orchestrator")]
            stock, payments, shipments, effects, shelves, accounts = await asyncio.gather(
                self._items("inventory"),
                self._items("payments"),
                self._items("shipping"),
                self._items("sandbox"),
                self._ask("inventory", "/audit/stock", {}),
                self._items("payments", "/accounts"),
            )
            heard = {item["order_id"] for items in (stock, payments, shipments, effects) for item in items}
            newer = []
            if heard - {order.order_id for order in orders}:
                newer = [books.order_entry(item) for item in await self._items("orchestrator")]
            gathered = books.gather(
                orders,
                stock=[books.stock_entry(item) for item in stock],
                payments=[books.payment_entry(item) for item in payments],
                shipments=[books.shipment_entry(item) for item in shipments],
                effects={item["order_id"]: books.effects_of(item) for item in effects},
                newer=newer,
            )
            return Reading(
                gathered,
                [books.discrepancy(item) for item in shelves["discrepancies"]],
                [books.account_entry(item) for item in accounts],
            )
        except (KeyError, TypeError, ValueError) as error:
            raise BooksError(f"books are not in the form that the audit knows: {error!r}") from error

    async def _items(self, keeper: str, path: str = "/audit") -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = []
        after: str | None = ""
        while after is not None:
            page = await self._ask(keeper, path, {"after": after, "limit": str(PAGE)})
            items += page["items"]
            after = page["next"]
        return items

    async def _ask(self, keeper: str, path: str, query: dict[str, str]) -> Any:
        """One answer, asked for again while nobody, or only an error of the server, answers."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._patience
        while True:
            try:
                async with self._session.get(
                    self._urls[keeper] + path,
                    params=query,
                    headers=self._headers,
                    timeout=aiohttp.ClientTimeout(total=ASK_SECONDS),
                ) as response:
                    if response.status == 200:
                        return await response.json()
                    said = f"{keeper} answers {response.status} to GET {path}: {(await response.text())[:200]}"
                    if response.status < 500:
                        raise BooksError(said)
            except (aiohttp.ClientError, TimeoutError) as error:
                said = f"{keeper} does not answer at {self._urls[keeper]}: {str(error) or type(error).__name__}"
            if loop.time() > deadline:
                raise BooksError(said)
            await asyncio.sleep(PAUSE_SECONDS)
