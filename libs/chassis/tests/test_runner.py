import dataclasses
import uuid
from collections.abc import Sequence

from temporalio.api.common.v1 import Payload
from temporalio.converter import DataConverter, PayloadCodec, SerializationContext, WithSerializationContext
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from chassis.converter import DATA_CONVERTER
from chassis.sandboxing import WithoutContext, runner
from chassis.testing.waiting import eventually

from .programs.tiny.flows import Peek


async def test_the_sandbox_still_refuses_a_clock_in_a_workflow(dev_server: WorkflowEnvironment) -> None:
    queue = f"peek-{uuid.uuid4()}"
    async with Worker(
        dev_server.client, task_queue=queue, workflows=[Peek], workflow_runner=runner([Peek], DATA_CONVERTER)
    ):
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

    shared = runner([Elsewhere], DATA_CONVERTER).restrictions.passthrough_modules
    assert {"elsewhere.contract", "elsewhere.contracts", "chassis"} <= shared
    assert "elsewhere" not in shared
    assert not any(name.startswith("elsewhere.workflows") for name in shared)


class Codec(PayloadCodec):
    """Encodes nothing."""

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        return list(payloads)

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        return list(payloads)


class CodecByWorkflow(Codec, WithSerializationContext):
    """One that would take another key for each workflow, say."""

    def with_context(self, context: SerializationContext) -> "CodecByWorkflow":
        return CodecByWorkflow()


def test_whose_a_payload_is_is_asked_only_for_a_converter_that_wants_to_know() -> None:
    for converter in (
        DATA_CONVERTER,
        DataConverter.default,
        dataclasses.replace(DATA_CONVERTER, payload_codec=Codec()),
    ):
        assert isinstance(runner([], converter), WithoutContext)
    by_workflow = dataclasses.replace(DATA_CONVERTER, payload_codec=CodecByWorkflow())
    assert not isinstance(runner([], by_workflow), WithoutContext)
