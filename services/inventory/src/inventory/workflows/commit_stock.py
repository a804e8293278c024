"""Takes held units out of stock."""

from temporalio import workflow
from temporalio.exceptions import ActivityError

from inventory import contract
from inventory.workflows.options import OPTIONS, unwrapped

with workflow.unsafe.imports_passed_through():
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
        try:
            return await workflow.execute_activity_method(Activities.commit, request, **OPTIONS)
        except ActivityError as error:
            raise unwrapped(error) from error
