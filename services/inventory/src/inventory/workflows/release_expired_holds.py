"""Releases the holds that ran out. Inventory's own schedule starts it; no other service does."""

from temporalio import workflow

from inventory.workflows.options import OPTIONS

with workflow.unsafe.imports_passed_through():
    from inventory.activities import Activities, Expired, ExpiryBatch

NAME = "inventory.ReleaseExpiredHolds"

MAX_BATCHES = 50
"""Most batches of one run, which keeps its history short. The schedule's next run goes on with what is left."""


@workflow.defn(name=NAME)
class ReleaseExpiredHolds:
    """Batch after batch, until one is not full."""

    @workflow.run
    async def run(self, batch: ExpiryBatch) -> Expired:
        """Release.

        Args:
            batch: How many holds one transaction takes.

        Returns:
            Holds and units of all batches together.
        """
        holds = units = 0
        for _ in range(MAX_BATCHES):
            expired = await workflow.execute_activity_method(Activities.release_expired, batch, **OPTIONS)
            holds += expired.holds
            units += expired.units
            if expired.holds < batch.limit:
                break
        return Expired(holds, units)
