"""Whatever the order in which steps, duplicates, undos and crashes meet, the money is right."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from temporalio.exceptions import ApplicationError

from payments.activities import Activities
from payments.contract import CaptureRequest, Refusal
from payments.gateway import GatewayError
from payments.model import State

from .conftest import World, assert_books_match, assert_nothing_is_left, new_order, request_for, undo
from .fake_gateway import Trouble
from .seams import Crash, seamed

AMOUNT = 1250
QUICK = [trouble for trouble in Trouble if trouble is not Trouble.HANG_AFTER_EFFECT]


async def _authorise(activities: Activities, order_id: str) -> object:
    return await activities.authorise(request_for(order_id, amount=AMOUNT))


async def _capture(activities: Activities, order_id: str) -> object:
    return await activities.capture(CaptureRequest(order_id))


class Actor:
    """Someone who does a step, as often as it takes, and waits for a turn before and after each thing it does."""

    def __init__(self, world: World, order_id: str, step: Callable[[Activities, str], Awaitable[object]]) -> None:
        self._turns: asyncio.Queue[bool] = asyncio.Queue()
        self._waiting = asyncio.Event()
        self._activities = seamed(world, self._seam)
        self._step = step
        self._order_id = order_id
        self._life = asyncio.create_task(self._live())

    async def _seam(self) -> None:
        self._waiting.set()
        if await self._turns.get():
            raise Crash

    async def _live(self) -> None:
        while True:
            try:
                await self._step(self._activities, self._order_id)
            except (Crash, GatewayError):
                continue  # as the retry policy has it
            except ApplicationError as refusal:
                if not refusal.non_retryable or refusal.type not in set(Refusal):
                    raise
            return

    async def advance(self, *, crash: bool = False) -> bool:
        """Let it go to its next seam, or crash where it is. Returns whether it is still at work."""
        if not self._life.done():
            await self._rest()
            self._waiting.clear()
            self._turns.put_nowait(crash)
            await self._rest()
        if self._life.done():
            self._life.result()
        return not self._life.done()

    async def _rest(self) -> None:
        """Until it waits for its next turn, or has ended."""
        waiting = asyncio.create_task(self._waiting.wait())
        await asyncio.wait({waiting, self._life}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        with suppress(asyncio.CancelledError):
            await waiting

    async def stop(self) -> None:
        self._life.cancel()
        await asyncio.gather(self._life, return_exceptions=True)


STEPS = {"authorise": _authorise, "capture": _capture, "reverse": undo}


@settings(
    max_examples=60,
    deadline=None,
    # The database is shared by all examples: each has an order of its own.
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    cast=st.lists(st.sampled_from(sorted(STEPS)), min_size=1, max_size=5),
    turns=st.lists(st.tuples(st.integers(0, 4), st.sampled_from([False, False, False, True])), max_size=60),
    troubles=st.dictionaries(
        st.sampled_from(["authorisations", "captures", "voids", "refunds", "operations"]),
        st.lists(st.sampled_from(QUICK), max_size=2),
    ),
    paid_before=st.booleans(),
)
async def test_any_interleaving_keeps_the_money_right(
    world: World,
    cast: list[str],
    turns: list[tuple[int, bool]],
    troubles: dict[str, list[Trouble]],
    paid_before: bool,
) -> None:
    order_id = new_order()
    world.outside.trouble.clear()
    if paid_before:
        await _authorise(world.activities, order_id)
    world.outside.trouble.update({what: list(listed) for what, listed in troubles.items() if what != "operations"})
    world.outside.trouble["operations"] = [
        trouble for trouble in troubles.get("operations", []) if trouble is not Trouble.NONSENSE_AFTER_EFFECT
    ]

    actors = [Actor(world, order_id, STEPS[name]) for name in cast]
    try:
        for who, crash in turns:
            await actors[who % len(actors)].advance(crash=crash)
            await _check(world, order_id)
        for actor in actors:
            while await actor.advance():
                await _check(world, order_id)
    finally:
        for actor in actors:
            await actor.stop()

    if "reverse" in cast:
        await assert_nothing_is_left(world, order_id)
    else:
        books = await world.store.books(order_id)
        if books is not None:
            assert_books_match(world, books)
            assert books.payment.captured == (AMOUNT if books.payment.state is State.CAPTURED else 0)


async def _check(world: World, order_id: str) -> None:
    books = await world.store.books(order_id)
    if books is not None:
        assert books.balanced
        assert books.payment.captured - books.payment.refunded in (0, AMOUNT)
        assert books.ledger.get("gateway", 0) == books.payment.captured - books.payment.refunded
        assert world.outside.taken(order_id) in (0, AMOUNT)
