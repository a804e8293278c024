"""Waiting for conditions rather than for time."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar, cast, overload

T = TypeVar("T")


@overload
async def eventually(check: Callable[[], Awaitable[T]], *, timeout: float = 30) -> T: ...
@overload
async def eventually(check: Callable[[], T], *, timeout: float = 30) -> T: ...
async def eventually(check: Callable[[], Awaitable[T]] | Callable[[], T], *, timeout: float = 30) -> T:
    """Ask again and again until the answer is true.

    Args:
        check: Returns something false, or raises AssertionError, as long as the condition does not hold.
        timeout: Seconds after which it is given up.

    Returns:
        The first true answer.

    Raises:
        AssertionError: If it never held; the last one raised, or one that says what the last answer was.
    """
    deadline = time.monotonic() + timeout
    pause = 0.01
    while True:
        try:
            answer = check()
            if inspect.isawaitable(answer):
                answer = await answer
            if answer:
                return cast(T, answer)
            failure = AssertionError(f"still {answer!r} after {timeout} s")
        except AssertionError as error:
            failure = error
        if time.monotonic() > deadline:
            raise failure
        await asyncio.sleep(pause)
        pause = min(pause * 1.5, 0.25)
