"""A service's own Temporal schedules, created or changed to what the code says."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any

from temporalio.api.common.v1 import Payload
from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleIntervalSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleSpec,
    ScheduleUpdate,
    ScheduleUpdateInput,
)

DEFINITION = "definition"
"""Key in the memo of the workflows that a schedule starts: the digest of the definition that it was last set to."""
SERVICE = "service"
"""Key in a schedule's memo: whose it is."""


class Applied(StrEnum):
    """What became of a schedule."""

    CREATED = "created"
    CHANGED = "changed"
    UNCHANGED = "unchanged"


@dataclass(frozen=True)
class ServiceSchedule:
    """A workflow that a service starts again and again.

    Attributes:
        id: The schedule's id; the workflow's id is it with the time behind.
        workflow: Name of the workflow.
        task_queue: The service's queue.
        every: Interval between starts. Either this, or ``cron``.
        args: The workflow's arguments.
        cron: Times of starts, in UTC.
        overlap: What a start does that finds the one before still running.
        catchup: How late a start may come that was missed while Temporal was away. What is missed by more is left out.
        note: For those who look at it: what it is for.

    Raises:
        ValueError: If it has neither ``every`` nor ``cron``, or both.
    """

    id: str
    workflow: str
    task_queue: str
    every: timedelta | None = None
    args: Sequence[Any] = ()
    cron: str | None = None
    overlap: ScheduleOverlapPolicy = ScheduleOverlapPolicy.SKIP
    catchup: timedelta = timedelta(minutes=1)
    note: str = ""

    def __post_init__(self) -> None:
        if (self.every is None) == (self.cron is None):
            raise ValueError(f"schedule {self.id}: it has either an interval or a cron expression")

    def definition(self) -> Schedule:
        """What Temporal is told."""
        return Schedule(
            action=ScheduleActionStartWorkflow(
                self.workflow,
                args=self.args,
                id=self.id,
                task_queue=self.task_queue,
                memo={DEFINITION: self.digest()},
                static_summary=self.note or None,
            ),
            spec=ScheduleSpec(
                intervals=[] if self.every is None else [ScheduleIntervalSpec(every=self.every)],
                cron_expressions=[] if self.cron is None else [self.cron],
            ),
            policy=SchedulePolicy(overlap=self.overlap, catchup_window=self.catchup),
        )

    def digest(self) -> str:
        """A short name of this very definition. Temporal keeps a cron expression in a form that cannot be compared."""
        said = [self.workflow, self.task_queue, self.every, self.args, self.cron, self.overlap.name, self.catchup]
        return hashlib.sha256(json.dumps([*said, self.note], default=repr).encode()).hexdigest()[:16]


async def apply(client: Client, schedules: Sequence[ServiceSchedule], service: str = "") -> dict[str, Applied]:
    """Create each schedule, or change it to its definition. A schedule that someone paused stays paused.

    Args:
        client: Connected.
        schedules: Of one service.
        service: Its name, kept with those that are created.

    Returns:
        What became of each, by its id.

    Raises:
        temporalio.service.RPCError: If Temporal is away.
    """
    return {schedule.id: await _apply(client, schedule, service) for schedule in schedules}


async def _apply(client: Client, schedule: ServiceSchedule, service: str) -> Applied:
    wanted = schedule.definition()
    try:
        await client.create_schedule(schedule.id, wanted, memo={SERVICE: service})
    except ScheduleAlreadyRunningError:
        pass
    else:
        return Applied.CREATED
    outcome = Applied.CHANGED

    async def change(found: ScheduleUpdateInput) -> ScheduleUpdate | None:
        nonlocal outcome
        if await _digest(client, found.description.schedule) == schedule.digest():
            outcome = Applied.UNCHANGED
            return None
        wanted.state = found.description.schedule.state
        return ScheduleUpdate(schedule=wanted)

    await client.get_schedule_handle(schedule.id).update(change)
    return outcome


async def _digest(client: Client, found: Schedule) -> str | None:
    """The definition that a schedule was last set to; None if not by us."""
    if not isinstance(found.action, ScheduleActionStartWorkflow) or not found.action.memo:
        return None
    kept = found.action.memo.get(DEFINITION)
    if not isinstance(kept, Payload):
        return None
    [digest] = await client.data_converter.decode([kept], [str])
    return str(digest)
