"""The story of one order, from Temporal's own record: which step ran when, on which queue, and who did it."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from temporalio.api.enums.v1 import EventType
from temporalio.api.failure.v1 import Failure
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

LOCAL_ACTIVITY = "core_local_activity"
"""Marker under which the SDK records an activity that ran inside the workflow's own worker."""

ENDS = {
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED: "done",
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_FAILED: "refused",
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CANCELED: "cancelled",
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED: "terminated",
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_TIMED_OUT: "timed out",
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW: "continued as new",
}


class NoStory(Exception):  # noqa: N818 - it names a state
    """There is no such order, or Temporal does not answer."""


@dataclass(frozen=True)
class Telling:
    """One workflow's record.

    Attributes:
        workflow_id: Of the workflow.
        depth: 0 for the order itself, 1 for its children, and so on.
        events: Its history.
    """

    workflow_id: str
    depth: int
    events: Sequence[HistoryEvent]


@dataclass(frozen=True)
class Step:
    """One line of the story.

    Attributes:
        at: When it began, UTC.
        depth: How deep below the order.
        queue: Task queue on which it ran.
        who: Identity of the worker that ran it, or of the client that asked.
        what: In words.
        took: How long; None for a moment.
    """

    at: datetime
    depth: int
    queue: str
    who: str
    what: str
    took: timedelta | None = None


async def fetch(client: Client, order_id: str) -> list[Telling]:
    """The records of an order's workflow and of all workflows that it started.

    Args:
        client: Of the namespace.
        order_id: Of the order.

    Raises:
        NoStory: If there is no workflow for the order.
    """
    tellings: list[Telling] = []
    waiting: list[tuple[str, str | None, int]] = [(f"fulfil:{order_id}", None, 0)]
    while waiting:
        workflow_id, run_id, depth = waiting.pop()
        try:
            history = await client.get_workflow_handle(workflow_id, run_id=run_id).fetch_history()
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                raise NoStory(f"there is no order {order_id}: Temporal has no workflow {workflow_id}") from None
            raise NoStory(f"Temporal does not answer: {error}") from error
        tellings.append(Telling(workflow_id, depth, list(history.events)))
        for event in history.events:
            if event.event_type == EventType.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_STARTED:
                child = event.child_workflow_execution_started_event_attributes.workflow_execution
                waiting.append((child.workflow_id, child.run_id, depth + 1))
    return tellings


def steps(tellings: Sequence[Telling]) -> list[Step]:
    """The story's lines, in the order in which they happened."""
    told = [step for telling in tellings for step in _Reader(telling).read()]
    return sorted(told, key=lambda step: step.at)


def lines(story: Sequence[Step]) -> Iterator[str]:
    """The story as plain lines, with times counted from its beginning."""
    if not story:
        return
    queue_width = max(len(step.queue) for step in story)
    who_width = max(len(step.who) for step in story)
    for step in story:
        since = (step.at - story[0].at).total_seconds()
        took = "" if step.took is None else f"  [{_duration(step.took)}]"
        what = "  " * step.depth + step.what
        yield f"+{since:7.3f} s  {step.queue:{queue_width}}  {step.who:{who_width}}  {what}{took}"


