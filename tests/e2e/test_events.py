"""What an order costs in history events. More of them is more work for the server, the database and every replay."""

from collections import Counter
from collections.abc import AsyncIterator
from itertools import takewhile
from pathlib import Path

import pytest_asyncio
from temporalio.service import RPCError, RPCStatusCode

from chassis.testing.waiting import eventually
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


async def kinds_of(world: World, workflow_id: str) -> list[str]:
    """Kinds of the events of a workflow; none if it is not there yet."""
    try:
        history = await world.client.get_workflow_handle(workflow_id).fetch_history()
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise
        return []
    return [str(event.WhichOneof("attributes")).removesuffix("_event_attributes") for event in history.events]


@pytest_asyncio.fixture
async def unhurried(world: World) -> AsyncIterator[World]:
    """A world in which no parcel moves while it is looked at: what that causes would come before or after the rest."""
    stack, usual = world.stack, dict(world.stack.env["sandbox"])
    stack.env["sandbox"]["SANDBOX_DELIVERY_SECONDS"] = "3600"
    await stack.restart("sandbox")
    try:
        yield world
    finally:
        stack.env["sandbox"] = usual
        await stack.restart("sandbox")


async def test_an_order_of_one_parcel_takes_these_events_and_no_more(unhurried: World) -> None:
    world = unhurried
    order_id = await world.place()
    assert (await world.reached(order_id))["status"] == "fulfilled"

    async def wait() -> bool:
        """Whether those that follow the parcel wait for it to move."""
        return "child_workflow_execution_started" in await kinds_of(
            world, f"follow:{order_id}"
        ) and "timer_started" in await kinds_of(world, f"track:{order_id}:1")

    await eventually(wait)
    seen: dict[str, Counter[str]] = {}
    for verb in OURS:
        workflow_id = f"{verb}:{order_id}:1" if verb in ("book", "track") else f"{verb}:{order_id}"
        begun = Counter(takewhile(lambda name: name not in MOVES, await kinds_of(world, workflow_id)))
        assert begun["workflow_task_completed"] <= sum(begun[name] for name in WAKES)
        seen[verb] = Counter({name: times for name, times in begun.items() if not name.startswith("workflow_task")})
    assert seen == OURS


def test_an_order_has_at_most_1_15_times_the_events_of_the_bare_twin_even_if_each_event_wakes_its_workflow_alone() -> (
    None
):
    waits_for_the_parcel = 1
    own = sum(OURS.values(), Counter())
    most = own.total() + waits_for_the_parcel + TASK * sum(own[name] for name in WAKES)
    measured = {result.name: result for result in read_pairs(FIGURES)}["events_per_order"]
    assert measured.ours <= most <= 1.15 * measured.baseline
