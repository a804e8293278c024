"""Work that no cancellation reaches."""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, TypeVar

ResultT = TypeVar("ResultT")


async def uninterrupted(work: Coroutine[Any, Any, ResultT]) -> ResultT:
    """Do something to its end, however often we are cancelled meanwhile.

    One ``asyncio.shield`` breaks at the second cancellation: it is awaited anew until the work is done.

    Args:
        work: What is to be done.

    Returns:
        Its result; what it raises is raised.
    """
    task = asyncio.create_task(work)
    while not task.done():
        with suppress(asyncio.CancelledError):
            await asyncio.shield(task)
    return task.result()
