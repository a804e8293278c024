"""Stopping an activity between any two of its transactions and requests."""

from collections.abc import Awaitable, Callable
from typing import Any, cast

from payments.activities import Activities
from payments.gateway import Gateway
from payments.store import Store

Seam = Callable[[], Awaitable[None]]


class Crash(Exception):  # noqa: N818 - it names an event
    """The process is gone: nothing after this point happened."""


class _Seamed:
    """Calls ``seam`` before and after each call of an object's methods."""

    def __init__(self, inner: object, seam: Seam) -> None:
        self._inner = inner
        self._seam = seam

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        method = getattr(self._inner, name)

        async def call(*args: Any, **kwargs: Any) -> Any:
            await self._seam()
            result = await method(*args, **kwargs)
            await self._seam()
            return result

        return call


def seamed(store: Store, gateway: Gateway, seam: Seam) -> Activities:
    """Activities that pass ``seam`` before and after each transaction and each request."""
    return Activities(cast(Store, _Seamed(store, seam)), cast(Gateway, _Seamed(gateway, seam)))


class At:
    """Does something at one seam, counted from 0."""

    def __init__(self, number: int, what: Seam) -> None:
        self._left = number
        self._what = what
        self.reached = False

    async def __call__(self) -> None:
        self._left -= 1
        if self._left == -1:
            self.reached = True
            await self._what()


async def crash() -> None:
    raise Crash
