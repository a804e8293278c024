"""The account's workflow on a real server (the time-skipping one knows no update-with-start)."""

import asyncio
import gc
import uuid
from collections.abc import AsyncIterator, Awaitable
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio
from temporalio.client import (
    Client,
    WithStartWorkflowOperation,
    WorkflowHandle,
    WorkflowQueryFailedError,
    WorkflowUpdateFailedError,
)
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.exceptions import ApplicationError
from temporalio.testing import WorkflowEnvironment

from chassis.testing.waiting import eventually
from payments import account_terms as terms
from payments import store_credit
from payments.account_terms import AccountRefusal, AccountRefused, AccountStart, Balance, Booked, Line, Move
from payments.contract import TASK_QUEUE
from payments.store_credit import Unanswered
from payments.workflows.account import Account

from .conftest import World, account_with, balance_of, credit_of, new_account, new_key, serving


def _handle(client: Client, account_id: str) -> WorkflowHandle[Any, Any]:
    return client.get_workflow_handle(terms.account_workflow_id(account_id))


@pytest_asyncio.fixture
async def client(world: World, dev_server: WorkflowEnvironment) -> AsyncIterator[Client]:
    async with serving(world, dev_server) as client:
        yield client


async def _refused(asked: Awaitable[object]) -> AccountRefusal:
    with pytest.raises(AccountRefused) as caught:
        await asked
    return caught.value.kind


async def test_an_account_is_opened_moved_and_asked(world: World, client: Client) -> None:
    account_id, credit = new_account(), credit_of(world, client)
    first = await credit.deposit(account_id, Move("k-1" + account_id, 500, "EUR"))
    assert first.balance == Balance(account_id, "EUR", 500, open=True)
    await credit.withdraw(account_id, Move("k-2" + account_id, 120, "EUR"))
    handle = _handle(client, account_id)
    assert await handle.query(Account.balance) == Balance(account_id, "EUR", 380, open=True)
    lines = await handle.query(Account.statement)
    assert lines == [
        Line(1, "k-1" + account_id, "deposit", 500, 500),
        Line(2, "k-2" + account_id, "withdrawal", -120, 380),
    ]
    assert await balance_of(world, account_id) == 380


async def test_a_closed_account_refuses_until_it_is_opened_again(world: World, client: Client) -> None:
    account_id, credit = new_account(), credit_of(world, client)
    move = Move(new_key(), 500, "EUR")
    first = await credit.deposit(account_id, move)
    for _ in range(2):
        assert not (await credit.set_open(account_id, open=False)).open
    assert await _refused(credit.deposit(account_id, Move(new_key(), 1, "EUR"))) == AccountRefusal.ACCOUNT_CLOSED
    assert await _refused(credit.withdraw(account_id, Move(new_key(), 1, "EUR"))) == AccountRefusal.ACCOUNT_CLOSED
    # A repeat gets the answer that the first one got.
    again = await credit.deposit(account_id, move)
    assert (again.line, again.repeated) == (first.line, True)
    for _ in range(2):
        assert (await credit.set_open(account_id, open=True)).open
    await credit.withdraw(account_id, Move(new_key(), 500, "EUR"))
    assert await balance_of(world, account_id) == 0


async def test_an_account_refuses_another_currency_what_it_has_not_and_another_booking_of_the_key(
    world: World, client: Client
) -> None:
    account_id, credit = new_account(), credit_of(world, client)
    move = Move(new_key(), 500, "EUR")
    await credit.deposit(account_id, move)
    for ask in (credit.deposit, credit.withdraw):
        assert await _refused(ask(account_id, Move(new_key(), 1, "USD"))) == AccountRefusal.CURRENCY_MISMATCH
    assert await _refused(credit.withdraw(account_id, Move(new_key(), 501, "EUR"))) == AccountRefusal.INSUFFICIENT_FUNDS
    conflict = await _refused(credit.deposit(account_id, Move(move.booking_key, 501, "EUR")))
    assert conflict == AccountRefusal.BOOKING_CONFLICT
    assert await balance_of(world, account_id) == 500


async def test_a_refused_withdrawal_may_be_asked_again_under_its_key_when_there_is_enough(
    world: World, client: Client
) -> None:
    account_id, credit = await account_with(world, 100), credit_of(world, client)
    move = Move(new_key(), 150, "EUR")
    assert await _refused(credit.withdraw(account_id, move)) == AccountRefusal.INSUFFICIENT_FUNDS
    await credit.deposit(account_id, Move(new_key(), 100, "EUR"))
    assert (await credit.withdraw(account_id, move)).balance.balance == 50


GOOD = {"booking_key": "k", "amount": 1, "currency": "EUR"}


