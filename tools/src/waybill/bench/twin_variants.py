"""The twin with one thing done otherwise, for benchmarks of that thing."""

from datetime import timedelta

from temporalio import workflow

from waybill.bench.twin import ACTIVITY_SECONDS, Fulfil, Order, Step, work


@workflow.defn(name="twin.OneByOne")
class OneByOne(Fulfil):
    """The parent that waits for each child before it starts the next."""

    @workflow.run
    async def run(self, order: Order) -> Order:
        """Take the order's steps."""
        return await super().run(order)

    async def _authorise_and_plan(self, order: Order) -> None:
        await self._step("authorise", "payments", order)
        await self._step("plan", "shipping", order)


@workflow.defn(name="twin.LocalStep")
class LocalStep(Step):
    """A child whose activity runs inside its workflow task."""

    @workflow.run
    async def run(self, order: Order) -> Order:
        """Do it."""
        return await workflow.execute_local_activity(
            work, order, start_to_close_timeout=timedelta(seconds=ACTIVITY_SECONDS)
        )


@workflow.defn(name="twin.Locally")
class Locally(Fulfil):
    """The parent of such children."""

    step = LocalStep

    @workflow.run
    async def run(self, order: Order) -> Order:
        """Take the order's steps."""
        return await super().run(order)
