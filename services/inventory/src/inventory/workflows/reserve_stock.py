"""Holds stock for an order."""

from temporalio import workflow
from temporalio.exceptions import ActivityError

from inventory import contract
from inventory.workflows.options import OPTIONS, unwrapped

with workflow.unsafe.imports_passed_through():
    from inventory.activities import Activities


@workflow.defn(name="inventory.ReserveStock")
class ReserveStock(contract.ReserveStock):
    """One transaction: it prices the lines and holds the units, or changes nothing."""

    @workflow.run
    async def run(self, request: contract.ReserveRequest) -> contract.Reservation:
        """Reserve.

        Raises:
            ApplicationError: Of a type that the contract lists, if inventory refuses.
        """
        try:
            return await workflow.execute_activity_method(Activities.reserve, request, **OPTIONS)
        except ActivityError as error:
            raise unwrapped(error) from error