@pytest.mark.parametrize(
    ("update", "args"),
    [
        *[("deposit", [GOOD | {"amount": amount}]) for amount in (0, -1, 10**11 + 1, 10**30, True, 1.5, "1", None)],
        ("withdraw", [GOOD | {"amount": -1}]),
        ("withdraw", [GOOD | {"order_id": "o"}]),
        ("deposit", [GOOD | {"booking_key": "payment:o:authorise", "order_id": "o"}]),
        ("deposit", [GOOD | {"booking_key": "payment:o:authorise"}]),
        ("deposit", [GOOD | {"booking_key": ""}]),
        ("deposit", [GOOD | {"booking_key": "a\x00"}]),
        ("deposit", [GOOD | {"currency": "euro"}]),
        ("deposit", [{}]),
        ("deposit", [None]),
        ("deposit", []),
        ("withdraw", [GOOD, GOOD]),
        ("put_back", ["nonsense"]),
        ("put_back", [{"order_id": "nobody"}]),
    ],
)
async def test_nonsense_from_a_raw_client_is_refused_and_leaves_the_account_at_work(
    world: World, client: Client, update: str, args: list[Any]
) -> None:
    account_id, credit = new_account(), credit_of(world, client)
    await credit.deposit(account_id, Move(new_key(), 500, "EUR"))
    with pytest.raises(WorkflowUpdateFailedError) as caught:
        await _handle(client, account_id).execute_update(update, args=args)
    assert isinstance(caught.value.cause, ApplicationError)
    assert (await credit.withdraw(account_id, Move(new_key(), 1, "EUR"))).balance.balance == 499


async def test_an_update_that_arrives_with_the_start_waits_until_the_account_is_loaded(
    world: World, client: Client
) -> None:
    account_id, credit = await account_with(world, 700), credit_of(world, client)
    booked = await credit.withdraw(account_id, Move(new_key(), 1, "EUR"))
    assert (booked.line.entry, booked.balance.balance) == (2, 699)


async def test_a_terminated_account_starts_anew_from_its_table(world: World, client: Client) -> None:
    account_id, credit = new_account(), credit_of(world, client)
    move = Move(new_key(), 500, "EUR")
    await credit.deposit(account_id, move)
    await _handle(client, account_id).terminate()
    assert (await credit.deposit(account_id, move)).repeated
    assert await _handle(client, account_id).query(Account.statement) == [
        Line(1, move.booking_key, "deposit", 500, 500),
    ]
    assert await balance_of(world, account_id) == 500


async def test_the_statement_in_the_workflow_stays_small(world: World, client: Client) -> None:
    account_id, credit = new_account(), credit_of(world, client)
    for number in range(terms.STATEMENT_KEPT + 5):
        await credit.deposit(account_id, Move(f"{account_id}-{number}", 1, "EUR"))
    lines = await _handle(client, account_id).query(Account.statement)
    assert [line.entry for line in lines] == list(range(6, terms.STATEMENT_KEPT + 6))


async def test_30_parallel_duplicates_of_a_booking_are_one(world: World, client: Client) -> None:
    account_id, credit = new_account(), credit_of(world, client)
    move = Move(new_key(), 500, "EUR")
    answers = await asyncio.gather(*(credit.deposit(account_id, move) for _ in range(30)))
    assert len({answer.line for answer in answers}) == 1
    assert await balance_of(world, account_id) == 500


async def test_a_close_while_withdrawals_run_lets_each_through_or_refuses_it(world: World, client: Client) -> None:
    account_id, credit = await account_with(world, 1000), credit_of(world, client)
    asked = [asyncio.create_task(credit.withdraw(account_id, Move(new_key(), 10, "EUR"))) for _ in range(10)]
    closed = asyncio.create_task(credit.set_open(account_id, open=False))
    asked += [asyncio.create_task(credit.withdraw(account_id, Move(new_key(), 10, "EUR"))) for _ in range(10)]
    answers = await asyncio.gather(*asked, return_exceptions=True)
    at_the_close = (await closed).balance
    through = [answer for answer in answers if isinstance(answer, Booked)]
    refused = [answer.kind for answer in answers if isinstance(answer, AccountRefused)]
    assert len(through) + len(refused) == 20
    assert set(refused) <= {AccountRefusal.ACCOUNT_CLOSED}
    # What went through did so before the close: nothing moved after it.
    assert await balance_of(world, account_id) == at_the_close == 1000 - 10 * len(through)


async def _runs(client: Client, account_id: str) -> int:
    """How many runs the account has had."""
    handle, runs = _handle(client, account_id), 1
    run_id = (await handle.describe()).run_id
    while run_id:
        history = await client.get_workflow_handle(handle.id, run_id=run_id).fetch_history()
        started = history.events[0].workflow_execution_started_event_attributes
        run_id = started.continued_execution_run_id
        runs += bool(run_id)
    return runs


