"""The audit again and again, for a deployment to be watched by it."""

import asyncio
import signal
from collections.abc import Awaitable, Callable

from aiohttp import web

from waybill.audit.books import BooksError
from waybill.audit.metrics import AuditMetrics
from waybill.audit.run import Report
from waybill.serving import served


async def repeat(
    ask: Callable[[], Awaitable[Report]],
    *,
    every_seconds: float,
    tell: Callable[[Report], None],
    complain: Callable[[str], None],
    address: tuple[str, int] | None = None,
) -> None:
    """Audit until SIGTERM or SIGINT.

    Args:
        ask: Makes one audit.
        every_seconds: Pause after each.
        tell: What an audit found.
        complain: Why an audit could not be made. The next one is made all the same.
        address: Host and port for ``/metrics``; None serves none.

    Raises:
        OSError: If nobody can listen there.
    """
    stop, metrics = asyncio.Event(), AuditMetrics()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with served(address, [web.get("/metrics", metrics.metrics)]):
        auditing = asyncio.create_task(_audit(ask, every_seconds, tell, complain, metrics))
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({auditing, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if auditing.done():
                auditing.result()  # raises what ended it
        finally:
            for task in (auditing, stopping):
                task.cancel()
            await asyncio.gather(auditing, stopping, return_exceptions=True)


async def _audit(
    ask: Callable[[], Awaitable[Report]],
    every_seconds: float,
    tell: Callable[[Report], None],
    complain: Callable[[str], None],
    metrics: AuditMetrics,
) -> None:
    while True:
        try:
            report = await ask()
        except BooksError as error:
            complain(str(error))
        else:
            metrics.show(report)
            tell(report)
        await asyncio.sleep(every_seconds)
