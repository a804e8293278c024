"""Memory of the store-credit accounts: one row an account, and the bookings that move it.

Each method is one transaction that holds the account's row, and before it that of the payment, where there is one. A
booking's key decides whether it is a repeat; after that comes what the account says of it.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from payments.account_terms import MAX_BALANCE, AccountRefusal, AccountRefused, Move, release_key
from payments.contract import refund_key
from payments.ledger import (
    account_of,
    book_on_account,
    change_account,
    change_payment,
    locked_account,
    locked_payment,
    the_locked_payment,
)
from payments.metrics import AUTHORISE, DONE, REFUND, REFUSED, VOID, PaymentsMetrics
from payments.model import Account, AccountBooks, Entry, Kind, LedgerAccount, State
from payments.tables import ACCOUNTS, BOOKINGS, LEDGER_ENTRIES

_OF_PAYMENTS = {Kind.RESERVE: AUTHORISE, Kind.RELEASE: VOID, Kind.REFUND: REFUND}
"""What a booking is to the payment that it belongs to."""


class AccountStore:
    """Reads and changes accounts."""

    def __init__(self, engine: AsyncEngine, metrics: PaymentsMetrics) -> None:
        """Keep what it works with.

        Args:
            engine: Of payments' own database, its schema up to date.
            metrics: Count what changes.
        """
        self._engine = engine
        self._metrics = metrics

    async def deposit(self, account_id: str, move: Move) -> tuple[Entry, Account, bool]:
        """Bring an amount in. The first deposit opens the account.

        Returns:
            The booking, the account as it is now, and whether the booking stood already.

        Raises:
            AccountRefused: If the account is closed, of another currency or too full, or the key is in use.
        """
        async with self._counted(Kind.DEPOSIT) as (connection, booked):
            new = insert(ACCOUNTS).values(account_id=account_id, currency=move.currency)
            await connection.execute(new.on_conflict_do_nothing())
            account = await _the_account(connection, account_id)
            entry = await _booked(connection, account_id, move, Kind.DEPOSIT, move.amount)
            if entry is not None:
                return entry, account, True
            _check(account, move)
            if account.balance + move.amount > MAX_BALANCE:
                raise AccountRefused(
                    AccountRefusal.BALANCE_TOO_LARGE, f"the balance would be more than {MAX_BALANCE} minor units"
                )
            booked.append(Kind.DEPOSIT)
            return await _move(connection, account, move, Kind.DEPOSIT, amount=move.amount, other=LedgerAccount.FUNDING)

    async def withdraw(self, account_id: str, move: Move) -> tuple[Entry, Account, bool]:
        """Take an amount out. For an order: set it aside, and say in its payment's row that it is authorised.

        Returns:
            The booking, the account as it is now, and whether the booking stood already.

        Raises:
            AccountRefused: If there is no such account, it is closed, of another currency or has less, the key is in
                use, or the order's payment does not wait for it (any more).
        """
        kind = Kind.RESERVE if move.order_id else Kind.WITHDRAWAL
        other = LedgerAccount.RESERVED if move.order_id else LedgerAccount.FUNDING
        async with self._counted(kind) as (connection, booked):
            payment = await locked_payment(connection, move.order_id) if move.order_id else None
            account = await _the_account(connection, account_id)
            entry = await _booked(connection, account_id, move, kind, -move.amount)
            if entry is not None:
                return entry, account, True
            if move.order_id:
                wanted = (account_id, move.amount, move.currency)
                # An undo sets another state before it does anything else: what comes after it moves nothing.
                if (
                    payment is None
                    or payment.state is not State.AUTHORISING
                    or (payment.account_id, payment.amount, payment.currency) != wanted
                ):
                    raise _conflict(f"the payment of order {move.order_id} does not wait for this")
            _check(account, move)
            if account.balance < move.amount:
                raise AccountRefused(
                    AccountRefusal.INSUFFICIENT_FUNDS, f"account {account_id} holds less than {move.amount}"
                )
            if move.order_id:
                await change_payment(
                    connection, move.order_id, state=State.AUTHORISED, authorisation_id=move.booking_key
                )
            booked.append(kind)
            return await _move(connection, account, move, kind, amount=-move.amount, other=other)

    async def put_back(self, account_id: str, order_id: str) -> tuple[Entry, Account, bool]:
        """Finish the undo of an order's payment that this account made, and bring the amount back.

        Works where the account is closed, and where it was done already.

        Returns:
            The booking, the account as it is now, and whether the booking stood already.

        Raises:
            LookupError: If the payment is not there, took nothing, or its undo did not begin; nothing is moved.
            AccountRefused: If another account made the payment, or none did.
        """
        async with self._counted(Kind.RELEASE) as (connection, booked):
            payment = await the_locked_payment(connection, order_id)
            account = await _the_account(connection, account_id)
            if payment.account_id != account_id:
                raise _conflict(f"order {order_id} was not paid by account {account_id}")
            if payment.captured:
                key, kind, other = refund_key(order_id), Kind.REFUND, LedgerAccount.SALES
                change: dict[str, Any] = {"refunded": payment.amount, "refund_id": key}
            else:
                key, kind, other = release_key(order_id), Kind.RELEASE, LedgerAccount.RESERVED
                change = {"voided": payment.amount}
            if payment.state is State.REVERSED and (entry := await _find(connection, key)) is not None:
                return entry, account, True
            if payment.state is not State.REVERSING or payment.authorisation_id is None:
                raise LookupError(f"there is nothing to put back for order {order_id}")
            await change_payment(connection, order_id, state=State.REVERSED, **change)
            move = Move(key, payment.amount, account.currency, order_id)
            booked.append(kind)
            return await _move(connection, account, move, kind, amount=payment.amount, other=other)

    @asynccontextmanager
    async def _counted(self, kind: Kind) -> AsyncIterator[tuple[AsyncConnection, list[Kind]]]:
        """A transaction, and a list for the booking made in it, which counts once it stands.

        Args:
            kind: Of the booking that is refused, if it is.
        """
        booked: list[Kind] = []
        try:
            async with self._engine.begin() as connection:
                yield connection, booked
        except AccountRefused:
            self._metrics.booked(kind, REFUSED)
            raise
        for each in booked:
            self._metrics.booked(each, DONE)
            if each in _OF_PAYMENTS:
                self._metrics.payment(_OF_PAYMENTS[each], DONE)

    async def set_open(self, account_id: str, *, open: bool) -> Account:  # noqa: A002 - as the column is called
        """Close an account, or open it again.

        Raises:
            AccountRefused: If there is no such account.
        """
        async with self._engine.begin() as connection:
            account = await _the_account(connection, account_id)
            return account if account.open == open else await change_account(connection, account_id, open=open)

    async def account(self, account_id: str) -> Account | None:
        """An account, or None if there is none."""
        async with self._engine.connect() as connection:
            found = await connection.execute(sa.select(ACCOUNTS).where(ACCOUNTS.c.account_id == account_id))
            row = found.mappings().one_or_none()
        return None if row is None else account_of(row)

    async def latest(self, account_id: str, limit: int) -> tuple[Account | None, list[Entry]]:
        """An account with its latest movements, oldest first, both of the same moment."""
        entries = _entries().where(BOOKINGS.c.account_id == account_id).order_by(BOOKINGS.c.entry.desc()).limit(limit)
        async with self._engine.connect() as connection:
            await connection.execution_options(isolation_level="REPEATABLE READ")
            found = await connection.execute(sa.select(ACCOUNTS).where(ACCOUNTS.c.account_id == account_id))
            row = found.mappings().one_or_none()
            lines = [_entry(line) for line in (await connection.execute(entries)).mappings()]
        return None if row is None else account_of(row), lines[::-1]

    async def statement(self, account_id: str, after: int, limit: int) -> list[Entry]:
        """Movements of an account, oldest first.

        Args:
            account_id: Whose.
            after: Number of the movement after which the page begins; 0 for the first.
            limit: Most movements of the page.
        """
        rows = _entries().where(BOOKINGS.c.account_id == account_id, BOOKINGS.c.entry > after)
        async with self._engine.connect() as connection:
            found = await connection.execute(rows.order_by(BOOKINGS.c.entry).limit(limit))
            return [_entry(row) for row in found.mappings()]

    async def booking(self, booking_key: str) -> Entry | None:
        """What became of a key: the movement that stands under it, or None. The way to learn an unknown outcome."""
        async with self._engine.connect() as connection:
            return await _find(connection, booking_key)

    async def page(self, after: str, limit: int) -> list[AccountBooks]:
        """Accounts by id, each with what the ledger says it holds.

        Args:
            after: Account id after which the page begins; empty for the first.
            limit: Most accounts of the page.
        """
        accounts = sa.select(ACCOUNTS).where(ACCOUNTS.c.account_id > after).order_by(ACCOUNTS.c.account_id).limit(limit)
        async with self._engine.connect() as connection:
            await connection.execution_options(isolation_level="REPEATABLE READ")
            found = [account_of(row) for row in (await connection.execute(accounts)).mappings()]
            sums = (
                sa.select(BOOKINGS.c.account_id, sa.cast(-sa.func.sum(LEDGER_ENTRIES.c.amount), sa.BigInteger))
                .join_from(BOOKINGS, LEDGER_ENTRIES)
                .where(
                    BOOKINGS.c.account_id.in_([account.account_id for account in found]),
                    LEDGER_ENTRIES.c.account == LedgerAccount.STORE_CREDIT,
                )
                .group_by(BOOKINGS.c.account_id)
            )
            held: dict[str, int] = {row[0]: row[1] for row in await connection.execute(sums)}
        return [AccountBooks(account, held.get(account.account_id, 0)) for account in found]


async def _the_account(connection: AsyncConnection, account_id: str) -> Account:
    account = await locked_account(connection, account_id)
    if account is None:
        raise AccountRefused(AccountRefusal.UNKNOWN_ACCOUNT, f"there is no account {account_id}")
    return account


def _check(account: Account, move: Move) -> None:
    if account.currency != move.currency:
        raise AccountRefused(
            AccountRefusal.CURRENCY_MISMATCH, f"account {account.account_id} is kept in {account.currency}"
        )
    if not account.open:
        raise AccountRefused(AccountRefusal.ACCOUNT_CLOSED, f"account {account.account_id} is closed")


async def _move(
    connection: AsyncConnection, account: Account, move: Move, kind: Kind, *, amount: int, other: LedgerAccount
) -> tuple[Entry, Account, bool]:
    after = await book_on_account(
        connection, account, move.booking_key, kind, amount=amount, other=other, order_id=move.order_id or None
    )
    # The account's row is held, so the key can only stand in another account, or as a fence.
    if after is None:
        raise _conflict(f"booking {move.booking_key} stands already")
    entry = await _find(connection, move.booking_key)
    if entry is None:
        raise LookupError(f"booking {move.booking_key} is gone")
    return entry, after, False


async def _booked(connection: AsyncConnection, account_id: str, move: Move, kind: Kind, amount: int) -> Entry | None:
    """The booking that stands under the key, if it is this one."""
    entry = await _find(connection, move.booking_key)
    if entry is not None and (entry.account_id, entry.kind, entry.amount, entry.currency) != (
        account_id,
        kind,
        amount,
        move.currency,
    ):
        raise _conflict(f"booking {move.booking_key} is another one already")
    return entry


async def _find(connection: AsyncConnection, booking_key: str) -> Entry | None:
    found = await connection.execute(_entries().where(BOOKINGS.c.booking_key == booking_key))
    row = found.mappings().one_or_none()
    return None if row is None else _entry(row)


def _entries() -> sa.Select[Any]:
    return (
        sa.select(BOOKINGS, (-LEDGER_ENTRIES.c.amount).label("amount"))
        .join_from(BOOKINGS, LEDGER_ENTRIES)
        .where(LEDGER_ENTRIES.c.account == LedgerAccount.STORE_CREDIT, BOOKINGS.c.account_id.is_not(None))
    )


def _entry(row: sa.RowMapping) -> Entry:
    return Entry(**{name: row[name] for name in Entry.__slots__} | {"kind": Kind(row["kind"])})


def _conflict(detail: str) -> AccountRefused:
    return AccountRefused(AccountRefusal.BOOKING_CONFLICT, detail)
