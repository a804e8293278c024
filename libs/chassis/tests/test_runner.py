import uuid

from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from chassis.service import runner
from chassis.testing.waiting import eventually

from .programs.tiny.flows import Peek


async def test_the_sandbox_still_refuses_a_clock_in_a_workflow(dev_server: WorkflowEnvironment) -> None:
    queue = f"peek-{uuid.uuid4()}"
    async with Worker(dev_server.client, task_queue=queue, workflows=[Peek], workflow_runner=runner([Peek])):
        handle = await dev_server.client.start_workflow(Peek.run, id=queue, task_queue=queue)

        async def refused() -> bool:
            failures = [
                event.workflow_task_failed_event_attributes.failure.message
                for event in (await handle.fetch_history()).events
                if event.HasField("workflow_task_failed_event_attributes")
            ]
            return any("time.time" in said for said in failures)

        assert await eventually(refused)
        await handle.terminate()


def test_contracts_and_the_chassis_are_shared_with_it_and_workflows_are_not() -> None:
    class Elsewhere:
        __module__ = "elsewhere.workflows.do_it"

    shared = runner([Elsewhere]).restrictions.passthrough_modules
    assert {"elsewhere.contract", "elsewhere.contracts", "chassis"} <= shared
    assert "elsewhere" not in shared
    assert not any(name.startswith("elsewhere.workflows") for name in shared)
