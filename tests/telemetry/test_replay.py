"""Nothing of a trace is lost or there twice where workflows are replayed for each of their tasks."""

from collections import Counter
from itertools import pairwise

from temporalio.api.enums.v1 import EventType
from temporalio.client import Client

from waybill.tracing.spans import Span

from .test_graph import DELIVERED, ORDERED, SENT, UNDONE
from .watching import Watched, edges

LOCAL_ACTIVITY = "core_local_activity"


async def test_where_one_workflow_is_cached_each_span_is_there_once(forgetful: Watched) -> None:
    fulfilled, refused, approved = [
        await forgetful.place(),
        await forgetful.place(postcode="REFUSED"),
        await forgetful.place(price=200_000),
    ]
    await forgetful.reached(approved, "awaiting_approval")
    assert (await forgetful.decide(approved, "approve")).status == 200
    for order_id in (fulfilled, refused, approved):
        await forgetful.settled(order_id)
    assert edges(forgetful.parts(fulfilled)) == ORDERED | SENT | DELIVERED
    assert edges(forgetful.parts(refused)) == ORDERED | UNDONE

    spans = forgetful.spans()
    assert [span_id for span_id, count in Counter(span.span_id for span in spans).items() if count > 1] == []
    for order_id in (fulfilled, refused, approved):
        mine = [span for part in forgetful.parts(order_id) for span in part.trace.spans]
        runs = [span for span in mine if span.name.startswith("RunWorkflow:")]
        assert set(Counter(span.workflow_id for span in runs).values()) == {1}
        for run in runs:
            await as_in_history(forgetful.client, run, mine)
    [update] = [span for span in spans if span.name == "HandleUpdate:decide"]
    assert update.service == "orchestrator"


async def as_in_history(client: Client, run: Span, spans: list[Span]) -> None:
    """Hold the spans of one workflow against Temporal's own record of it."""
    history = await client.get_workflow_handle(run.workflow_id).fetch_history()
    # From its first task to its last, rather than as long as a replay takes. One that timed out leaves no span of the
    # run, but it may leave those of what began in it.
    tasks = [
        (begun.event_time.ToNanoseconds(), ended.event_time.ToNanoseconds())
        for begun, ended in pairwise(history.events)
        if ended.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED
    ]
    assert tasks[0][0] <= run.begin < tasks[0][1], run.name
    assert tasks[-1][0] <= run.end, run.name
    first = next(event for event in history.events if event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_STARTED)
    first_task = first.event_time.ToNanoseconds()
    since = run.begin if first_task == tasks[0][0] else first_task
    mine = [span for span in spans if span.parent_id == run.span_id]
    for span in mine:
        assert since <= span.begin <= run.end, f"{span.name} began outside of {run.name}"

    events = Counter(event.event_type for event in history.events)
    local = sum(
        event.marker_recorded_event_attributes.marker_name == LOCAL_ACTIVITY
        for event in history.events
        if event.event_type == EventType.EVENT_TYPE_MARKER_RECORDED
    )
    verbs = Counter(span.name.partition(":")[0] for span in mine)
    assert verbs["StartActivity"] == events[EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED] + local, run.name
    assert verbs["StartChildWorkflow"] == events[EventType.EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_INITIATED], (
        run.name
    )
