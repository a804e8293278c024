"""The open loop: starts that nobody delays, and bounds that say when somebody did."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from waybill.load.generator import LATE_SECONDS, Bounds, Pace, open_loop


class World:
    """Time that passes only when somebody sleeps, and orders that end when a test says so."""

    def __init__(self) -> None:
        self.time = 100.0
        self.sent: list[tuple[int, float, float]] = []
        """Number, intended start and time."""
        self.under_way = 0
        self.stop = asyncio.Event()
        self.answer: Callable[[], Awaitable[None]] = self._at_once
        self._fewer = asyncio.Event()

    def clock(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.time += seconds
        await asyncio.sleep(0)

    async def send(self, number: int, due: float) -> None:
        self.sent.append((number, due - 100.0, self.time - 100.0))
        self.under_way += 1
        await self.answer()

    async def room(self) -> None:
        self._fewer.clear()
        await self._fewer.wait()

    def end(self, orders: int) -> None:
        self.under_way -= orders
        self._fewer.set()

    async def run(self, starts: list[float], bounds: Bounds | None = None) -> Pace:
        return await open_loop(
            starts,
            self.send,
            in_flight=lambda: self.under_way,
            room=self.room,
            stop=self.stop,
            bounds=bounds,
            clock=self.clock,
            sleep=self.sleep,
        )

    async def _at_once(self) -> None:
        return


async def test_every_order_is_sent_at_its_time() -> None:
    world = World()
    pace = await world.run([0.0, 0.5, 0.5, 2.0])
    assert world.sent == [(0, 0.0, 0.0), (1, 0.5, 0.5), (2, 0.5, 0.5), (3, 2.0, 2.0)]
    assert pace == Pace(sent=4)
    assert pace.open


async def test_an_answer_that_does_not_come_delays_no_start() -> None:
    world, answered = World(), asyncio.Event()

    async def late() -> None:
        if len(world.sent) == 3:
            answered.set()  # only the last one lets the others go
        await answered.wait()

    world.answer = late
    pace = await world.run([0.0, 1.0, 2.0])
    assert [at for _, _, at in world.sent] == [0.0, 1.0, 2.0]
    assert pace.open


async def test_beyond_the_bound_of_orders_in_flight_a_start_waits_and_is_counted() -> None:
    world = World()
    running = asyncio.create_task(world.run([0.0, 1.0, 2.0, 3.0], Bounds(in_flight=2)))
    for _ in range(50):
        await asyncio.sleep(0)
    assert len(world.sent) == 2
    world.time += 5
    world.end(2)
    pace = await running
    # Both go late, and their latency will count from when they were due.
    assert [(due, at) for _, due, at in world.sent[2:]] == [(2.0, 7.0), (3.0, 7.0)]
    assert pace.sent == 4
    assert (pace.held, pace.late) == (2, 0)
    assert not pace.open


async def test_the_number_of_orders_is_bounded() -> None:
    pace = await World().run([0.0, 1.0, 2.0], Bounds(orders=2))
    assert pace.sent == 2
    assert pace.cut is not None
    assert "2 orders" in pace.cut


async def test_a_start_that_comes_late_by_our_own_fault_is_counted_as_such() -> None:
    world = World()

    async def oversleep(seconds: float) -> None:
        world.time += seconds + 3 * LATE_SECONDS
        await asyncio.sleep(0)

    world.sleep = oversleep  # type: ignore[method-assign]
    pace = await world.run([0.0, 1.0])
    assert pace.late == 2
    assert pace.latest == pytest.approx(3 * LATE_SECONDS)
    assert pace.open


async def test_a_stop_ends_the_loop_though_the_next_start_is_far_away() -> None:
    world = World()

    async def forever(seconds: float) -> None:
        if seconds > 1:
            world.stop.set()
            await asyncio.Event().wait()

    world.sleep = forever  # type: ignore[method-assign]
    pace = await world.run([0.0, 1_000.0])
    assert pace.sent == 1
    assert pace.cut == "stopped by hand"


async def test_a_stop_ends_the_loop_that_waits_for_room() -> None:
    world = World()
    running = asyncio.create_task(world.run([0.0, 0.0], Bounds(in_flight=1)))
    for _ in range(20):
        await asyncio.sleep(0)
    world.stop.set()
    assert (await running).sent == 1


async def test_what_a_sender_raises_is_raised() -> None:
    world = World()

    async def broken() -> None:
        raise RuntimeError("a fault of the generator's own")

    world.answer = broken
    with pytest.raises(RuntimeError, match="own"):
        await world.run([0.0, 1.0, 2.0])
