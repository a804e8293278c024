"""The audit again and again, for a deployment to be watched by it."""

import asyncio
from collections.abc import Awaitable, Callable

from aiohttp import web

from waybill.audit.books import BooksError
from waybill.audit.metrics import AuditMetrics
from waybill.audit.run import Report
from waybill.serving import served, until_stopped


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
    metrics = AuditMetrics()
    async with served(address, [web.get("/metrics", metrics.metrics)]):
        await until_stopped(_audit(ask, every_seconds, tell, complain, metrics))


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
