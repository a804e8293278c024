"""Counts what Temporal Cloud bills by, Actions, in the histories of workflows."""

from collections.abc import Iterable

from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent

ONE_EACH = frozenset(
    {
        # A child is two: its start, which is the first event of its own history, and the parent's intent.
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED,
        EventType.EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_INITIATED,
        EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED,
        EventType.EVENT_TYPE_TIMER_STARTED,
        # One that a workflow sends stands in two histories, and counts in the receiver's.
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED,
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED,
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_OPTIONS_UPDATED,
    }
)
FREE_ATTRIBUTES = frozenset({"TemporalChangeVersion"})
"""Search attributes that the SDK writes for patches."""


def actions(history: Iterable[HistoryEvent]) -> int:
    """How many Actions a history tells of.

    By https://docs.temporal.io/evaluate/cloud/actions. What no history tells is not in it: heartbeats, queries, retries
    of local activities.

    Args:
        history: Of one run of a workflow.
    """
    count = 0
    markers: set[int] = set()
    for event in history:
        match event.event_type:
            case EventType.EVENT_TYPE_ACTIVITY_TASK_STARTED:
                # Attempts before it have no event of their own.
                count += event.activity_task_started_event_attributes.attempt - 1
            case EventType.EVENT_TYPE_MARKER_RECORDED:
                # Local activities and patches: all those of one workflow task are one.
                markers.add(event.marker_recorded_event_attributes.workflow_task_completed_event_id)
            case EventType.EVENT_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES:
                written = event.upsert_workflow_search_attributes_event_attributes.search_attributes.indexed_fields
                count += not FREE_ATTRIBUTES.issuperset(written)
            case kind if kind in ONE_EACH:
                count += 1
    return count + len(markers)
