"""The services' schedules, as Temporal has them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from temporalio.client import (
    Client,
    ScheduleBackfill,
    ScheduleListActionStartWorkflow,
    ScheduleListDescription,
    ScheduleOverlapPolicy,
)
from temporalio.service import RPCError, RPCStatusCode

SERVICE = "service"
"""Key in a schedule's memo, as the services write it."""
BACKFILL_DAYS = 366
"""The longest time that is made up for at once: each start is a workflow."""


class SchedulesError(Exception):
    """What was asked of a schedule cannot be done; the message is for the person who asked."""


@dataclass(frozen=True)
class Row:
    """One schedule.

    Attributes:
        id: Of the schedule.
        service: Whose it is; empty if a service did not make it.
        workflow: What it starts.
        paused: Whether somebody paused it.
        note: Of whoever paused it.
        last: When it started something last.
        next: When it does so next; None where it is paused or over.
    """

    id: str
    service: str
    workflow: str
    paused: bool
    note: str
    last: datetime | None
    next: datetime | None


@asynccontextmanager
async def _telling(schedule_id: str) -> AsyncIterator[None]:
    """Turn what Temporal refuses into a sentence."""
    try:
        yield
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            raise SchedulesError(f"there is no schedule {schedule_id!r} (waybill schedules list)") from error
        raise SchedulesError(f"Temporal does not do it: {error.message}") from error


async def rows(client: Client) -> list[Row]:
    """All schedules of the namespace, by service and id.

    Args:
        client: Connected.

    Raises:
        SchedulesError: If Temporal does not answer.
    """
    async with _telling(""):
        found = [await _row(each) async for each in await client.list_schedules()]
    return sorted(found, key=lambda row: (row.service, row.id))


async def _row(found: ScheduleListDescription) -> Row:
    schedule, info = found.schedule, found.info
    action = schedule.action if schedule is not None else None
    recent = info.recent_actions if info is not None else []
    following = info.next_action_times if info is not None else []
    return Row(
        id=found.id,
        service=str((await found.memo()).get(SERVICE, "")),
        workflow=action.workflow if isinstance(action, ScheduleListActionStartWorkflow) else "",
        paused=schedule is not None and schedule.state.paused,
        note=(schedule.state.note if schedule is not None else None) or "",
        last=recent[-1].started_at if recent else None,
        next=following[0] if following else None,
    )


async def pause(client: Client, schedule_id: str, note: str) -> None:
    """Start nothing more until it is resumed.

    Args:
        client: Connected.
        schedule_id: Of the schedule.
        note: Why, for those who wonder.

    Raises:
        SchedulesError: If there is none, or Temporal does not answer.
    """
    async with _telling(schedule_id):
        await client.get_schedule_handle(schedule_id).pause(note=note)


async def resume(client: Client, schedule_id: str) -> None:
    """Start again from now on. What was missed meanwhile is for ``backfill``."""
    async with _telling(schedule_id):
        await client.get_schedule_handle(schedule_id).unpause(note="")


async def trigger(client: Client, schedule_id: str) -> None:
    """Start once, now, by the schedule's own overlap policy."""
    async with _telling(schedule_id):
        await client.get_schedule_handle(schedule_id).trigger()


async def backfill(client: Client, schedule_id: str, since: datetime, until: datetime) -> None:
    """Start what the schedule would have started in a time that is past, one after the other.

    Args:
        client: Connected.
        schedule_id: Of the schedule.
        since: Aware.
        until: Aware.

    Raises:
        SchedulesError: If the time is none, is too long, or there is no such schedule.
    """
    if not since < until:
        raise SchedulesError("the time to make up for ends before it begins")
    if until - since > timedelta(days=BACKFILL_DAYS):
        raise SchedulesError(f"more than {BACKFILL_DAYS} days cannot be made up for at once")
    async with _telling(schedule_id):
        await client.get_schedule_handle(schedule_id).backfill(
            ScheduleBackfill(start_at=since, end_at=until, overlap=ScheduleOverlapPolicy.BUFFER_ALL)
        )


async def remove(client: Client, schedule_id: str) -> None:
    """Delete it; what it started goes on. The service makes it again at its next start."""
    async with _telling(schedule_id):
        await client.get_schedule_handle(schedule_id).delete()
