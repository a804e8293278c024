from datetime import UTC, datetime, timedelta

from temporalio.api.enums.v1 import EventType
from temporalio.api.failure.v1 import Failure
from temporalio.api.history.v1 import HistoryEvent

from waybill.story import Telling, lines, steps

BEGAN = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


class History:
    def __init__(self, workflow: str, queue: str, begins: float) -> None:
        self.events: list[HistoryEvent] = []
        begun = self.add("WORKFLOW_EXECUTION_STARTED", begins).workflow_execution_started_event_attributes
        begun.workflow_type.name = workflow
        begun.task_queue.name = queue
        task = self.add("WORKFLOW_TASK_STARTED", begins).workflow_task_started_event_attributes
        task.identity = f"{queue}@host:1"

    def add(self, kind: str, at: float) -> HistoryEvent:
        event = HistoryEvent(event_id=len(self.events) + 1, event_type=EventType.Value(f"EVENT_TYPE_{kind}"))
        event.event_time.FromDatetime(BEGAN + timedelta(seconds=at))
        self.events.append(event)
        return event

    def activity(self, name: str, queue: str, at: float, took: float, failure: Failure | None = None) -> None:
        scheduled = self.add("ACTIVITY_TASK_SCHEDULED", at)
        scheduled.activity_task_scheduled_event_attributes.activity_type.name = name
        scheduled.activity_task_scheduled_event_attributes.task_queue.name = queue
        started = self.add("ACTIVITY_TASK_STARTED", at).activity_task_started_event_attributes
        started.scheduled_event_id, started.identity, started.attempt = scheduled.event_id, f"{queue}@host:2", 3
        if failure is None:
            done = self.add("ACTIVITY_TASK_COMPLETED", at + took).activity_task_completed_event_attributes
            done.scheduled_event_id = scheduled.event_id
        else:
            failed = self.add("ACTIVITY_TASK_FAILED", at + took).activity_task_failed_event_attributes
            failed.scheduled_event_id = scheduled.event_id
            failed.failure.CopyFrom(failure)


def declined() -> Failure:
    failure = Failure(message="do_not_honour")
    failure.application_failure_info.type = "declined"
    failure.cause.message = "HTTP 402"
    failure.cause.application_failure_info.type = "ClientError"
    return failure


def test_parent_and_children_are_told_in_one_line_of_time_with_who_did_what() -> None:
    parent = History("orchestrator.FulfilOrder", "orchestrator", 0)
    child = History("payments.AuthorisePayment", "payments", 0.5)
    child.activity("payments.authorise", "payments", 0.6, 0.25)
    child.add("WORKFLOW_EXECUTION_COMPLETED", 1)
    parent.add("WORKFLOW_EXECUTION_COMPLETED", 1.5)
    told = list(lines(steps([Telling("fulfil:A", 0, parent.events), Telling("authorise:A", 1, child.events)])))
    assert told == [
        "+  0.000 s  orchestrator  orchestrator@host:1  orchestrator.FulfilOrder begins (fulfil:A)",
        "+  0.500 s  payments      payments@host:1        payments.AuthorisePayment begins (authorise:A)",
        "+  0.600 s  payments      payments@host:2          payments.authorise (attempt 3)  [250 ms]",
        "+  1.000 s  payments      payments@host:1        payments.AuthorisePayment done  [500 ms]",
        "+  1.500 s  orchestrator  orchestrator@host:1  orchestrator.FulfilOrder done  [1.5 s]",
    ]


def test_a_refusal_is_told_in_the_application_s_own_word() -> None:
    history = History("payments.AuthorisePayment", "payments", 0)
    history.activity("payments.authorise", "payments", 0, 0.1, declined())
    wrapped = Failure(message="activity failed")
    wrapped.activity_failure_info.identity = "somebody"
    wrapped.cause.CopyFrom(declined())
    history.add("WORKFLOW_EXECUTION_FAILED", 0.2).workflow_execution_failed_event_attributes.failure.CopyFrom(wrapped)
    told = [step.what for step in steps([Telling("authorise:A", 1, history.events)])]
    assert "payments.authorise (attempt 3): declined: do_not_honour" in told
    assert "payments.AuthorisePayment refused: declined: do_not_honour" in told


def test_updates_signals_timers_and_what_never_ended_are_told() -> None:
    history = History("orchestrator.FulfilOrder", "orchestrator", 0)
    timer = history.add("TIMER_STARTED", 1).timer_started_event_attributes
    timer.start_to_fire_timeout.FromTimedelta(timedelta(hours=24))
    update = history.add("WORKFLOW_EXECUTION_UPDATE_ACCEPTED", 2)
    request = update.workflow_execution_update_accepted_event_attributes.accepted_request
    request.input.name, request.meta.identity = "decide", "orchestrator@host:9"
    signal = history.add("WORKFLOW_EXECUTION_SIGNALED", 3).workflow_execution_signaled_event_attributes
    signal.signal_name = "look_again"
    history.add("TIMER_FIRED", 4)
    told = [(step.who, step.what) for step in steps([Telling("fulfil:A", 0, history.events)])]
    assert ("orchestrator@host:1", "waits, for 24.0 h at most") in told
    assert ("orchestrator@host:9", "update decide") in told
    assert ("", "signal look_again") in told
    assert told[-1] == ("orchestrator@host:1", "orchestrator.FulfilOrder is still running")


def test_no_steps_are_no_lines() -> None:
    assert list(lines([])) == []
