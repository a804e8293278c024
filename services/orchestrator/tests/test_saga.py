"""The saga as a table: each step fails in every way, and the books are right each time.

All orders run side by side, once, for all tests: each test looks at one of them.
"""

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio
from temporalio.client import WorkflowFailureError, WorkflowHandle
from temporalio.exceptions import ApplicationError, CancelledError
from temporalio.testing import WorkflowEnvironment

from chassis.testing.waiting import eventually
from orchestrator import contract
from orchestrator.contract import Status
from orchestrator.contracts import inventory, payments, shipping

from .conftest import Shop, World, open_shop
from .table import EFFECTS, PATH, UNDONE, no_undo_overtook_a_step, undos

SIDE_BY_SIDE = 30
"""Orders under way at once. Most of their time they wait for an undo to be tried again."""

UNDO_IDS: dict[str, Callable[[str], str]] = {
    "release": inventory.release_id,
    "reverse": payments.reverse_id,
    "cancel_shipment": shipping.cancel_id,
}

Way = Callable[[Shop, str, str], Coroutine[Any, Any, WorkflowHandle[Any, contract.Outcome]]]


async def refused(shop: Shop, order_id: str, step: str) -> WorkflowHandle[Any, contract.Outcome]:
    shop.world.refuse(order_id, step, "declined")
    return await shop.order(order_id=order_id)


async def unforeseen(shop: Shop, order_id: str, step: str) -> WorkflowHandle[Any, contract.Outcome]:
    shop.world.refuse(order_id, step, "SomethingStrange")
    return await shop.order(order_id=order_id)


async def fails_for_a_while(shop: Shop, order_id: str, step: str) -> WorkflowHandle[Any, contract.Outcome]:
    shop.world.refuse(order_id, step, "Flaky", times=2, final=False)
    return await shop.order(order_id=order_id)


async def answer_lost(shop: Shop, order_id: str, step: str) -> WorkflowHandle[Any, contract.Outcome]:
    """It takes effect, its time runs out, and the next attempt finds what it did."""
    shop.world.fate(order_id, step).losses = [ApplicationError("no answer in time", type="TimedOut")]
    return await shop.order(order_id=order_id)


async def given_up_after_effect(shop: Shop, order_id: str, step: str) -> WorkflowHandle[Any, contract.Outcome]:
    """It takes effect, its time runs out, and nobody tries again: its owner says that it failed."""
    lost = ApplicationError("no answer in time", type="TimedOut", non_retryable=True)
    shop.world.fate(order_id, step).losses = [lost]
    return await shop.order(order_id=order_id)


async def customer_cancels(shop: Shop, order_id: str, step: str) -> WorkflowHandle[Any, contract.Outcome]:
    held = shop.world.hold(order_id, step)
    handle = await shop.order(order_id=order_id)
    await held.begun.wait()
    await handle.execute_update(contract.FulfilOrder.cancel, contract.CancelRequest("changed my mind"))
    held.let_go()
    return handle


async def operator_cancels(shop: Shop, order_id: str, step: str) -> WorkflowHandle[Any, contract.Outcome]:
    held = shop.world.hold(order_id, step)
    handle = await shop.order(order_id=order_id)
    await held.begun.wait()
    await handle.cancel()
    held.let_go()
    return handle


async def undo_fails_at_first(shop: Shop, order_id: str, step: str) -> WorkflowHandle[Any, contract.Outcome]:
    for undo in UNDONE[step]:
        shop.world.refuse(order_id, undo, "Broken")
    return await refused(shop, order_id, step)


async def undo_takes_effect_and_fails(shop: Shop, order_id: str, step: str) -> WorkflowHandle[Any, contract.Outcome]:
    for undo in UNDONE[step]:
        lost = ApplicationError("no answer in time", type="TimedOut", non_retryable=True)
        shop.world.fate(order_id, undo).losses = [lost]
    return await refused(shop, order_id, step)


async def undo_is_terminated(shop: Shop, order_id: str, step: str) -> WorkflowHandle[Any, contract.Outcome]:
    first = UNDONE[step][0]
    held = shop.world.hold(order_id, first)
    handle = await refused(shop, order_id, step)
    await held.begun.wait()
    await shop.client.get_workflow_handle(UNDO_IDS[first](order_id)).terminate()
    held.let_go()
    return handle


async def worker_crashes_before(shop: Shop, order_id: str, step: str) -> WorkflowHandle[Any, contract.Outcome]:
    held = shop.world.hold(order_id, step)
    handle = await shop.order(order_id=order_id)
    await held.begun.wait()
    return handle


