"""What the workflow `SettlePayments` has done."""

from collections.abc import Callable
from typing import Any

from temporalio import activity

from payments.metrics import FAILED, PaymentsMetrics
from payments.settlement_store import SettlementStore
from payments.settlement_terms import Due, Settlement


class SettlementActivities:
    """Makes settlements."""

    def __init__(self, store: SettlementStore, metrics: PaymentsMetrics) -> None:
        """Keep the settlements' memory, and what counts the attempts that fail."""
        self._store = store
        self._metrics = metrics

    def all(self) -> list[Callable[..., Any]]:
        """All of them, for the worker."""
        return [self.settle]

    @activity.defn(name="payments.settle")
    async def settle(self, due: Due) -> Settlement:
        """Make the settlement of a day, or find the one that is there."""
        try:
            return await self._store.settle(due)
        except Exception:
            self._metrics.settled(FAILED)
            raise
