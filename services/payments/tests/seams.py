"""Stopping an activity between any two of its transactions and requests."""

from collections.abc import Awaitable, Callable
from typing import Any, cast

from payments.activities import Activities
from payments.credit_payments import CreditPayments
from payments.gateway import Gateway
from payments.store import Store
from payments.store_credit import StoreCredit

from .conftest import World

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


def seamed(world: World, seam: Seam) -> Activities:
    """Activities that pass ``seam`` before and after each transaction and each request."""
    store = cast(Store, _Seamed(world.store, seam))
    credit = cast(StoreCredit, _Seamed(world.credit, seam))
    return Activities(store, cast(Gateway, _Seamed(world.gateway, seam)), CreditPayments(store, credit), world.metrics)


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
