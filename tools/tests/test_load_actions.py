"""What Temporal Cloud would bill for, by histories."""

from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent

from waybill.load.actions import actions


def event(kind: str) -> HistoryEvent:
    return HistoryEvent(event_type=EventType.Value(f"EVENT_TYPE_{kind}"))


def marker(workflow_task: int) -> HistoryEvent:
    made = event("MARKER_RECORDED")
    made.marker_recorded_event_attributes.workflow_task_completed_event_id = workflow_task
    return made


def started(attempt: int) -> HistoryEvent:
    made = event("ACTIVITY_TASK_STARTED")
    made.activity_task_started_event_attributes.attempt = attempt
    return made


def upsert(*names: str) -> HistoryEvent:
    made = event("UPSERT_WORKFLOW_SEARCH_ATTRIBUTES")
    for name in names:
        made.upsert_workflow_search_attributes_event_attributes.search_attributes.indexed_fields[name].data = b"1"
    return made


def test_a_child_is_two_its_start_and_the_parents_intent() -> None:
    parent = [event("WORKFLOW_EXECUTION_STARTED"), event("START_CHILD_WORKFLOW_EXECUTION_INITIATED")]
    child = [event("WORKFLOW_EXECUTION_STARTED")]
    assert actions(parent) + actions(child) == 1 + 2


def test_an_activity_is_one_and_each_further_attempt_another() -> None:
    assert actions([event("ACTIVITY_TASK_SCHEDULED"), started(1), event("ACTIVITY_TASK_COMPLETED")]) == 1
    assert actions([event("ACTIVITY_TASK_SCHEDULED"), started(4), event("ACTIVITY_TASK_COMPLETED")]) == 4


def test_all_markers_of_one_workflow_task_are_one() -> None:
    assert actions([marker(4), marker(4), marker(9)]) == 2


def test_search_attributes_are_one_a_command_and_those_of_patches_are_free() -> None:
    assert actions([upsert("OrderStatus", "OrderTotal"), upsert("TemporalChangeVersion")]) == 1
    assert actions([upsert("TemporalChangeVersion", "OrderStatus")]) == 1


def test_timers_signals_and_updates_are_one_each_and_workflow_tasks_are_free() -> None:
    charged = ("TIMER_STARTED", "WORKFLOW_EXECUTION_SIGNALED", "WORKFLOW_EXECUTION_UPDATE_ACCEPTED")
    free = ("WORKFLOW_TASK_SCHEDULED", "WORKFLOW_TASK_STARTED", "WORKFLOW_TASK_COMPLETED", "TIMER_FIRED")
    assert actions(event(kind) for kind in (*charged, *free)) == 3


def test_a_signal_that_a_workflow_sends_counts_with_its_receiver_only() -> None:
    sender = [event("SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED"), event("EXTERNAL_WORKFLOW_EXECUTION_SIGNALED")]
    assert actions(sender) + actions([event("WORKFLOW_EXECUTION_SIGNALED")]) == 1
