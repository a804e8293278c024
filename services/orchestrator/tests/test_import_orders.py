"""ImportOrders: a window of orders over a file, whatever happens to the worker, the import or an order."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from temporalio.client import WorkflowFailureError, WorkflowHandle, WorkflowUpdateFailedError
from temporalio.exceptions import ActivityError, ApplicationError, CancelledError
from temporalio.service import RPCError, RPCStatusCode
from temporalio.testing import WorkflowEnvironment

from chassis.testing.fixtures import FreshDatabase
from chassis.testing.waiting import eventually
from orchestrator import contract
from orchestrator.import_contract import IMPORT_OVER, ImportOrders, ImportRequest, ImportStatus, import_id_of
from orchestrator.intake import Intake

from .import_world import Depot, a_depot, a_line, some_lines
from .recording import keep, to_record


@pytest_asyncio.fixture(loop_scope="session")
async def depot(fresh_database: FreshDatabase, dev_server: WorkflowEnvironment) -> AsyncIterator[Depot]:
    """With a worker."""
    database = await fresh_database("orchestrator.migrations")
    async with a_depot(dev_server.client, database) as depot, depot.worker():
        yield depot


@pytest_asyncio.fixture(loop_scope="session")
async def idle(fresh_database: FreshDatabase, dev_server: WorkflowEnvironment) -> AsyncIterator[Depot]:
    """Without one."""
    database = await fresh_database("orchestrator.migrations")
    async with a_depot(dev_server.client, database) as depot:
        yield depot


def each_once(depot: Depot, ids: list[str]) -> bool:
    return all(len(depot.orders.runs.get(one, ())) == 1 for one in ids) and set(depot.orders.runs) == set(ids)


async def starts_of(handle: WorkflowHandle[Any, Any]) -> list[Any]:
    """The children that one run started."""
    return [
        event.start_child_workflow_execution_initiated_event_attributes
        async for event in handle.fetch_history_events()
        if event.HasField("start_child_workflow_execution_initiated_event_attributes")
    ]


async def test_every_row_becomes_one_order_with_at_most_a_window_under_way(depot: Depot) -> None:
    ids, lines = some_lines(60)
    depot.orders.gate.set()
    import_id = await depot.stage(lines)
    handle = await depot.start(import_id, window=7)
    result = await handle.result()
    assert (result.status, result.rows, result.outcomes) == (ImportStatus.COMPLETED, 60, {"fulfilled": 60})
    assert each_once(depot, ids)
    assert 1 < depot.orders.most <= 7
    document = await depot.document(import_id)
    assert document["status"] == "completed"
    assert (document["progress"]["done"], document["progress"]["percent"], document["progress"]["eta_seconds"]) == (
        60,
        100.0,
        0.0,
    )
    progress = await handle.query(ImportOrders.progress)
    assert (progress.done, progress.failed, progress.total, progress.percent) == (60, 0, 60, 100.0)
    history = await handle.fetch_history()
    assert len(history.events) / 60 < 15


async def test_its_orders_wait_behind_the_customers(depot: Depot) -> None:
    _, lines = some_lines(3)
    depot.orders.gate.set()
    handle = await depot.start(await depot.stage(lines))
    await handle.result()
    assert {start.priority.priority_key for start in await starts_of(handle)} == {5}


async def test_what_is_wrong_with_a_row_is_listed_and_the_others_go_on(depot: Depot) -> None:
    ids, lines = some_lines(3)
    await depot.store.accept(ids[1], "d", {"lines": [], "currency": "EUR"})
    made = a_line()
    lines = [lines[0], "{", lines[1], a_line(f"{ids[0]}-none", "NONE"), lines[0], made, made, a_line(currency="XXX")]
    depot.orders.gate.set()
    import_id = await depot.stage(lines)
    result = await (await depot.start(import_id)).result()
    assert result.outcomes == {"duplicate": 2, "fulfilled": 3, "malformed": 2, "rejected": 1}
    rejections = await depot.importing.views.rejections(import_id, 0, 100)
    assert [(one["line"], one["reason"], one["attempts"]) for one in rejections] == [
        (2, "malformed", 1),
        (3, "duplicate", 1),
        (4, "out_of_stock", 1),
        (5, "duplicate", 1),
        (8, "malformed", 1),
    ]
    assert "JSON" in rejections[0]["detail"]
    assert rejections[4]["detail"] == "currency: XXX is not taken."
    assert [one["line"] for one in await depot.importing.views.rejections(import_id, 3, 1)] == [4]
    progress = (await depot.document(import_id))["progress"]
    assert (progress["done"], progress["failed"], progress["total"]) == (8, 5, 8)
    assert len(depot.orders.runs) == 4


async def test_the_same_file_again_doubles_nothing(depot: Depot) -> None:
    lines = [a_line(email=f"{uuid.uuid4().hex}@example.org") for _ in range(5)]
    depot.orders.gate.set()
    await (await depot.start(await depot.stage(lines))).result()
    again = await (await depot.start(await depot.stage(lines))).result()
    assert again.outcomes == {"duplicate": 5}
    assert len(depot.orders.runs) == 5


async def test_continuing_as_new_under_a_stream_of_updates_loses_and_doubles_nothing(depot: Depot) -> None:
    ids, lines = some_lines(48)
    depot.orders.gate.set()
    handle = await depot.start(await depot.stage(lines), window=8, events=30)
    done = asyncio.create_task(handle.result())
    taken = paused = 0
    while not done.done():
        update = ImportOrders.resume if paused else ImportOrders.pause
        try:
            state = await handle.execute_update(update)
        except WorkflowUpdateFailedError:
            break  # it is over
        except RPCError as error:
            # An event came between the last look and the command to continue as new: the server asks to begin the
            # task again, and to send the update again.
            if error.status is RPCStatusCode.FAILED_PRECONDITION:
                continue
            break
        taken += 1
        paused = not paused
        assert state.status == (ImportStatus.PAUSED if paused else ImportStatus.RUNNING)
        assert state.steered == taken
        await asyncio.wait([done], timeout=0.05)
    result = await done
    assert result.outcomes == {"fulfilled": 48}
    assert each_once(depot, ids)
    assert depot.orders.most <= 8
    state = await handle.query(ImportOrders.state)
    assert state.runs > 3
    assert taken > 3
    assert state.steered == taken


async def test_a_worker_that_dies_in_the_middle_changes_nothing(idle: Depot) -> None:
    ids, lines = some_lines(30)
    first = asyncio.create_task(idle.worker().run())
    handle = await idle.start(await idle.stage(lines), window=10, events=60)
    await eventually(lambda: len(idle.orders.under_way) == 10)
    first.cancel()
    await asyncio.wait([first])
    idle.orders.gate.set()
    async with idle.worker():
        result = await handle.result()
    assert result.outcomes == {"fulfilled": 30}
    assert each_once(idle, ids)
    assert set(idle.orders.ended.values()) == {1}


async def test_a_paused_import_hands_out_nothing_and_a_resumed_one_at_once(depot: Depot) -> None:
    _, lines = some_lines(12)
    import_id = await depot.stage(lines)
    handle = await depot.start(import_id, window=4)
    await eventually(lambda: len(depot.orders.under_way) == 4)
    assert (await handle.execute_update(ImportOrders.pause)).status == ImportStatus.PAUSED
    assert (await depot.document(import_id))["status"] == "paused"
    depot.orders.gate.set()
    await eventually(lambda: not depot.orders.under_way)

    async def counted() -> bool:
        return (await handle.query(ImportOrders.progress)).done == 4

    await eventually(counted)
    assert len(depot.orders.runs) == 4
    assert (await handle.execute_update(ImportOrders.resume)).status == ImportStatus.RUNNING
    assert (await handle.result()).outcomes == {"fulfilled": 12}


async def test_a_cancelled_import_hands_out_no_more_and_leaves_its_orders_alone(depot: Depot) -> None:
    _, lines = some_lines(12)
    import_id = await depot.stage(lines)
    handle = await depot.start(import_id, window=5)
    await eventually(lambda: len(depot.orders.under_way) == 5)
    state = await handle.execute_update(ImportOrders.cancel)
    assert state.status == ImportStatus.CANCELLED
    result = await handle.result()
    assert result.outcomes == {"not_started": 7, "under_way": 5}
    depot.orders.gate.set()
    await eventually(lambda: len(depot.orders.ended) == 5)
    assert (await depot.document(import_id))["result"]["outcomes"] == {"fulfilled": 5, "not_started": 7}
    assert len(depot.orders.runs) == 5


async def test_a_cancelled_workflow_leaves_its_orders_alone_too(depot: Depot) -> None:
    _, lines = some_lines(9)
    import_id = await depot.stage(lines)
    handle = await depot.start(import_id, window=4)
    await eventually(lambda: len(depot.orders.under_way) == 4)
    await handle.cancel()
    with pytest.raises(WorkflowFailureError) as caught:
        await handle.result()
    assert isinstance(caught.value.cause, CancelledError)
    assert (await depot.document(import_id))["status"] == "cancelled"
    depot.orders.gate.set()
    await eventually(lambda: len(depot.orders.ended) == 4)
    assert len(depot.orders.runs) == 4


async def test_a_terminated_import_leaves_its_orders_alone_and_is_written_off(depot: Depot) -> None:
    _, lines = some_lines(9)
    import_id = await depot.stage(lines)
    handle = await depot.start(import_id, window=4)
    await eventually(lambda: len(depot.orders.under_way) == 4)
    await handle.terminate()
    await depot.importing.intake.sweep()
    assert (await depot.document(import_id))["status"] == "failed"
    depot.orders.gate.set()
    await eventually(lambda: len(depot.orders.ended) == 4)
    assert (await depot.document(import_id))["result"]["outcomes"] == {"fulfilled": 4, "not_started": 5}


async def test_an_order_that_somebody_terminates_does_not_hold_up_the_import(
    depot: Depot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.import_activities.WATCH_SECONDS", 0.5)
    ids, lines = some_lines(2)
    import_id = await depot.stage(lines)
    handle = await depot.start(import_id)
    await eventually(lambda: len(depot.orders.under_way) == 2)
    await depot.client.get_workflow_handle(contract.fulfil_id(ids[0])).terminate()

    async def written_off() -> bool:
        return (await handle.query(ImportOrders.progress)).done == 1

    await eventually(written_off)
    depot.orders.under_way.discard(ids[0])
    depot.orders.gate.set()
    assert (await handle.result()).outcomes == {"fulfilled": 1, "lost": 1}
    [lost] = await depot.importing.views.rejections(import_id, 0, 10)
    assert (lost["order_id"], lost["reason"]) == (ids[0], "lost")


async def test_a_row_that_was_taken_and_never_started_is_started_by_the_intake(idle: Depot) -> None:
    [order_id], lines = some_lines(1)
    import_id = await idle.stage(lines)
    taken = await idle.importing.store.take(import_id, 0, 5)
    assert [order["order_id"] for order in taken.orders] == [order_id]
    [waiting] = await idle.store.unstarted(10, 0)
    assert await idle.store.unstarted(10, 0, 60) == []
    intake = Intake(idle.store, idle.importing.activities._connection, start_seconds=2, every_seconds=1)
    assert await intake.start(order_id, waiting["request"], waiting["import_id"])
    again = await idle.importing.store.take(import_id, 0, 5)
    assert (again.orders, again.running, again.last_line, again.exhausted) == ([], [order_id], 1, True)
    idle.orders.gate.set()
    async with idle.worker():
        result = await (await idle.start(import_id)).result()
    assert result.outcomes == {"fulfilled": 1}
    assert each_once(idle, [order_id])
    history = await idle.client.get_workflow_handle(contract.fulfil_id(order_id)).fetch_history()
    assert history.events[0].workflow_execution_started_event_attributes.priority.priority_key == 5


async def test_taking_the_same_rows_again_gives_the_same_orders(idle: Depot) -> None:
    ids, lines = some_lines(4)
    import_id = await idle.stage(lines)
    first = await idle.importing.store.take(import_id, 0, 3)
    again = await idle.importing.store.take(import_id, 0, 3)
    assert [order["order_id"] for order in first.orders] == ids[:3]
    assert again == first
    rest = await idle.importing.store.take(import_id, first.last_line, 3)
    assert ([order["order_id"] for order in rest.orders], rest.exhausted) == (ids[3:], True)


async def test_an_import_that_is_over_takes_no_more_orders(depot: Depot) -> None:
    _, lines = some_lines(4)
    handle = await depot.start(await depot.stage(lines), window=2)
    await eventually(lambda: len(depot.orders.under_way) == 2)
    await handle.execute_update(ImportOrders.cancel)
    with pytest.raises((WorkflowUpdateFailedError, RPCError)) as caught:
        await handle.execute_update(ImportOrders.pause)
    if isinstance(caught.value, WorkflowUpdateFailedError):
        assert isinstance(caught.value.cause, ApplicationError)
        assert caught.value.cause.type == IMPORT_OVER


async def test_an_import_that_nobody_staged_fails_and_does_not_hang(depot: Depot) -> None:
    import_id = uuid.uuid4().hex
    handle = await depot.client.start_workflow(
        ImportOrders.run, ImportRequest(import_id, 1), id=import_id_of(import_id), task_queue=contract.TASK_QUEUE
    )
    with pytest.raises(WorkflowFailureError) as caught:
        await handle.result()
    assert isinstance(caught.value.cause, ActivityError)
    assert isinstance(caught.value.cause.cause, ApplicationError)
    assert caught.value.cause.cause.type == "unknown_import"


@pytest.mark.parametrize("terms", [{"window": 0}, {"window": -1}, {"window": 501}, {"rows": 0}, {"import_id": ""}])
def test_an_import_with_no_room_or_no_rows_is_none(terms: dict[str, Any]) -> None:
    usual: dict[str, Any] = {"import_id": "i", "rows": 1}
    with pytest.raises(ValueError, match=r"window|import"):
        ImportRequest(**(usual | terms))


if to_record("imported"):

    async def test_record(depot: Depot) -> None:
        handle = await depot.start(await depot.stage(some_lines(5)[1]), window=2)
        await eventually(lambda: len(depot.orders.under_way) == 2)
        await handle.execute_update(ImportOrders.pause)
        depot.orders.gate.set()
        await handle.execute_update(ImportOrders.resume)
        await keep("imported", handle)