async def test_no_booking_is_lost_or_doubled_over_many_continue_as_news(
    world: World, forgetful_server: WorkflowEnvironment
) -> None:
    """Eight clients stream deposits, each booking sent twice; the server forces new runs all the while."""
    account_id = new_account()
    async with serving(world, forgetful_server) as client:
        credit = credit_of(world, client)

        async def stream(number: int) -> int:
            repeats = 0
            for turn in range(25):
                move = Move(f"{account_id}-{number}-{turn}", 1 + number, "EUR")
                answers = [await credit.deposit(account_id, move) for _ in range(2)]
                assert answers[0].line == answers[1].line
                repeats += answers[1].repeated
            return repeats

        assert sum(await asyncio.gather(*(stream(number) for number in range(8)))) == 200
        assert await _runs(client, account_id) >= 5
        entries = await world.accounts.statement(account_id, 0, 1000)
        assert len(entries) == len({entry.booking_key for entry in entries}) == 200
        assert await balance_of(world, account_id) == 25 * sum(range(1, 9))

        async def told() -> int | None:
            try:
                return (await _handle(client, account_id).query(Account.balance)).balance
            except WorkflowQueryFailedError:
                return None  # A new run has just begun, and is still being loaded.

        assert await eventually(told) == 900


async def test_the_same_update_id_after_a_continue_as_new_books_once(
    world: World, forgetful_server: WorkflowEnvironment
) -> None:
    """Update ids are known to one run only. The booking's key is known for ever."""
    account_id, move, update_id = new_account(), Move(new_key(), 5, "EUR"), uuid.uuid4().hex
    async with serving(world, forgetful_server) as client:
        credit = credit_of(world, client)
        answers = []
        for _ in range(3):
            start: WithStartWorkflowOperation[Any, Any] = WithStartWorkflowOperation(
                terms.Account.run,
                AccountStart(account_id),
                id=terms.account_workflow_id(account_id),
                task_queue=TASK_QUEUE,
                id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            )
            answers.append(
                await client.execute_update_with_start_workflow(
                    "deposit", move, id=update_id, start_workflow_operation=start, result_type=Booked
                )
            )
            before = await _runs(client, account_id)
            while await _runs(client, account_id) == before:
                await credit.deposit(account_id, Move(new_key(), 1, "EUR"))
        assert [answer.repeated for answer in answers] == [False, True, True]
        entries = await world.accounts.statement(account_id, 0, 1000)
        assert sum(entry.booking_key == move.booking_key for entry in entries) == 1


async def test_an_update_that_nobody_answers_in_time_is_unanswered_and_may_still_come(
    world: World,
    dev_server: WorkflowEnvironment,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    account_id, credit = new_account(), credit_of(world, dev_server.client)
    moves = [Move(new_key(), 100, "EUR") for _ in range(3)]
    monkeypatch.setattr(store_credit, "UPDATE", timedelta(seconds=0.5))
    for move in moves:  # no worker
        with pytest.raises(Unanswered):
            await credit.deposit(account_id, move)
    gc.collect()
    assert "never retrieved" not in caplog.text
    monkeypatch.undo()
    async with serving(world, dev_server):
        for move in moves:
            await credit.deposit(account_id, move)
    assert await balance_of(world, account_id) == 300


async def test_a_row_that_is_held_for_long_fails_the_update_and_not_the_account(world: World, client: Client) -> None:
    account_id, credit = await account_with(world, 100), credit_of(world, client)
    await credit.deposit(account_id, Move(new_key(), 1, "EUR"))
    move = Move(new_key(), 1, "EUR")
    async with world.database.engine.connect() as connection:
        await connection.exec_driver_sql("SELECT FROM accounts WHERE account_id = %s FOR UPDATE", (account_id,))
        with pytest.raises(Unanswered, match="table does not answer"):
            await credit.deposit(account_id, move)
        assert (await _handle(client, account_id).query(Account.balance)).balance == 101
    assert (await credit.deposit(account_id, move)).balance.balance == 102
    assert await balance_of(world, account_id) == 102


async def test_a_row_that_is_held_for_a_moment_delays_a_booking_and_never_doubles_it(
    world: World, client: Client
) -> None:
    account_id, credit = await account_with(world, 100), credit_of(world, client)
    await credit.deposit(account_id, Move(new_key(), 1, "EUR"))
    async with world.database.engine.connect() as connection:
        await connection.exec_driver_sql("SELECT FROM accounts WHERE account_id = %s FOR UPDATE", (account_id,))
        asked = asyncio.create_task(credit.deposit(account_id, Move(new_key(), 1, "EUR")))
        await _until_someone_waits(world)
    assert (await asked).balance.balance == 102
    assert await balance_of(world, account_id) == 102


async def _until_someone_waits(world: World) -> None:
    async def waits() -> bool:
        async with world.database.engine.connect() as connection:
            found = await connection.exec_driver_sql("SELECT count(*) FROM pg_locks WHERE NOT granted")
            return bool(found.scalar_one())

    await eventually(waits)
