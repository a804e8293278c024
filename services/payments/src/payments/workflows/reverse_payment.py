"""ReversePayment: the undo of both steps."""

from temporalio import workflow

from payments import contract
from payments.workflows.steps import step

with workflow.unsafe.imports_passed_through():
    from payments.activities import Activities


@workflow.defn(name="payments.ReversePayment")
class ReversePayment(contract.ReversePayment):
    """Voids or refunds, whichever is right."""

    @workflow.run
    async def run(self, undo: contract.Undo) -> contract.Reversed:
        """Void by key; where the gateway says that the money is taken, refund."""
        outcome = await step(Activities.void, undo)
        if outcome.reversed is not None:
            return outcome.reversed
        return await step(Activities.refund, undo)
