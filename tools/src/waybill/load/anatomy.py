"""What an order leaves in Temporal: workflows, events, bytes and state transitions, exactly, by its histories."""

import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from temporalio.api.enums.v1 import EventType
from temporalio.client import Client

from waybill.load.actions import actions

ACTIVITY_SCHEDULED = EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED
ACTIVITY_STARTED = EventType.EVENT_TYPE_ACTIVITY_TASK_STARTED
LOST = frozenset({EventType.EVENT_TYPE_ACTIVITY_TASK_TIMED_OUT, EventType.EVENT_TYPE_ACTIVITY_TASK_FAILED})


@dataclass(frozen=True)
class Anatomy:
    """All workflows of one order.

    Attributes:
        order_id: Of the order.
        workflows: How many there are, and by type.
        events: In their histories, together.
        history_bytes: Of these.
        transitions: State transitions that the server made for them.
        actions: What Temporal Cloud would bill for.
        kinds: Events by their type.
        attempts: The highest attempt at which an activity was begun.
        repeated: Activities that were begun more than once: which, how often, and what ended the attempt before.
        lost: Activities that timed out or failed for good.
        open: Workflows that have not ended, by type: TrackShipment lives until the parcel is delivered.
    """

    order_id: str
    workflows: dict[str, int]
    events: int
    history_bytes: int
    transitions: int
    actions: int
    kinds: dict[str, int]
    attempts: int
    repeated: tuple[str, ...]
    lost: int
    open: dict[str, int]


async def dissect(client: Client, order_id: str) -> Anatomy:
    """Read all histories of an order: its own, and those of all workflows below it."""
    workflows = [each async for each in client.list_workflows(f"RootWorkflowId = 'fulfil:{order_id}'")]
    kinds: Counter[str] = Counter()
    attempts = lost = history_bytes = transitions = billed = 0
    repeated: list[str] = []
    for workflow in workflows:
        handle = client.get_workflow_handle(workflow.id, run_id=workflow.run_id)
        # A list is some moments old, and of an open workflow it does not say how far that is.
        info = (await handle.describe()).raw_description.workflow_execution_info
        history_bytes += info.history_size_bytes
        transitions += info.state_transition_count
        scheduled: dict[int, str] = {}
        events = [event async for event in handle.fetch_history_events()]
        billed += actions(events)
        for event in events:
            kinds[EventType.Name(event.event_type).removeprefix("EVENT_TYPE_")] += 1
            if event.event_type == ACTIVITY_SCHEDULED:
                scheduled[event.event_id] = event.activity_task_scheduled_event_attributes.activity_type.name
            if event.event_type == ACTIVITY_STARTED:
                begun = event.activity_task_started_event_attributes
                attempts = max(attempts, begun.attempt)
                if begun.attempt > 1:
                    name, why = scheduled[begun.scheduled_event_id], begun.last_failure.message
                    repeated.append(f"{workflow.id}: {name}, attempt {begun.attempt}, after: {why}")
            lost += event.event_type in LOST
    return Anatomy(
        order_id,
        dict(Counter(each.workflow_type for each in workflows)),
        sum(kinds.values()),
        history_bytes,
        transitions,
        billed,
        dict(kinds),
        attempts,
        tuple(repeated),
        lost,
        dict(Counter(each.workflow_type for each in workflows if each.close_time is None)),
    )


async def dissect_all(client: Client, order_ids: Iterable[str]) -> list[Anatomy]:
    """Read the histories of some orders, one after the other: this must not be a load of its own."""
    return [await dissect(client, order_id) for order_id in order_ids]


def summary(found: Sequence[Anatomy]) -> dict[str, object]:
    """What an order is in the mean; nothing of no orders."""
    if not found:
        return {"orders": 0}

    def mean(figures: Iterable[float]) -> float:
        return statistics.fmean(figures)

    kinds = sorted({kind for each in found for kind in each.kinds})
    types = sorted({kind for each in found for kind in each.workflows})
    return {
        "orders": len(found),
        "workflows": mean(sum(each.workflows.values()) for each in found),
        "workflows_by_type": {kind: mean(each.workflows.get(kind, 0) for each in found) for kind in types},
        "events": mean(each.events for each in found),
        "history_bytes": mean(each.history_bytes for each in found),
        "state_transitions": mean(each.transitions for each in found),
        "actions": mean(each.actions for each in found),
        "events_by_type": {kind: mean(each.kinds.get(kind, 0) for each in found) for kind in kinds},
        "activities_repeated": [words for each in found for words in each.repeated],
        "highest_attempt": max(each.attempts for each in found),
        "activities_failed_for_good": sum(each.lost for each in found),
        "still_open": sum(bool(each.open) for each in found),
        "open_by_type": {kind: mean(each.open.get(kind, 0) for each in found) for kind in types},
    }
