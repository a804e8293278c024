import uuid
from datetime import timedelta

from temporalio.client import ScheduleActionStartWorkflow, ScheduleOverlapPolicy
from temporalio.testing import WorkflowEnvironment

from chassis.schedules import ServiceSchedule, apply


def schedule(name: str, every: timedelta = timedelta(hours=1), *args: int) -> ServiceSchedule:
    return ServiceSchedule(name, "demo.Sweep", "nobodys-queue", every, args)


async def test_a_schedule_is_created_and_then_changed_to_what_the_code_says(dev_server: WorkflowEnvironment) -> None:
    client, name = dev_server.client, f"s-{uuid.uuid4()}"
    await apply(client, [schedule(name, timedelta(hours=1), 7)])
    first = (await client.get_schedule_handle(name).describe()).schedule
    assert isinstance(first.action, ScheduleActionStartWorkflow)
    assert (first.action.workflow, first.action.id, first.action.task_queue) == ("demo.Sweep", name, "nobodys-queue")
    assert await client.data_converter.decode(first.action.args, [int]) == [7]
    assert first.spec.intervals[0].every == timedelta(hours=1)
    assert first.policy.overlap is ScheduleOverlapPolicy.SKIP
    assert not first.state.paused

    await apply(client, [schedule(name, timedelta(hours=2), 8)])
    second = (await client.get_schedule_handle(name).describe()).schedule
    assert isinstance(second.action, ScheduleActionStartWorkflow)
    assert await client.data_converter.decode(second.action.args, [int]) == [8]
    assert [interval.every for interval in second.spec.intervals] == [timedelta(hours=2)]


async def test_a_schedule_that_someone_paused_stays_paused(dev_server: WorkflowEnvironment) -> None:
    client, name = dev_server.client, f"s-{uuid.uuid4()}"
    await apply(client, [schedule(name)])
    await client.get_schedule_handle(name).pause(note="stocktaking")
    await apply(client, [schedule(name, timedelta(hours=3))])
    found = (await client.get_schedule_handle(name).describe()).schedule
    assert found.state.paused
    assert found.state.note == "stocktaking"
    assert found.spec.intervals[0].every == timedelta(hours=3)


async def test_each_of_several_schedules_gets_its_own_definition(dev_server: WorkflowEnvironment) -> None:
    client, names = dev_server.client, [f"s-{uuid.uuid4()}" for _ in range(3)]
    for _ in range(2):
        await apply(client, [schedule(name, timedelta(hours=number)) for number, name in enumerate(names, 1)])
    found = [(await client.get_schedule_handle(name).describe()).schedule for name in names]
    assert [one.spec.intervals[0].every.total_seconds() for one in found] == [3600, 7200, 10800]