async def worker_crashes_after(shop: Shop, order_id: str, step: str) -> WorkflowHandle[Any, contract.Outcome]:
    shop.world.fate(order_id, step).hold_after = True
    handle = await worker_crashes_before(shop, order_id, step)
    await eventually(lambda: step == "plan" or step in shop.world.books[order_id])
    return handle


DONE, REJECTED, FAILED, CANCELLED = "fulfilled", "rejected", "failed", "cancelled"
WAYS: dict[Way, str] = {
    refused: REJECTED,
    unforeseen: FAILED,
    fails_for_a_while: DONE,
    answer_lost: DONE,
    given_up_after_effect: FAILED,
    customer_cancels: CANCELLED,
    operator_cancels: CANCELLED,
    undo_fails_at_first: REJECTED,
    undo_takes_effect_and_fails: REJECTED,
    undo_is_terminated: REJECTED,
}
CRASHES: dict[Way, str] = {worker_crashes_before: DONE, worker_crashes_after: DONE}
PIVOTAL = (customer_cancels, operator_cancels)
"""At the capture they come too late: see ``test_fulfil_order``."""
TABLE = [(step, way) for way in (*WAYS, *CRASHES) for step in PATH if not (step == "capture" and way in PIVOTAL)]


@dataclass
class Ended:
    order_id: str
    outcome: contract.Outcome | None
    """None where the workflow ended as cancelled."""


Table = dict[tuple[str, Way], "asyncio.Task[Ended]"]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def world() -> World:
    return World()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def table(dev_server: WorkflowEnvironment, world: World) -> AsyncIterator[Table]:
    """All orders, run to their ends. The workers of all four services die once in the middle."""
    room = asyncio.Semaphore(SIDE_BY_SIDE)
    tasks: Table = {}
    async with open_shop(dev_server.client, world) as shop:

        async def run(step: str, way: Way) -> Ended:
            async with room:
                order_id = f"{way.__name__}-{step}-{uuid.uuid4().hex[:8]}"
                return Ended(order_id, await result_of(await way(shop, order_id, step)))

        for step, way in TABLE:
            if way in WAYS:
                tasks[step, way] = asyncio.create_task(run(step, way))
        await asyncio.wait(tasks.values())
        crashes = [
            (step, way, f"{way.__name__}-{step}-{uuid.uuid4().hex[:8]}") for step, way in TABLE if way in CRASHES
        ]
        held = await asyncio.gather(*(way(shop, order_id, step) for step, way, order_id in crashes))
    for step, _, order_id in crashes:
        world.fate(order_id, step).let_go()

    async def end(order_id: str, handle: WorkflowHandle[Any, contract.Outcome]) -> Ended:
        return Ended(order_id, await result_of(handle))

    async with open_shop(dev_server.client, world):
        for (step, way, order_id), handle in zip(crashes, held, strict=True):
            tasks[step, way] = asyncio.create_task(end(order_id, handle))
        await asyncio.wait(tasks.values())
        yield tasks


async def result_of(handle: WorkflowHandle[Any, contract.Outcome]) -> contract.Outcome | None:
    try:
        return await handle.result()
    except WorkflowFailureError as error:
        if isinstance(error.cause, CancelledError):
            return None
        raise


@pytest.mark.parametrize(("step", "way"), TABLE, ids=[f"{way.__name__}-{step}" for step, way in TABLE])
async def test_the_books_are_right_however_a_step_ends(table: Table, world: World, step: str, way: Way) -> None:
    ended = await table[step, way]
    order_id, outcome = ended.order_id, ended.outcome
    expected = WAYS.get(way) or CRASHES[way]
    assert world.statuses(order_id)[-1] == expected
    assert (outcome is None) == (way is operator_cancels)
    assert outcome is None or outcome.status == Status(expected)
    assert [message.template for message in world.messages[order_id]] == [expected]
    assert set(world.made.get(order_id, {}).values()) <= {1}
    if expected == DONE:
        assert world.books[order_id] == set(EFFECTS)
        assert undos(world, order_id) == []
        return
    assert world.books[order_id] == set()
    assert list(dict.fromkeys(undos(world, order_id))) == UNDONE[step]
    assert no_undo_overtook_a_step(world, order_id)
    assert world.statuses(order_id)[-2] == "compensating"


REASONS: dict[Way, str] = {
    refused: "declined",
    unforeseen: "unforeseen",
    given_up_after_effect: "unforeseen",
    customer_cancels: "by_customer",
    undo_is_terminated: "declined",
}


@pytest.mark.parametrize("way", REASONS, ids=[way.__name__ for way in REASONS])
async def test_an_order_says_why_it_ended(table: Table, way: Way) -> None:
    outcomes = [(await task).outcome for (_, its_way), task in table.items() if its_way is way]
    assert {outcome.reason for outcome in outcomes if outcome is not None} == {REASONS[way]}
