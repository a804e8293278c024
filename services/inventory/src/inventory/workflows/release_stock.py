"""Undoes what was done to the stock for an order."""

from temporalio import workflow

from inventory import contract
from inventory.workflows.options import OPTIONS

with workflow.unsafe.imports_passed_through():
    from chassis.local_first import local_first
    from inventory.activities import Activities


@workflow.defn(name="inventory.ReleaseStock")
class ReleaseStock(contract.ReleaseStock):
    """One transaction that frees or puts back, and fences the order. Never refused; it tries until it succeeds."""

    @workflow.run
    async def run(self, undo: contract.Undo) -> contract.Released:
        """Release."""
        return await local_first(Activities.release, undo, OPTIONS)
