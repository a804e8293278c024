"""Holds stock for an order."""

from temporalio import workflow

from inventory import contract
from inventory.workflows.options import OPTIONS

with workflow.unsafe.imports_passed_through():
    from chassis.local_first import local_first
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
        return await local_first(Activities.reserve, request, OPTIONS)
