"""The orders table on a real PostgreSQL."""

import asyncio
import uuid
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from chassis.testing.fixtures import FreshDatabase
from orchestrator.contract import Status
from orchestrator.metrics import OrchestratorMetrics
from orchestrator.states import DeliveryState, Passed, State
from orchestrator.store import Store


def a_request(order_id: str) -> dict[str, Any]:
    return {"order_id": order_id, "currency": "EUR", "lines": [{"sku": "TEA-250", "quantity": 2}]}


def a_state(order_id: str, sequence: int, status: Status) -> State:
    return State(order_id, sequence, status, datetime.now(UTC), "EUR", (("TEA-250", 2),))


async def a_store(fresh_database: FreshDatabase) -> Store:
    return Store((await fresh_database("orchestrator.migrations")).engine, OrchestratorMetrics())


async def test_a_repeat_finds_its_own_row_among_others_without_a_key(fresh_database: FreshDatabase) -> None:
    store = await a_store(fresh_database)
    for order_id in ("a", "b", "c"):
        assert (await store.accept(order_id, f"digest-{order_id}", a_request(order_id))).new
    again = await store.accept("b", "digest-b", a_request("b"))
    assert (again.new, again.row["order_id"], again.row["digest"]) == (False, "b", "digest-b")


async def test_a_key_that_was_used_before_finds_the_order_it_was_used_for(fresh_database: FreshDatabase) -> None:
    store = await a_store(fresh_database)
    await store.accept("a", "d1", a_request("a"), "key")
    await store.accept("b", "d2", a_request("b"))
    assert (await store.accept("b", "d2", a_request("b"), "key")).row["order_id"] == "a"


async def test_thirty_parallel_intakes_of_one_order_write_one_row(fresh_database: FreshDatabase) -> None:
    store = await a_store(fresh_database)
    order_id = uuid.uuid4().hex
    accepted = await asyncio.gather(*(store.accept(order_id, "d", a_request(order_id), "k") for _ in range(30)))
    assert [one.new for one in accepted].count(True) == 1
    assert {one.row["order_id"] for one in accepted} == {order_id}
    assert len(await store.newest(None, None, 100)) == 1


async def test_a_late_write_never_overtakes_a_newer_one(fresh_database: FreshDatabase) -> None:
    store = await a_store(fresh_database)
    await store.accept("a", "d", a_request("a"))
    await store.record(a_state("a", 20, Status.FULFILLED))
    await store.record(a_state("a", 10, Status.CAPTURING))
    await store.record(a_state("a", 20, Status.FULFILLED))
    row = await store.get("a")
    assert row is not None
    assert row["status"] == Status.FULFILLED
    assert [step["status"] for step in await store.steps_of("a")] == ["accepted", "capturing", "fulfilled"]


async def test_a_state_brings_those_that_were_passed_on_the_way_to_it_however_often_it_is_written(
    fresh_database: FreshDatabase,
) -> None:
    store = await a_store(fresh_database)
    await store.accept("a", "d", a_request("a"))
    moment = datetime.now(UTC)
    state = replace(
        a_state("a", 3, Status.AUTHORISING),
        passed=(Passed(1, Status.RESERVING, moment), Passed(2, Status.AWAITING_APPROVAL, moment)),
    )
    for _ in range(2):
        await store.record(state)
    went = [(step["sequence"], step["status"]) for step in await store.steps_of("a")]
    assert went == [(0, "accepted"), (1, "reserving"), (2, "awaiting_approval"), (3, "authorising")]
    row = await store.get("a")
    assert row is not None
    assert (row["status"], row["sequence"]) == (Status.AUTHORISING, 3)


async def test_an_order_whose_workflow_is_started_reserves_unless_it_got_further(fresh_database: FreshDatabase) -> None:
    store = await a_store(fresh_database)
    for order_id in ("a", "b"):
        await store.accept(order_id, "d", a_request(order_id))
    await store.record(a_state("b", 10, Status.FULFILLED))  # before the answer to its start came back
    for order_id, status in (("a", Status.RESERVING), ("b", Status.FULFILLED)):
        await store.mark_started(order_id)
        row = await store.get(order_id)
        assert row is not None
        assert row["status"] == status
    # It is no step: the workflow's own word, with its time, comes with its first write.
    assert [step["status"] for step in await store.steps_of("a")] == ["accepted"]


