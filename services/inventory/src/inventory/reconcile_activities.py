"""The check of the stock, as an activity."""

from collections.abc import Callable, Sequence
from typing import Any

from temporalio import activity

from inventory.beating import alive
from inventory.jobs import Reconciled
from inventory.reconciling import Reconciler


class ReconcileActivities:
    """The reconciliation's activity."""

    def __init__(self, reconciler: Reconciler) -> None:
        """Take what it works with."""
        self._reconciler = reconciler

    def all(self) -> Sequence[Callable[..., Any]]:
        """The bound methods, for the worker."""
        return [self.reconcile]

    @activity.defn(name="inventory.reconcile")
    async def reconcile(self) -> Reconciled:
        """Check all shelves and keep a report; one for each run of the workflow."""
        return await alive(self._reconciler.reconcile(str(activity.info().workflow_run_id)))
