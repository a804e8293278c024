"""Takes held units out of stock."""

from temporalio import workflow

from inventory import contract
from inventory.workflows.options import OPTIONS

with workflow.unsafe.imports_passed_through():
    from chassis.local_first import local_first
    from inventory.activities import Activities


@workflow.defn(name="inventory.CommitStock")
class CommitStock(contract.CommitStock):
    """One transaction: the held units leave, or nothing changes."""

    @workflow.run
    async def run(self, request: contract.CommitRequest) -> contract.Committed:
        """Commit.

        Raises:
            ApplicationError: Of a type that the contract lists, if inventory refuses.
        """
        return await local_first(Activities.commit, request, OPTIONS)
