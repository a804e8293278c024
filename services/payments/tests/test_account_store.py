"""The accounts' table: the truth, whoever asks, however often."""

import asyncio

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from payments.account_terms import MAX_BALANCE, AccountRefusal, AccountRefused, Move
from payments.model import Kind

from .conftest import World, account_with, balance_of, new_account, new_key, new_order


async def _refused(world: World, kind: AccountRefusal, account_id: str, move: Move, *, deposit: bool = False) -> None:
    with pytest.raises(AccountRefused) as caught:
        await (world.accounts.deposit if deposit else world.accounts.withdraw)(account_id, move)
    assert caught.value.kind == kind


async def test_deposits_and_withdrawals_move_the_balance_and_stand_in_the_statement(world: World) -> None:
    account_id = await account_with(world, 500)
    await world.accounts.withdraw(account_id, Move(new_key(), 120, "EUR"))
    assert await balance_of(world, account_id) == 380
    entries = await world.accounts.statement(account_id, 0, 10)
    assert [(entry.kind, entry.amount) for entry in entries] == [(Kind.DEPOSIT, 500), (Kind.WITHDRAWAL, -120)]
    assert await world.accounts.statement(account_id, 1, 10) == entries[1:]
    assert (await world.accounts.latest(account_id, 1))[1] == entries[1:]


async def test_the_same_booking_twice_is_one_also_50_at_once(world: World) -> None:
    account_id, move = new_account(), Move(new_key(), 500, "EUR")
    answers = await asyncio.gather(*(world.accounts.deposit(account_id, move) for _ in range(50)))
    assert [repeated for _, _, repeated in answers].count(False) == 1
    assert await balance_of(world, account_id) == 500


async def test_50_withdrawals_at_once_never_take_more_than_there_is(world: World) -> None:
    account_id = await account_with(world, 1000)
    answers = await asyncio.gather(
        *(world.accounts.withdraw(account_id, Move(new_key(), 100, "EUR")) for _ in range(50)), return_exceptions=True
    )
    assert sum(not isinstance(answer, AccountRefused) for answer in answers) == 10
    assert await balance_of(world, account_id) == 0


async def test_a_repeat_gets_the_first_answer_also_after_a_close(world: World) -> None:
    account_id, move = new_account(), Move(new_key(), 500, "EUR")
    first, _, _ = await world.accounts.deposit(account_id, move)
    await world.accounts.set_open(account_id, open=False)
    again, account, repeated = await world.accounts.deposit(account_id, move)
    assert (again, account.open, repeated) == (first, False, True)


async def test_an_account_says_why_it_will_not(world: World) -> None:
    account_id = await account_with(world, 500)
    await _refused(world, AccountRefusal.UNKNOWN_ACCOUNT, new_account(), Move(new_key(), 1, "EUR"))
    await _refused(world, AccountRefusal.INSUFFICIENT_FUNDS, account_id, Move(new_key(), 501, "EUR"))
    await _refused(world, AccountRefusal.CURRENCY_MISMATCH, account_id, Move(new_key(), 1, "USD"))
    await _refused(world, AccountRefusal.CURRENCY_MISMATCH, account_id, Move(new_key(), 1, "USD"), deposit=True)
    await world.accounts.set_open(account_id, open=False)
    await _refused(world, AccountRefusal.ACCOUNT_CLOSED, account_id, Move(new_key(), 1, "EUR"))
    await _refused(world, AccountRefusal.ACCOUNT_CLOSED, account_id, Move(new_key(), 1, "EUR"), deposit=True)
    await world.accounts.set_open(account_id, open=True)
    await world.accounts.withdraw(account_id, Move(new_key(), 500, "EUR"))
    assert await balance_of(world, account_id) == 0