@dataclass
class _Reader:
    """Turns one history into steps."""

    telling: Telling
    queue: str = ""
    who: str = ""
    name: str = ""
    began: datetime | None = None
    scheduled: dict[int, HistoryEvent] = field(default_factory=dict)
    started: dict[int, HistoryEvent] = field(default_factory=dict)

    def read(self) -> Iterator[Step]:
        for event in self.telling.events:
            if event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_STARTED:
                self.who = event.workflow_task_started_event_attributes.identity
                break
        for event in self.telling.events:
            yield from self._step(event)
        if self.began is not None and not any(event.event_type in ENDS for event in self.telling.events):
            last = max(_at(event) for event in self.telling.events)
            yield self._moment(last, f"{self.name} is still running", self.telling.depth)

    def _step(self, event: HistoryEvent) -> Iterator[Step]:
        inner = self.telling.depth + 1
        match event.event_type:
            case EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED:
                begun = event.workflow_execution_started_event_attributes
                self.queue, self.name, self.began = begun.task_queue.name, begun.workflow_type.name, _at(event)
                yield self._moment(_at(event), f"{self.name} begins ({self.telling.workflow_id})", self.telling.depth)
            case EventType.EVENT_TYPE_WORKFLOW_TASK_STARTED:
                self.who = event.workflow_task_started_event_attributes.identity
            case EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED:
                failed = event.workflow_task_failed_event_attributes
                said = _why(failed.failure)
                yield Step(_at(event), inner, self.queue, failed.identity, f"workflow task failed: {said}")
            case EventType.EVENT_TYPE_MARKER_RECORDED:
                yield from self._local_activity(event, inner)
            case number if number in ENDS:
                yield from self._end(event)
            case _:
                yield from self._activity(event, inner)
                yield from self._from_outside(event, inner)

    def _from_outside(self, event: HistoryEvent, inner: int) -> Iterator[Step]:
        """What time, or somebody else, does to the workflow."""
        match event.event_type:
            case EventType.EVENT_TYPE_TIMER_STARTED:
                length = event.timer_started_event_attributes.start_to_fire_timeout.ToTimedelta()
                yield self._moment(_at(event), f"waits, for {_duration(length)} at most", inner)
            case EventType.EVENT_TYPE_TIMER_FIRED:
                yield self._moment(_at(event), "the wait is over", inner)
            case EventType.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED:
                request = event.workflow_execution_update_accepted_event_attributes.accepted_request
                yield Step(_at(event), inner, self.queue, request.meta.identity, f"update {request.input.name}")
            case EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED:
                signal = event.workflow_execution_signaled_event_attributes
                # A signal between workflows is brought by the server itself.
                who = "Temporal" if signal.identity == "history-service" else signal.identity
                yield Step(_at(event), inner, self.queue, who, f"signal {signal.signal_name}")
            case EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CANCEL_REQUESTED:
                asked = event.workflow_execution_cancel_requested_event_attributes
                yield Step(_at(event), inner, self.queue, asked.identity, f"cancellation asked for: {asked.cause}")

    def _activity(self, event: HistoryEvent, depth: int) -> Iterator[Step]:
        match event.event_type:
            case EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
                self.scheduled[event.event_id] = event
            case EventType.EVENT_TYPE_ACTIVITY_TASK_STARTED:
                self.started[event.activity_task_started_event_attributes.scheduled_event_id] = event
            case EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED:
                number = event.activity_task_completed_event_attributes.scheduled_event_id
                yield self._activity_step(number, event, "", depth)
            case EventType.EVENT_TYPE_ACTIVITY_TASK_FAILED:
                failed = event.activity_task_failed_event_attributes
                yield self._activity_step(failed.scheduled_event_id, event, f": {_why(failed.failure)}", depth)
            case EventType.EVENT_TYPE_ACTIVITY_TASK_TIMED_OUT:
                late = event.activity_task_timed_out_event_attributes
                yield self._activity_step(late.scheduled_event_id, event, f": {_why(late.failure)}", depth)
            case EventType.EVENT_TYPE_ACTIVITY_TASK_CANCELED:
                number = event.activity_task_canceled_event_attributes.scheduled_event_id
                yield self._activity_step(number, event, ": cancelled", depth)

    def _activity_step(self, number: int, end: HistoryEvent, result: str, depth: int) -> Step:
        scheduled = self.scheduled[number].activity_task_scheduled_event_attributes
        at, who, attempts = _at(self.scheduled[number]), "nobody", 1
        if (started := self.started.get(number)) is not None:
            who = started.activity_task_started_event_attributes.identity
            attempts = started.activity_task_started_event_attributes.attempt
        tries = f" (attempt {attempts})" if attempts > 1 else ""
        what = f"{scheduled.activity_type.name}{tries}{result}"
        return Step(at, depth, scheduled.task_queue.name or self.queue, who, what, _at(end) - at)

    def _local_activity(self, event: HistoryEvent, depth: int) -> Iterator[Step]:
        marker = event.marker_recorded_event_attributes
        if marker.marker_name != LOCAL_ACTIVITY or not marker.details["data"].payloads:
            return
        data: Mapping[str, object] = json.loads(marker.details["data"].payloads[0].data)
        yield self._moment(_at(event), f"{data.get('activity_type', 'local activity')} (local)", depth)

    def _end(self, event: HistoryEvent) -> Iterator[Step]:
        result = ENDS[event.event_type]
        if event.event_type == EventType.EVENT_TYPE_WORKFLOW_EXECUTION_FAILED:
            result += f": {_why(event.workflow_execution_failed_event_attributes.failure)}"
        took = None if self.began is None else _at(event) - self.began
        yield Step(_at(event), self.telling.depth, self.queue, self.who, f"{self.name} {result}", took)

    def _moment(self, at: datetime, what: str, depth: int) -> Step:
        return Step(at, depth, self.queue, self.who, what)


def _at(event: HistoryEvent) -> datetime:
    return event.event_time.ToDatetime()


def _why(failure: Failure) -> str:
    """The application's own word, without Temporal's wrappings around it and the program's own causes below it."""
    while failure.HasField("cause") and not failure.HasField("application_failure_info"):
        failure = failure.cause
    kind = failure.application_failure_info.type
    return f"{kind}: {failure.message}" if kind else failure.message


def _duration(length: timedelta) -> str:
    seconds = length.total_seconds()
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    return f"{seconds:.1f} s" if seconds < 120 else f"{seconds / 3600:.1f} h"
