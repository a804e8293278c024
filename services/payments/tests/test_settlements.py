"""Settlements: each capture and each refund is in one of them, once."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
import sqlalchemy as sa
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr
from sqlalchemy.exc import DBAPIError
from temporalio.client import ScheduleBackfill, ScheduleOverlapPolicy, WorkflowFailureError
from temporalio.exceptions import ApplicationError
from temporalio.testing import WorkflowEnvironment

from chassis import schedules
from chassis.problems import problem_middleware
from chassis.testing.serving import serve_app
from chassis.testing.waiting import eventually
from payments import settlement_api
from payments.contract import TASK_QUEUE, CaptureRequest
from payments.metrics import PaymentsMetrics
from payments.schedules import SCHEDULES
from payments.settlement_store import SettlementStore
from payments.settlement_terms import Due, Settlement, SettlementLine, SettleRequest, day_of, latest_due
from payments.workflows.settle_payments import SettlePayments

from .conftest import World, account_with, credit_request, new_order, request_for, serving, undo

LATER = datetime(2999, 1, 1, tzinfo=UTC)
"""A cutoff after everything that a test books."""


@pytest.fixture
def store(world: World) -> SettlementStore:
    return SettlementStore(world.database.engine, PaymentsMetrics())


async def _captured(world: World, amount: int = 1250) -> str:
    order_id = new_order()
    await world.activities.authorise(request_for(order_id, amount=amount))
    await world.activities.capture(CaptureRequest(order_id))
    return order_id


async def _on_credit(world: World, amount: int) -> str:
    order_id = new_order()
    await world.activities.authorise(credit_request(order_id, await account_with(world, amount), amount=amount))
    await world.activities.capture(CaptureRequest(order_id))
    return order_id


async def test_a_settlement_sums_up_by_currency_and_method_what_was_booked(
    world: World, store: SettlementStore
) -> None:
    await _captured(world, 100)
    back = await _captured(world, 30)
    await undo(world.activities, back)
    await _on_credit(world, 7)
    await world.activities.authorise(request_for(new_order()))  # not captured
    made = await store.settle(Due("2026-11-24", LATER))
    assert made.lines == [
        SettlementLine("EUR", "card", captured=130, captures=2, refunded=30, refunds=1),
        SettlementLine("EUR", "store_credit", captured=7, captures=1, refunded=0, refunds=0),
    ]
    assert await store.settlement(date(2026, 11, 24)) == made


async def test_a_refund_after_the_settlement_is_in_the_next_one(world: World, store: SettlementStore) -> None:
    order_id, on_credit = await _captured(world, 100), await _on_credit(world, 7)
    await store.settle(Due("2026-11-24", LATER))
    await undo(world.activities, order_id)
    await undo(world.activities, on_credit)
    assert (await store.settle(Due("2026-11-25", LATER))).lines == [
        SettlementLine("EUR", "card", captured=0, captures=0, refunded=100, refunds=1),
        SettlementLine("EUR", "store_credit", captured=0, captures=0, refunded=7, refunds=1),
    ]


async def test_a_day_is_settled_once_whoever_asks_again(world: World, store: SettlementStore) -> None:
    await _captured(world, 100)
    first = await store.settle(Due("2026-11-24", LATER))
    await _captured(world, 5)
    assert await store.settle(Due("2026-11-24", LATER)) == first
    assert (await store.settle(Due("2026-11-25", LATER))).lines[0].captured == 5


async def test_days_that_are_settled_at_once_take_each_booking_once(world: World, store: SettlementStore) -> None:
    for _ in range(10):
        await _captured(world, 10)
    days = [f"2026-11-{day:02}" for day in range(2, 28)]
    made = await asyncio.gather(*(store.settle(Due(day, LATER)) for day in days + days))
    by_day = {settlement.date: settlement for settlement in made}
    assert all(settlement == by_day[settlement.date] for settlement in made)
    assert sum(line.captured for settlement in by_day.values() for line in settlement.lines) == 100


async def test_a_settlement_takes_only_what_was_booked_before_its_cutoff(world: World, store: SettlementStore) -> None:
    await _captured(world, 100)
    assert (await store.settle(Due("2026-11-23", datetime(2020, 1, 1, tzinfo=UTC)))).lines == []
    assert (await store.settle(Due("2026-11-24", LATER))).lines[0].captured == 100


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("UPDATE settlement_items SET settled_on = NULL", "settled on 2026-11-24 already"),
        ("UPDATE settlement_items SET settled_on = '2026-11-25'", "settled on 2026-11-24 already"),
        ("DELETE FROM settlement_items", "settled on 2026-11-24 already"),
        ("UPDATE settlement_lines SET captured = 1000", "never changed or deleted"),
        ("DELETE FROM settlements", "never changed or deleted"),
        ("INSERT INTO settlement_items SELECT booking_key FROM bookings", "pk_settlement_items"),
    ],
)
async def test_what_is_settled_stays_settled(world: World, store: SettlementStore, change: str, said: str) -> None:
    await _captured(world)
    await store.settle(Due("2026-11-24", LATER))
    with pytest.raises(DBAPIError) as caught:
        async with world.database.engine.begin() as connection:
            await connection.execute(sa.text(change))
    assert said in str(caught.value.orig)


@given(moment=st.datetimes(min_value=datetime(2000, 1, 1), max_value=datetime(2100, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001
def test_the_latest_due_is_a_weekday_whose_hour_has_come_and_no_later_one_has(moment: datetime) -> None:
    due = latest_due(moment)
    day = day_of(due.date)
    assert due.cutoff == datetime(day.year, day.month, day.day, 18, tzinfo=UTC)
    assert due.cutoff <= moment
    assert latest_due(due.cutoff) == due
    later = [due.cutoff + timedelta(days=number) for number in range(1, 5)]
    assert all(other > moment or other.weekday() >= 5 for other in later)


@pytest.mark.parametrize("text", ["2026-11-28", "2026-11-29", "2026-02-30", "20261124", "2026-11-24T00:00", "x", " "])
def test_what_is_no_weekday_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="date"):
        SettleRequest(text)


async def test_the_workflow_settles_the_latest_day_that_is_due_or_the_one_that_is_asked_for(
    world: World, dev_server: WorkflowEnvironment, store: SettlementStore
) -> None:
    async with serving(world, dev_server) as client:

        async def settle(request: SettleRequest) -> Settlement:
            return await client.execute_workflow(
                SettlePayments.run, request, id=f"settle:{new_order()}", task_queue=TASK_QUEUE
            )

        made = await settle(SettleRequest("2020-03-02"))
        assert (made.date, made.cutoff) == ("2020-03-02", datetime(2020, 3, 2, 18, tzinfo=UTC))
        latest = await settle(SettleRequest())
        assert latest.cutoff <= datetime.now(UTC) < latest.cutoff + timedelta(days=4)
        assert await settle(SettleRequest()) == latest
        with pytest.raises(WorkflowFailureError) as caught:
            await settle(SettleRequest("2999-03-01"))
        assert isinstance(caught.value.cause, ApplicationError)
        assert caught.value.cause.type == "InvalidInput"
        wrong: list[list[Any]] = [[], [None], [{"date": 7}], [{"date": "2026-11-29"}], ["x"], [{}, {}]]
        for nonsense in wrong:
            with pytest.raises(WorkflowFailureError):
                await client.execute_workflow(
                    "payments.SettlePayments", args=nonsense, id=f"settle:{new_order()}", task_queue=TASK_QUEUE
                )


async def test_a_backfill_of_two_weeks_makes_each_weekdays_settlement_once(
    world: World, dev_server: WorkflowEnvironment, store: SettlementStore
) -> None:
    """Over a day that is made already, at once, and twice."""
    await _captured(world, 100)
    await store.settle(Due("2026-03-04", datetime(2026, 3, 4, 18, tzinfo=UTC)))
    # Only its backfills run here, not the hour at which the test runs.
    [definition] = SCHEDULES
    async with serving(world, dev_server) as client:
        await schedules.apply(client, SCHEDULES)
        handle = client.get_schedule_handle(definition.id)
        await handle.pause()
        policy = (await handle.describe()).schedule.policy
        assert policy.overlap is ScheduleOverlapPolicy.BUFFER_ONE
        assert policy.catchup_window == timedelta(days=4)  # a missed weekday is made up
        backfill = ScheduleBackfill(
            start_at=datetime(2026, 3, 2, tzinfo=UTC),
            end_at=datetime(2026, 3, 16, tzinfo=UTC),
            overlap=ScheduleOverlapPolicy.ALLOW_ALL,
        )
        await handle.backfill(backfill, backfill)
        weekdays = [f"2026-03-{day:02}" for day in (2, 3, 4, 5, 6, 9, 10, 11, 12, 13)]

        async def made() -> bool:
            return [settlement.date for settlement in await store.page(None, 100)] == weekdays

        await eventually(made)
        # None of them took what was booked today.
        assert not [line for settlement in await store.page(None, 100) for line in settlement.lines]
        await handle.delete()
    assert [line.captured for line in (await store.settle(Due("2026-11-24", LATER))).lines] == [100]


@pytest_asyncio.fixture
async def session(world: World, store: SettlementStore) -> AsyncIterator[aiohttp.ClientSession]:
    app = web.Application(middlewares=[problem_middleware])
    app.add_routes(settlement_api.routes(store, SecretStr("operator-token")))
    operator = {"Authorization": "Bearer operator-token"}
    async with serve_app(app) as url, aiohttp.ClientSession(url, headers=operator) as session:
        yield session


async def _get(session: aiohttp.ClientSession, path: str) -> tuple[int, Any]:
    async with session.get(path) as response:
        return response.status, await response.json()


async def test_settlements_are_shown_and_paged(
    world: World, store: SettlementStore, session: aiohttp.ClientSession
) -> None:
    await undo(world.activities, await _captured(world, 30))
    await _captured(world, 100)
    for day in ("2026-11-23", "2026-11-24", "2026-11-25"):
        await store.settle(Due(day, LATER))
    status, shown = await _get(session, "/settlements/2026-11-23")
    assert shown.pop("made_at")
    line = {"currency": "EUR", "method": "card", "captured": 130, "captures": 2, "refunded": 30, "refunds": 1}
    assert (status, shown) == (
        200,
        {"date": "2026-11-23", "cutoff": LATER.isoformat(), "lines": [line | {"net": 100}]},
    )
    _, first = await _get(session, "/settlements?limit=2")
    _, second = await _get(session, f"/settlements?limit=2&after={first['next']}")
    assert [item["date"] for item in first["items"] + second["items"]] == ["2026-11-23", "2026-11-24", "2026-11-25"]
    assert second["next"] is None


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/settlements/2026-11-24", 404),
        ("/settlements/20261124", 400),
        ("/settlements/2026-13-01", 400),
        ("/settlements/x", 400),
        ("/settlements?after=x", 400),
        ("/settlements?limit=0", 400),
    ],
)
async def test_nonsense_is_answered_with_a_problem(session: aiohttp.ClientSession, path: str, status: int) -> None:
    assert (await _get(session, path))[0] == status


async def test_only_operators_may_look(session: aiohttp.ClientSession) -> None:
    for path in ("/settlements", "/settlements/2026-11-24"):
        async with session.get(path, headers={"Authorization": "Bearer wrong"}) as response:
            assert response.status == 401
