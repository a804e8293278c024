"""Tells the workflows that track parcels of news that is stored, for as long as it takes to reach them.

The webhook stores and answers; telling is apart from it, so that no news waits for a carrier's repeat when Temporal
is away. Telling twice does no harm: the signal says no more than "look again".
"""

import asyncio
import logging
from datetime import timedelta

from sqlalchemy.exc import SQLAlchemyError
from temporalio.service import RPCError, RPCStatusCode

from chassis import trace_context
from chassis.connection import Connection, TemporalUnavailable, is_away
from shipping import contract
from shipping.reports import Reports

logger = logging.getLogger(__name__)

PAUSE_SECONDS = 5.0
"""How often to look for what another replica, or an attempt that failed, left untold."""

SIGNAL_SECONDS = 5.0
"""Time-out of one signal."""


class Relay:
    """The loop that tells."""

    def __init__(self, reports: Reports, *, pause_seconds: float = PAUSE_SECONDS) -> None:
        """Prepare.

        Args:
            reports: Where the news is.
            pause_seconds: Between two looks, if nobody wakes it.
        """
        self._reports = reports
        self._pause = pause_seconds
        self._news = asyncio.Event()

    def wake(self) -> None:
        """Say that something was stored."""
        self._news.set()

    async def run(self, connection: Connection) -> None:
        """Tell, for ever."""
        while True:
            self._news.clear()
            try:
                await self.tell(connection)
            except (SQLAlchemyError, TemporalUnavailable) as error:
                logger.warning("news waits to be told: %s", (str(error).splitlines() or [""])[0])
            except RPCError as error:
                logger.warning("news waits to be told: %s", error)
            await self._rest()

    async def tell(self, connection: Connection) -> int:
        """Tell all that is untold now.

        Returns:
            How many parcels' workflows were told, or are not there and will look when they start.

        Raises:
            TemporalUnavailable: While there is no connection.
            temporalio.service.RPCError: If Temporal went away.
            sqlalchemy.exc.SQLAlchemyError: If the database does not answer.
        """
        done = 0
        untold = await self._reports.untold()
        for (order_id, parcel), news in untold.items():
            handle = connection.client.get_workflow_handle(contract.track_id(order_id, parcel))
            try:
                with trace_context.continued(news.traceparent):
                    await handle.signal(contract.LOOK_AGAIN, rpc_timeout=timedelta(seconds=SIGNAL_SECONDS))
            except RPCError as error:
                if is_away(error):
                    raise
                if error.status is not RPCStatusCode.NOT_FOUND:
                    # It stays untold and is tried again; the other parcels need not wait for it.
                    logger.exception("%s cannot be told", handle.id, extra={"order_id": order_id})
                    continue
            await self._reports.mark_told(order_id, parcel, news.seq)
            done += 1
        return done

    async def _rest(self) -> None:
        try:
            async with asyncio.timeout(self._pause):
                await self._news.wait()
        except TimeoutError:
            return
