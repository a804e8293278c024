"""Waiting for several things, for the first of two, and waiting to the end."""

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

T = TypeVar("T")


async def together(works: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Await all side by side; the first failure cancels the others, and is raised by itself rather than in a group."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        for finished in asyncio.as_completed(tasks):
            await finished
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def uninterrupted(work: Coroutine[Any, Any, T]) -> T:
    """Await something to its end, however often the waiting task is cancelled; the cancellation follows then."""
    task = asyncio.create_task(work)
    cancelled = False
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            cancelled = True
        except Exception:  # noqa: BLE001 - raised below, by result()
            break
    result = task.result()
    if cancelled:
        raise asyncio.CancelledError
    return result


async def unless(happens: asyncio.Event, work: Coroutine[Any, Any, T]) -> T | None:
    """Do something; it is given up, and nothing comes of it, when something else happens first."""
    doing, happening = asyncio.create_task(work), asyncio.create_task(happens.wait())
    try:
        await asyncio.wait({doing, happening}, return_when=asyncio.FIRST_COMPLETED)
        return doing.result() if doing.done() else None
    finally:
        doing.cancel()
        happening.cancel()
        await asyncio.gather(doing, happening, return_exceptions=True)
