"""The sample orders again and again, gently: what keeps a deployment that is looked at alive."""

import asyncio
import time
from collections.abc import Callable

from aiohttp import web

from waybill.demo.day import ORDER_SECONDS, Day, Row
from waybill.demo.shop import Shop, ShopError
from waybill.serving import until_stopped

LOOK_SECONDS = 1.0
"""Between two looks at the orders under way."""
PAUSE_SECONDS = 5.0
"""Before a round is tried again whose goods nobody took."""


class Flow:
    """Rounds of samples, one order after the other, until somebody ends it."""

    def __init__(self, shop: Shop, every_seconds: float, tell: Callable[[str], None]) -> None:
        """Prepare.

        Args:
            shop: The services.
            every_seconds: Between two orders.
            tell: Called with a line for each order that has ended.
        """
        self._shop = shop
        self._every = every_seconds
        self._tell = tell
        self._last_right: float | None = None

    @property
    def alive(self) -> bool:
        """Whether an order ended as it should not long ago. Before the first one nothing is known."""
        patience = ORDER_SECONDS + 2 * self._every
        return self._last_right is not None and time.monotonic() - self._last_right < patience

    async def livez(self, _: web.Request) -> web.Response:
        """``GET /livez``: 200 while orders end as they should, else 503."""
        return web.Response(text="orders flow\n") if self.alive else web.Response(status=503, text="no order ended\n")

    async def run(self) -> None:
        """Place orders until SIGTERM or SIGINT. Those under way then are left to the services."""
        await until_stopped(self._rounds())

    async def _rounds(self) -> None:
        while True:
            run = time.strftime("%m%dT%H%M%S")
            try:
                await self._shop.stock_up(run)
            except ShopError as error:
                self._tell(str(error))
                await asyncio.sleep(PAUSE_SECONDS)
                continue
            day = Day(
                self._shop, run, self._changed, between_seconds=self._every, look_seconds=min(LOOK_SECONDS, self._every)
            )
            await day.run()

    def _changed(self, row: Row) -> None:
        if row.ended is None:
            return
        self._tell(row.ended)
        if row.right:
            self._last_right = time.monotonic()
