"""A service's own Temporal schedules, created or changed to what the code says."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

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


@dataclass(frozen=True)
class ServiceSchedule:
    """A workflow that a service starts again and again.

    Attributes:
        id: The schedule's id; the workflow's id is it with the time behind.
        workflow: Name of the workflow.
        task_queue: The service's queue.
        every: Interval between starts. A start is skipped while the one before still runs.
        args: The workflow's arguments.
    """

    id: str
    workflow: str
    task_queue: str
    every: timedelta
    args: Sequence[Any] = ()

    def definition(self) -> Schedule:
        """What Temporal is told."""
        return Schedule(
            action=ScheduleActionStartWorkflow(self.workflow, args=self.args, id=self.id, task_queue=self.task_queue),
            spec=ScheduleSpec(intervals=[ScheduleIntervalSpec(every=self.every)]),
            # A missed start needs no catching up: the next one does the same work.
            policy=SchedulePolicy(overlap=ScheduleOverlapPolicy.SKIP, catchup_window=timedelta(minutes=1)),
        )


async def apply(client: Client, schedules: Sequence[ServiceSchedule]) -> None:
    """Create each schedule, or change it to its definition. A schedule that someone paused stays paused.

    Args:
        client: Connected.
        schedules: Of one service.

    Raises:
        temporalio.service.RPCError: If Temporal is away.
    """
    for schedule in schedules:
        wanted = schedule.definition()

        async def change(found: ScheduleUpdateInput, wanted: Schedule = wanted) -> ScheduleUpdate:
            wanted.state = found.description.schedule.state
            return ScheduleUpdate(schedule=wanted)

        try:
            await client.create_schedule(schedule.id, wanted)
        except ScheduleAlreadyRunningError:
            await client.get_schedule_handle(schedule.id).update(change)
