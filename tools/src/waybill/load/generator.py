"""The open loop: each order is sent when it is due, whether or not those before it were answered."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

LATE_SECONDS = 0.1
"""A start that comes so much after its time is late by our own fault: the machine, or we, could not keep up."""


@dataclass
class Pace:
    """How well the intended starts were kept.

    Attributes:
        sent: Orders that were sent.
        held: Of them those that had to wait for the bound of orders in flight: for these the loop was closed.
        late: Of the others those that went more than ``LATE_SECONDS`` after their time.
        latest: Seconds by which the latest of those that were not held came after its time.
        cut: Why the loop ended before its starts did, if it did.
    """

    sent: int = 0
    held: int = 0
    late: int = 0
    latest: float = 0.0
    cut: str | None = None

    @property
    def open(self) -> bool:
        """Whether no answer delayed a start."""
        return self.held == 0


@dataclass(frozen=True)
class Bounds:
    """Where the generator stops, or holds back.

    Attributes:
        orders: Most orders.
        in_flight: Most of them at once. While there are so many a start waits, and the loop is no longer open.
    """

    orders: int = 100_000
    in_flight: int = 2_000


async def open_loop(
    starts: Iterable[float],
    send: Callable[[int, float], Awaitable[None]],
    *,
    in_flight: Callable[[], int],
    room: Callable[[], Awaitable[object]],
    stop: asyncio.Event,
    bounds: Bounds | None = None,
    clock: Callable[[], float],
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    pace: Pace | None = None,
) -> Pace:
    """Send orders at their times.

    Args:
        starts: Seconds from now, never falling.
        send: Sends the order of a number, whose intended start it is told on ``clock``. It runs on its own; what it
            raises ends the loop.
        in_flight: How many orders are under way.
        room: Returns when there may be fewer of them than before.
        stop: Ends the loop early.
        bounds: Where to stop.
        clock: Seconds.
        sleep: Waits for so many seconds.
        pace: To count in; others may look at it meanwhile.

    Returns:
        How well the starts were kept, when all orders that were sent are answered.
    """
    limits, kept = bounds or Bounds(), pace or Pace()
    began = clock()
    released = began  # what was due before this moment waited for the bound too
    sending: set[asyncio.Task[None]] = set()
    stopped = asyncio.create_task(stop.wait())
    try:
        for number, start in enumerate(starts):
            due = began + start
            if number >= limits.orders:
                kept.cut = f"after {limits.orders} orders, which is the bound"
                break
            await _until(due, stopped, clock, sleep)
            held = due < released
            while in_flight() >= limits.in_flight and not stop.is_set():
                await _first(room(), stopped)
                held, released = True, clock()
            if stop.is_set():
                kept.cut = "stopped by hand"
                break
            _note(kept, clock() - due, held=held)
            sending.add(_sent(send(number, due)))
            sending = _raised(sending)
    finally:
        stopped.cancel()
        answers = await asyncio.gather(*sending, stopped, return_exceptions=True)
    for answer in answers[:-1]:
        if isinstance(answer, BaseException):
            raise answer
    return kept


def _note(pace: Pace, after: float, *, held: bool) -> None:
    pace.sent += 1
    if held:
        pace.held += 1
        return
    pace.latest = max(pace.latest, after)
    if after > LATE_SECONDS:
        pace.late += 1


def _sent(work: Awaitable[None]) -> asyncio.Task[None]:
    async def done() -> None:
        await work

    return asyncio.create_task(done())


def _raised(sending: set[asyncio.Task[None]]) -> set[asyncio.Task[None]]:
    """Those under way; one that failed raises here what it failed with."""
    under_way = set()
    for task in sending:
        if not task.done():
            under_way.add(task)
        else:
            task.result()
    return under_way


async def _until(
    due: float, stopped: "asyncio.Task[bool]", clock: Callable[[], float], sleep: Callable[[float], Awaitable[object]]
) -> None:
    """Wait for a moment, or for the stop. Yields to others also where the moment is past."""
    wait = max(due - clock(), 0.0)
    await _first(sleep(wait), stopped)


async def _first(work: Awaitable[object], stopped: "asyncio.Task[bool]") -> None:
    waiting = asyncio.ensure_future(work)
    try:
        await asyncio.wait({waiting, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if waiting.done():
            waiting.result()
    finally:
        if not waiting.done():
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
