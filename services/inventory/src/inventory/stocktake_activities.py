"""What the stocktakes' workflows do to the world: one transaction each, and each may run again."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from temporalio import activity
from temporalio.exceptions import ApplicationError

from inventory.counting import CountingStore, LeaseLostError
from inventory.jobs import Counted, RoundResult, Stocktake
from inventory.rounds import RoundStore

LEASE_LOST = "lease_lost"
"""Type of the error of a stocktake whose warehouse is closed for another one by now. Not retryable."""


@dataclass(frozen=True, slots=True)
class Reopening:
    """A stocktake is over."""

    job: Stocktake
    result: Counted
    """Kept, unless there is one."""


@dataclass(frozen=True, slots=True)
class RoundEnding:
    """A round is over."""

    result: RoundResult
    state: str
    """``completed`` or ``cancelled``."""


class StocktakeActivities:
    """The stocktakes' activities."""

    def __init__(self, counting: CountingStore, rounds: RoundStore) -> None:
        """Take what they work with."""
        self._counting = counting
        self._rounds = rounds

    def all(self) -> Sequence[Callable[..., Any]]:
        """The bound methods, for the worker."""
        return [
            self.warehouses,
            self.close,
            self.prolong,
            self.count_by_books,
            self.correct,
            self.reopen,
            self.finish,
        ]

    @activity.defn(name="inventory.stocktake_warehouses")
    async def warehouses(self) -> list[str]:
        """All warehouses."""
        return await self._rounds.warehouses()

    @activity.defn(name="inventory.stocktake_close")
    async def close(self, job: Stocktake) -> Counted | None:
        """Close a warehouse to new reservations; or, if the stocktake is over already, say what came of it."""
        return await self._counting.close(job)

    @activity.defn(name="inventory.stocktake_prolong")
    async def prolong(self, job: Stocktake) -> bool:
        """Keep it closed for another while.

        Returns:
            Whether the sheet is complete.

        Raises:
            ApplicationError: ``lease_lost``, not retryable.
        """
        try:
            return await self._counting.prolong(job)
        except LeaseLostError as error:
            raise ApplicationError(str(error), type=LEASE_LOST, non_retryable=True) from error

    @activity.defn(name="inventory.stocktake_count_by_books")
    async def count_by_books(self, job: Stocktake) -> None:
        """Take what the books say for counted."""
        await self._counting.count_by_books(job)

    @activity.defn(name="inventory.stocktake_correct")
    async def correct(self, job: Stocktake) -> Counted:
        """Book the differences.

        Raises:
            ApplicationError: ``lease_lost``, not retryable.
        """
        try:
            return await self._counting.correct(job)
        except LeaseLostError as error:
            raise ApplicationError(str(error), type=LEASE_LOST, non_retryable=True) from error

    @activity.defn(name="inventory.stocktake_reopen")
    async def reopen(self, reopening: Reopening) -> Counted:
        """Open the warehouse again."""
        return await self._counting.reopen(reopening.job, reopening.result)

    @activity.defn(name="inventory.stocktake_finish")
    async def finish(self, ending: RoundEnding) -> None:
        """Remember what came of a round."""
        await self._rounds.finish(ending.result, ending.state)
