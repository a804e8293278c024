import uuid
from datetime import timedelta

import pytest
from temporalio.client import (
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleIntervalSpec,
    ScheduleOverlapPolicy,
    ScheduleSpec,
)
from temporalio.testing import WorkflowEnvironment

from chassis.schedules import Applied, ServiceSchedule, apply


def schedule(name: str, every: timedelta = timedelta(hours=1), *args: int) -> ServiceSchedule:
    return ServiceSchedule(name, "demo.Sweep", "nobodys-queue", every, args, note="sweeps the floor")


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


async def test_a_cron_expression_an_overlap_policy_and_a_window_are_kept(dev_server: WorkflowEnvironment) -> None:
    client, name = dev_server.client, f"s-{uuid.uuid4()}"
    wanted = ServiceSchedule(
        name,
        "demo.Report",
        "nobodys-queue",
        cron="0 9 * * MON-FRI",
        overlap=ScheduleOverlapPolicy.BUFFER_ONE,
        catchup=timedelta(days=3),
    )
    assert await apply(client, [wanted]) == {name: Applied.CREATED}
    found = await client.get_schedule_handle(name).describe()
    assert {time.hour for time in found.info.next_action_times} == {9}
    assert all(time.weekday() < 5 for time in found.info.next_action_times)
    assert found.schedule.policy.overlap is ScheduleOverlapPolicy.BUFFER_ONE
    assert found.schedule.policy.catchup_window == timedelta(days=3)


async def test_it_is_told_what_became_of_each(dev_server: WorkflowEnvironment) -> None:
    client, name, strangers = dev_server.client, f"s-{uuid.uuid4()}", f"s-{uuid.uuid4()}"
    assert await apply(client, [schedule(name)], "demo") == {name: Applied.CREATED}
    assert await (await client.get_schedule_handle(name).describe()).memo() == {"service": "demo"}
    assert await apply(client, [schedule(name)]) == {name: Applied.UNCHANGED}
    assert await apply(client, [schedule(name, timedelta(hours=1), 9)]) == {name: Applied.CHANGED}
    # One that somebody made by hand under the same id becomes what the code says.
    action = ScheduleActionStartWorkflow("demo.Other", id="other", task_queue="nobodys-queue")
    spec = ScheduleSpec(intervals=[ScheduleIntervalSpec(every=timedelta(days=9))])
    await client.create_schedule(strangers, Schedule(action=action, spec=spec))
    assert await apply(client, [schedule(strangers)]) == {strangers: Applied.CHANGED}


@pytest.mark.parametrize(("every", "cron"), [(None, None), (timedelta(hours=1), "0 9 * * *")])
def test_a_schedule_has_either_an_interval_or_a_cron_expression(every: timedelta | None, cron: str | None) -> None:
    with pytest.raises(ValueError, match="either an interval or a cron expression"):
        ServiceSchedule("s", "demo.Sweep", "nobodys-queue", every=every, cron=cron)
