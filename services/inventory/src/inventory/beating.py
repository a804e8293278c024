"""Signs of life of an activity while the database works."""

import asyncio
from collections.abc import Awaitable
from typing import Any, TypeVar

from temporalio import activity

T = TypeVar("T")

BEAT_SECONDS = 2
"""How often: several times within the heartbeat's time-out."""


async def alive(work: Awaitable[T], *details: Any) -> T:
    """Await a transaction, with heartbeats, and not broken off in the middle.

    Args:
        work: The transaction.
        details: Of the heartbeats.

    Raises:
        asyncio.CancelledError: If the activity is cancelled, after the transaction has ended.
    """
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait({task}, timeout=BEAT_SECONDS)
        except asyncio.CancelledError as error:
            cancelled = error
        activity.heartbeat(*details)
    if cancelled is not None:
        await asyncio.gather(task, return_exceptions=True)
        raise cancelled
    return task.result()