async def test_a_balance_has_a_limit(world: World) -> None:
    account_id = new_account()
    for _ in range(MAX_BALANCE // 10**11):
        await world.accounts.deposit(account_id, Move(new_key(), 10**11, "EUR"))
    await _refused(world, AccountRefusal.BALANCE_TOO_LARGE, account_id, Move(new_key(), 1, "EUR"), deposit=True)
    assert await balance_of(world, account_id) == MAX_BALANCE


async def test_a_key_stands_for_one_booking_in_all_accounts(world: World) -> None:
    account_id, other = await account_with(world, 500), await account_with(world, 500)
    key = new_key()
    await world.accounts.deposit(account_id, Move(key, 5, "EUR"))
    for move in (Move(key, 6, "EUR"), Move(key, 5, "USD")):
        await _refused(world, AccountRefusal.BOOKING_CONFLICT, account_id, move, deposit=True)
    await _refused(world, AccountRefusal.BOOKING_CONFLICT, account_id, Move(key, 5, "EUR"))
    await _refused(world, AccountRefusal.BOOKING_CONFLICT, other, Move(key, 5, "EUR"), deposit=True)
    assert (await balance_of(world, account_id), await balance_of(world, other)) == (505, 500)


async def test_the_same_key_in_two_accounts_at_once_is_one_booking(world: World) -> None:
    accounts = [await account_with(world, 500) for _ in range(10)]
    key = new_key()
    answers = await asyncio.gather(
        *(world.accounts.deposit(account_id, Move(key, 5, "EUR")) for account_id in accounts), return_exceptions=True
    )
    assert sum(isinstance(answer, AccountRefused) for answer in answers) == 9
    assert sum([await balance_of(world, account_id) for account_id in accounts]) == 5005


async def test_a_withdrawal_for_an_order_that_does_not_wait_for_it_moves_nothing(world: World) -> None:
    account_id, order_id = await account_with(world, 500), new_order()
    move = Move(f"payment:{order_id}:authorise", 100, "EUR", order_id)
    await _refused(world, AccountRefusal.BOOKING_CONFLICT, account_id, move)
    await world.store.begin_authorisation(order_id, 100, "EUR", account_id)
    await _refused(world, AccountRefusal.BOOKING_CONFLICT, account_id, Move(move.booking_key, 99, "EUR", order_id))
    await world.store.fence(order_id, "test")
    await _refused(world, AccountRefusal.BOOKING_CONFLICT, account_id, move)
    assert await balance_of(world, account_id) == 500


DEPOSIT = (
    "INSERT INTO bookings (booking_key, kind, currency, account_id, entry, balance_after)"
    " VALUES (:id || '-x', 'deposit', 'EUR', :id, {}, {})"
)
WITH_ENTRIES = (
    "WITH b AS ({}) INSERT INTO ledger_entries VALUES (:id || '-x', 'store_credit', -99), (:id || '-x', 'funding', 99)"
)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("UPDATE accounts SET balance = -1 WHERE account_id = :id", "ck_accounts_balance"),
        ("UPDATE accounts SET balance = 501 WHERE account_id = :id", "the ledger 500"),
        ("UPDATE accounts SET entries = 2 WHERE account_id = :id", "the ledger"),
        ("INSERT INTO accounts (account_id, currency, balance) VALUES (:id || '-2', 'EUR', 5)", "the ledger 0"),
        ("UPDATE bookings SET balance_after = 7 WHERE account_id = :id", "never changed or deleted"),
        (
            DEPOSIT.format(1, 500),
            "uq_bookings_account_id",
        ),
        (
            DEPOSIT.format(2, -1),
            "ck_bookings_account",
        ),
        (
            DEPOSIT.format(2, 500),
            "does not sum to 0",
        ),
        (
            WITH_ENTRIES.format(DEPOSIT.format(2, 600)),
            "does not follow",
        ),
        (
            "INSERT INTO bookings (booking_key, kind, currency) VALUES (:id || '-x', 'deposit', 'EUR')",
            "ck_bookings_kind",
        ),
    ],
)
async def test_the_database_refuses_what_the_ledger_does_not_bear_out(world: World, change: str, said: str) -> None:
    account_id = await account_with(world, 500)
    with pytest.raises(DBAPIError) as caught:
        async with world.database.engine.begin() as connection:
            await connection.execute(sa.text(change), {"id": account_id})
    assert said in str(caught.value.orig)


async def test_accounts_are_paged_with_what_their_ledger_says(world: World) -> None:
    ids = sorted([await account_with(world, 100 + number) for number in range(5)])
    first = await world.accounts.page("", 3)
    second = await world.accounts.page(first[-1].account.account_id, 3)
    assert [books.account.account_id for books in first + second] == ids
    assert all(books.ledger == books.account.balance for books in first + second)
