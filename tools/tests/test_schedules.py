import uuid
from datetime import UTC, datetime, timedelta

import pytest
from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment

from chassis.schedules import ServiceSchedule, apply
from chassis.testing.waiting import eventually
from waybill import schedules
from waybill.schedules import Row, SchedulesError

MONDAY = datetime(2026, 3, 2, tzinfo=UTC)


async def applied(client: Client, cron: str = "0 9 * * *") -> str:
    """A new schedule; nobody works on what it starts."""
    name = f"s-{uuid.uuid4()}"
    await apply(client, [ServiceSchedule(name, "demo.Report", f"q-{name}", cron=cron)], "demo")
    return name


async def row(client: Client, name: str) -> Row | None:
    return next((row for row in await schedules.rows(client) if row.id == name), None)


async def started(client: Client, name: str) -> set[str]:
    """Ids of what it has started."""
    return {each.id async for each in client.list_workflows(f"TaskQueue = 'q-{name}'")}


async def test_a_schedule_is_listed_with_its_service_and_its_next_time(dev_server: WorkflowEnvironment) -> None:
    name = await applied(dev_server.client)
    found = await eventually(lambda: row(dev_server.client, name))
    assert found is not None
    assert (found.service, found.workflow, found.paused, found.last) == ("demo", "demo.Report", False, None)
    assert found.next is not None
    assert found.next.hour == 9


async def test_a_schedule_is_paused_with_a_reason_and_resumed(dev_server: WorkflowEnvironment) -> None:
    client, name = dev_server.client, await applied(dev_server.client)
    await schedules.pause(client, name, "stocktaking")
    description = await client.get_schedule_handle(name).describe()
    assert (description.schedule.state.paused, description.schedule.state.note) == (True, "stocktaking")
    await schedules.resume(client, name)
    assert not (await client.get_schedule_handle(name).describe()).schedule.state.paused


async def test_a_triggered_schedule_starts_once_now(dev_server: WorkflowEnvironment) -> None:
    client, name = dev_server.client, await applied(dev_server.client)
    await schedules.pause(client, name, "its own time may come just now")
    await schedules.trigger(client, name)

    async def once() -> bool:
        return len(await started(client, name)) == 1

    await eventually(once)


async def test_a_time_that_is_past_is_made_up_for_one_start_after_the_other(dev_server: WorkflowEnvironment) -> None:
    client, name = dev_server.client, await applied(dev_server.client)
    await schedules.pause(client, name, "its own time may come just now")
    await schedules.backfill(client, name, MONDAY, MONDAY + timedelta(days=3))
    for day in ("2026-03-02", "2026-03-03", "2026-03-04"):
        wanted = f"{name}-{day}T09:00:00Z"

        async def begun(wanted: str = wanted) -> bool:
            return wanted in await started(client, name)

        await eventually(begun)
        await client.get_workflow_handle(wanted).terminate()  # as if it were done
    assert len(await started(client, name)) == 3


@pytest.mark.parametrize(
    ("until", "said"),
    [(MONDAY, "ends before it begins"), (MONDAY + timedelta(days=1000), "more than 366 days")],
)
async def test_a_time_that_makes_no_sense_is_not_made_up_for(
    dev_server: WorkflowEnvironment, until: datetime, said: str
) -> None:
    name = await applied(dev_server.client)
    with pytest.raises(SchedulesError, match=said):
        await schedules.backfill(dev_server.client, name, MONDAY, until)


async def test_a_removed_schedule_is_gone_and_whoever_asks_for_it_is_told(dev_server: WorkflowEnvironment) -> None:
    client, name = dev_server.client, await applied(dev_server.client)
    await schedules.remove(client, name)
    for act in (schedules.resume, schedules.trigger, schedules.remove):
        with pytest.raises(SchedulesError, match="there is no schedule"):
            await act(client, name)
