"""The side effects of pick waves. Each may run twice and takes effect once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from temporalio import activity

from shipping.picking import Counts, Pick, Picked
from shipping.picks import Picks, WaveState

HEARTBEAT_SECONDS = 2.0
"""How often a pick says that it is still being done: several times within the heartbeat time-out."""


@dataclass(frozen=True, slots=True)
class Page:
    """Ask for waiting tasks."""

    wave_id: str
    after: str
    limit: int


class PickActivities:
    """All activities of pick waves, over what they need."""

    def __init__(self, picks: Picks, pick_seconds: float) -> None:
        """Put together.

        Args:
            picks: Waves and tasks.
            pick_seconds: How long a hand takes for a parcel.
        """
        self._picks = picks
        self._seconds = pick_seconds

    def all(self) -> list[Any]:
        """The bound methods, for a worker."""
        return [self.gather, self.waiting, self.pick, self.complete, self.cancel]

    @activity.defn(name="shipping.pick_gather")
    async def gather(self, wave_id: str) -> Counts:
        """Make the wave's tasks, those that are not there yet."""
        return await self._picks.gather(wave_id)

    @activity.defn(name="shipping.pick_waiting")
    async def waiting(self, page: Page) -> list[str]:
        """The next ids of tasks that nobody has done."""
        return await self._picks.waiting(page.wave_id, page.after, page.limit)

    @activity.defn(name="shipping.pick")
    async def pick(self, pick: Pick) -> Picked:
        """Pick one parcel: the hand first, which takes its time, then the record, which counts once."""
        async with _heartbeats():
            await asyncio.sleep(self._seconds)
            return await self._picks.pick(pick)

    @activity.defn(name="shipping.pick_complete")
    async def complete(self, wave_id: str) -> Counts:
        """Close a wave, unless the table has tasks that nobody has done."""
        return await self._picks.close(wave_id, WaveState.COMPLETED)

    @activity.defn(name="shipping.pick_cancel")
    async def cancel(self, wave_id: str) -> Counts:
        """Close a wave that is cancelled; other waves may have what it leaves."""
        return await self._picks.close(wave_id, WaveState.CANCELLED)


@asynccontextmanager
async def _heartbeats() -> AsyncIterator[None]:
    async def beat() -> None:
        while True:
            activity.heartbeat()
            await asyncio.sleep(HEARTBEAT_SECONDS)

    beating = asyncio.create_task(beat())
    try:
        yield
    finally:
        beating.cancel()
        await asyncio.gather(beating, return_exceptions=True)
