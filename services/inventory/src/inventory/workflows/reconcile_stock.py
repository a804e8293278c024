"""Checks the stock against movements and holds. Inventory's own schedule starts it, every hour."""

from temporalio import workflow

from inventory.workflows.import_partition import OPTIONS

with workflow.unsafe.imports_passed_through():
    from inventory import jobs
    from inventory.reconcile_activities import ReconcileActivities


@workflow.defn(name=jobs.RECONCILE_STOCK)
class ReconcileStock:
    """One statement over everything. What it finds is a report, a metric and a line in the log: nothing is mended."""

    @workflow.run
    async def run(self) -> jobs.Reconciled:
        """Check."""
        return await workflow.execute_activity_method(ReconcileActivities.reconcile, **OPTIONS)