async def test_an_order_that_skipped_the_intake_gets_a_row_of_its_own(fresh_database: FreshDatabase) -> None:
    store = await a_store(fresh_database)
    await store.record(a_state("raw", 1, Status.RESERVING))
    row = await store.get("raw")
    assert row is not None
    assert (row["status"], row["digest"]) == (Status.RESERVING, None)


async def test_the_states_of_an_order_take_no_numbers_of_the_pages(fresh_database: FreshDatabase) -> None:
    store = await a_store(fresh_database)
    for number, order_id in enumerate(("a", "b", "c"), start=1):
        await store.accept(order_id, "d", a_request(order_id))
        for sequence in range(1, 5):
            await store.record(a_state(order_id, sequence, Status.RESERVING))
        row = await store.get(order_id)
        assert row is not None
        assert (row["number"], row["sequence"]) == (number, 4)


async def test_parallel_first_states_of_an_order_without_a_row_leave_the_newest(fresh_database: FreshDatabase) -> None:
    store = await a_store(fresh_database)
    await asyncio.gather(*(store.record(a_state("raw", sequence, Status.RESERVING)) for sequence in range(1, 9)))
    row = await store.get("raw")
    assert row is not None
    assert row["sequence"] == 8
    assert len(await store.steps_of("raw")) == 8


async def test_a_late_delivery_never_overtakes_a_newer_one(fresh_database: FreshDatabase) -> None:
    store = await a_store(fresh_database)
    await store.accept("a", "d", a_request("a"))
    await store.record_delivery(DeliveryState("a", 2, ({"parcel": 1, "state": "delivered"},)))
    await store.record_delivery(DeliveryState("a", 1, ({"parcel": 1, "state": "picked_up"},)))
    row = await store.get("a")
    assert row is not None
    assert row["delivery"] == [{"parcel": 1, "state": "delivered"}]


async def test_what_is_started_is_waited_for_no_more_and_its_personal_data_is_gone(
    fresh_database: FreshDatabase,
) -> None:
    store = await a_store(fresh_database)
    for order_id in ("a", "b"):
        await store.accept(order_id, "d", a_request(order_id))
    assert [row["order_id"] for row in await store.unstarted(10, 0)] == ["a", "b"]
    assert await store.unstarted(10, 60) == []
    await store.mark_started("a")
    assert [row["order_id"] for row in await store.unstarted(10, 0)] == ["b"]
    row = await store.get("a")
    assert row is not None
    assert row["request"] is None


async def test_an_order_fails_without_its_workflow_only_while_it_is_unfinished(fresh_database: FreshDatabase) -> None:
    store = await a_store(fresh_database)
    for order_id in ("a", "b"):
        await store.accept(order_id, "d", a_request(order_id))
    await store.record(a_state("a", 10, Status.FULFILLED))
    assert not await store.fail("a", "lost", "Nobody knows.")
    assert await store.fail("b", "lost", "Nobody knows.")
    row = await store.get("b")
    assert row is not None
    assert (row["status"], row["reason"], row["detail"]) == (Status.FAILED, "lost", "Nobody knows.")
    assert [step["status"] for step in await store.steps_of("b")] == ["accepted", "failed"]
    assert [row["order_id"] for row in await store.unstarted(10, 0)] == ["a"]
    await store.record(a_state("b", 10, Status.COMPENSATING))
    assert [step["status"] for step in await store.steps_of("b")] == ["accepted", "failed", "compensating"]


async def test_pages_go_from_the_newest_to_the_oldest_without_a_gap(fresh_database: FreshDatabase) -> None:
    store = await a_store(fresh_database)
    for number in range(7):
        await store.accept(f"o{number}", "d", a_request(f"o{number}"))
    seen: list[str] = []
    before = None
    while rows := await store.newest(Status.ACCEPTED, before, 3):
        seen += [row["order_id"] for row in rows]
        before = rows[-1]["number"]
    assert seen == [f"o{number}" for number in reversed(range(7))]
    assert await store.newest(Status.FAILED, None, 3) == []


async def test_the_books_are_paged_by_order_id(fresh_database: FreshDatabase) -> None:
    store = await a_store(fresh_database)
    for order_id in ("B", "a", "C"):
        await store.accept(order_id, "d", a_request(order_id))
    first = await store.books("", 2)
    assert [item["order_id"] for item in first] == ["B", "C"]
    assert [item["order_id"] for item in await store.books("C", 2)] == ["a"]
    assert first[0]["finished"] is False
