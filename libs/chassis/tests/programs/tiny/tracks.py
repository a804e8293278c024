"""Workflows of the tiny service that are traced in different ways."""

from datetime import timedelta

from temporalio import workflow
from temporalio.workflow import ParentClosePolicy

with workflow.unsafe.imports_passed_through():
    from chassis import apart


@workflow.defn(name="tiny.Leaf")
class Leaf:
    """Part of its caller's trace."""

    @workflow.run
    async def run(self) -> None:
        await workflow.sleep(timedelta(milliseconds=1))


@workflow.defn(name="tiny.Weeks")
class Weeks:
    """Lives long, and goes on as new as often as it is told."""

    own_trace = apart.ALWAYS

    @workflow.run
    async def run(self, times: int) -> None:
        await workflow.sleep(timedelta(milliseconds=1))
        if times:
            workflow.continue_as_new(times - 1)


@workflow.defn(name="tiny.Order")
class Order:
    """Part of a request's trace, but not of another workflow's."""

    own_trace = apart.AS_CHILD

    @workflow.run
    async def run(self) -> None:
        # Each wait is a workflow task, and each task a replay where nothing is cached.
        await workflow.sleep(timedelta(milliseconds=1))
        await workflow.execute_child_workflow(Leaf.run, id=f"{workflow.info().workflow_id}:leaf")
        await workflow.start_child_workflow(
            Weeks.run, 1, id=f"{workflow.info().workflow_id}:weeks", parent_close_policy=ParentClosePolicy.ABANDON
        )


@workflow.defn(name="tiny.Bulk")
class Bulk:
    """Starts others."""

    @workflow.run
    async def run(self) -> None:
        await workflow.execute_child_workflow(Order.run, id=f"{workflow.info().workflow_id}:order")


TRACKS: list[type] = [Leaf, Weeks, Order, Bulk]
