"""AuthorisePayment: sets the amount aside."""

from temporalio import workflow

from payments import contract
from payments.workflows.steps import step

with workflow.unsafe.imports_passed_through():
    from payments.activities import Activities


@workflow.defn(name="payments.AuthorisePayment")
class AuthorisePayment(contract.AuthorisePayment):
    """Sets the amount aside, or says why not."""

    @workflow.run
    async def run(self, request: contract.AuthoriseRequest) -> contract.Authorisation:
        """Ask the gateway until it is known what became of it."""
        return await step(Activities.authorise, request)
