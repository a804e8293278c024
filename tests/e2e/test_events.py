"""What an order costs in history events. More of them is more work for the server, the database and every replay."""

from collections import Counter
from itertools import takewhile
from pathlib import Path

from temporalio.api.history.v1 import HistoryEvent

from waybill.bench.files import read_pairs

from .world import World

FIGURES = Path(__file__).parents[2] / "docs/performance/figures.csv"

STARTED, COMPLETED = "workflow_execution_started", "workflow_execution_completed"
ACTIVITY = {"activity_task_scheduled": 1, "activity_task_started": 1, "activity_task_completed": 1}
CHILD = {
    "start_child_workflow_execution_initiated": 1,
    "child_workflow_execution_started": 1,
    "child_workflow_execution_completed": 1,
}
LOCAL = {"marker_recorded": 1}
ENDS = {STARTED: 1, COMPLETED: 1}

OURS = {
    # Six steps, three writes of a state, the end with its message, and a child that is left behind.
    "fulfil": Counter(ENDS)
    + Counter(dict.fromkeys(CHILD, 6))
    + Counter({"marker_recorded": 3})
    + Counter(ACTIVITY)
    + Counter({"start_child_workflow_execution_initiated": 1, "child_workflow_execution_started": 1}),
    "reserve": Counter(ENDS) + Counter(LOCAL),
    "authorise": Counter(ENDS) + Counter(ACTIVITY),
    # Three carriers, and who they are.
    "plan": Counter(ENDS) + Counter(dict.fromkeys(ACTIVITY, 3)) + Counter(LOCAL),
    "book": Counter(ENDS) + Counter(ACTIVITY),
    "commit": Counter(ENDS) + Counter(LOCAL),
    "capture": Counter(ENDS) + Counter(ACTIVITY),
    # Until they wait for the parcel to move.
    "follow": Counter(
        {STARTED: 1, "start_child_workflow_execution_initiated": 1, "child_workflow_execution_started": 1}
    ),
    "track": Counter({STARTED: 1}) + Counter(LOCAL),
}
"""Of an order of one parcel, without those of workflow tasks: how many of them there are depends on what comes at the
same time, but no event wakes a workflow twice. If a change of yours adds to this on purpose, say so in the CHANGELOG,
and look at ``make bench ONLY=events_per_order``."""

WAKES = (
    STARTED,
    "child_workflow_execution_started",
    "child_workflow_execution_completed",
    "activity_task_completed",
)
"""Events that have a workflow task scheduled."""
TASK = 3
"""Events of a workflow task: scheduled, started, completed."""


MOVES = {"workflow_execution_signaled", "signal_external_workflow_execution_initiated", "timer_started"}
"""Begin what depends on the parcel."""


def kind(event: HistoryEvent) -> str:
    return str(event.WhichOneof("attributes")).removesuffix("_event_attributes")


async def events_of_an_order(world: World) -> dict[str, Counter[str]]:
    """Place one; events of each of its workflows, without those of workflow tasks."""
    order_id = await world.place()
    assert (await world.reached(order_id))["status"] == "fulfilled"
    await world.closed(f"follow:{order_id}")
    seen: dict[str, Counter[str]] = {}
    for verb in OURS:
        workflow_id = f"{verb}:{order_id}:1" if verb in ("book", "track") else f"{verb}:{order_id}"
        history = await world.client.get_workflow_handle(workflow_id).fetch_history()
        kinds = [kind(event) for event in history.events]
        begun = Counter(takewhile(lambda name: name not in MOVES, kinds))
        assert begun["workflow_task_completed"] <= sum(begun[name] for name in WAKES)
        seen[verb] = Counter({name: times for name, times in begun.items() if not name.startswith("workflow_task")})
    return seen


async def test_an_order_of_one_parcel_takes_these_events_and_no_more(world: World) -> None:
    seen = await events_of_an_order(world)
    if seen != OURS:
        # Where the database was held up for seconds, a local activity has become an ordinary one. Not twice in a row.
        seen = await events_of_an_order(world)
    assert seen == OURS


def test_an_order_has_at_most_1_15_times_the_events_of_the_bare_twin_even_if_each_event_wakes_its_workflow_alone() -> (
    None
):
    waits_for_the_parcel = 1
    own = sum(OURS.values(), Counter())
    most = own.total() + waits_for_the_parcel + TASK * sum(own[name] for name in WAKES)
    measured = {result.name: result for result in read_pairs(FIGURES)}["events_per_order"]
    assert measured.ours <= most <= 1.15 * measured.baseline
