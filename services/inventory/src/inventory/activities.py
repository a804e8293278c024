"""What inventory's workflows do to the world: one transaction each, and each may run again."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from temporalio import activity
from temporalio.exceptions import ApplicationError

from inventory.contract import CommitRequest, Committed, Released, Reservation, ReserveRequest, Undo
from inventory.store import RefusedError, Store


@dataclass(frozen=True, slots=True)
class ExpiryBatch:
    """Release holds that ran out, so many in one transaction."""

    limit: int

    def __post_init__(self) -> None:
        """Refuse a batch of nothing, which would never end.

        Raises:
            ValueError: If the limit is not positive.
        """
        if self.limit < 1:
            raise ValueError(f"limit is {self.limit}, not positive")


@dataclass(frozen=True, slots=True)
class Expired:
    """How many holds were released because they ran out, and how many units."""

    holds: int
    units: int


class Activities:
    """Inventory's activities."""

    def __init__(self, store: Store) -> None:
        """Work on a store."""
        self._store = store

    def all(self) -> Sequence[Callable[..., Any]]:
        """The bound methods, for the worker."""
        return [self.reserve, self.commit, self.release, self.release_expired]

    @activity.defn(name="inventory.reserve")
    async def reserve(self, request: ReserveRequest) -> Reservation:
        """Hold units for an order.

        Raises:
            ApplicationError: Not retryable, of a type that the contract lists.
        """
        try:
            return await self._store.reserve(request)
        except RefusedError as refused:
            raise _final(refused) from refused

    @activity.defn(name="inventory.commit")
    async def commit(self, request: CommitRequest) -> Committed:
        """Take the held units out of stock.

        Raises:
            ApplicationError: Not retryable, of a type that the contract lists.
        """
        try:
            return Committed(request.order_id, await self._store.commit(request.order_id))
        except RefusedError as refused:
            raise _final(refused) from refused

    @activity.defn(name="inventory.release")
    async def release(self, undo: Undo) -> Released:
        """Undo both, and fence the order."""
        return Released(undo.order_id, await self._store.release(undo.order_id, undo.reason))

    @activity.defn(name="inventory.release_expired")
    async def release_expired(self, batch: ExpiryBatch) -> Expired:
        """Release a batch of holds that ran out."""
        return Expired(*await self._store.release_expired(batch.limit))


def _final(refused: RefusedError) -> ApplicationError:
    return ApplicationError(str(refused), type=refused.refusal, non_retryable=True)
