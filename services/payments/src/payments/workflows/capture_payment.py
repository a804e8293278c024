"""CapturePayment: takes the amount that was set aside."""

from temporalio import workflow

from payments import contract
from payments.workflows.steps import step

with workflow.unsafe.imports_passed_through():
    from payments.activities import Activities


@workflow.defn(name="payments.CapturePayment")
class CapturePayment(contract.CapturePayment):
    """Takes the amount, or says why not."""

    @workflow.run
    async def run(self, request: contract.CaptureRequest) -> contract.Capture:
        """Ask the gateway until it is known what became of it."""
        return await step(Activities.capture, request)
