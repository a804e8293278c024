"""Bookings and the rows they belong to, within a transaction of the caller's.

Rows are held in one order everywhere, so that nobody waits in a ring: the payment's, the account's, the booking's key.
"""

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from payments.model import Account, Kind, LedgerAccount, Payment, State
from payments.tables import ACCOUNTS, BOOKINGS, LEDGER_ENTRIES, PAYMENTS


async def locked_payment(connection: AsyncConnection, order_id: str) -> Payment | None:
    """A payment, held until the transaction ends; None if there is none."""
    query = sa.select(PAYMENTS).where(PAYMENTS.c.order_id == order_id).with_for_update()
    row = (await connection.execute(query)).mappings().one_or_none()
    return None if row is None else payment_of(row)


async def the_locked_payment(connection: AsyncConnection, order_id: str) -> Payment:
    """A payment that is there, held until the transaction ends.

    Raises:
        LookupError: If it is not.
    """
    payment = await locked_payment(connection, order_id)
    if payment is None:
        raise LookupError(f"payment of order {order_id} is gone")
    return payment


async def change_payment(connection: AsyncConnection, order_id: str, **values: Any) -> Payment:
    """Change a payment that is held, and return it as it is then."""
    change = sa.update(PAYMENTS).where(PAYMENTS.c.order_id == order_id)
    change = change.values(**values, updated_at=sa.func.clock_timestamp())
    return payment_of((await connection.execute(change.returning(*PAYMENTS.c))).mappings().one())


def payment_of(row: sa.RowMapping) -> Payment:
    """A payment from its row."""
    return Payment(**{name: row[name] for name in Payment.__slots__} | {"state": State(row["state"])})


async def book(
    connection: AsyncConnection,
    key: str,
    kind: Kind,
    currency: str,
    entries: Mapping[LedgerAccount, int],
    *,
    order_id: str | None = None,
) -> bool:
    """Book under a key, for an order.

    Args:
        connection: In the caller's transaction.
        key: The same key is the same booking.
        kind: Of what happens.
        currency: Of all entries.
        entries: Minor units by account of the ledger; their sum is 0.
        order_id: Whose payment it belongs to.

    Returns:
        Whether it is booked now; False if the key stands already.
    """
    return await _insert(
        connection, {"booking_key": key, "order_id": order_id, "kind": kind, "currency": currency}, entries
    )


async def book_on_account(
    connection: AsyncConnection,
    account: Account,
    key: str,
    kind: Kind,
    *,
    amount: int,
    other: LedgerAccount,
    order_id: str | None = None,
) -> Account | None:
    """Move an account's balance.

    Args:
        connection: In the caller's transaction.
        account: Held by the caller.
        key: The same key is the same booking.
        kind: Of what happens.
        amount: Minor units; negative where they leave the account.
        other: The ledger's account that they come from or go to.
        order_id: Whose payment it belongs to.

    Returns:
        The account after it; None if the key stands already.
    """
    balance, entry = account.balance + amount, account.entries + 1
    booking = {
        "booking_key": key,
        "order_id": order_id,
        "kind": kind,
        "currency": account.currency,
        "account_id": account.account_id,
        "entry": entry,
        "balance_after": balance,
    }
    # We owe the balance: what comes into the account leaves the ledger's.
    if not await _insert(connection, booking, {LedgerAccount.STORE_CREDIT: -amount, other: amount}):
        return None
    return await change_account(connection, account.account_id, balance=balance, entries=entry)


async def _insert(
    connection: AsyncConnection, booking: Mapping[str, Any], entries: Mapping[LedgerAccount, int]
) -> bool:
    new = insert(BOOKINGS).values(booking).on_conflict_do_nothing(index_elements=[BOOKINGS.c.booking_key])
    if (await connection.execute(new.returning(BOOKINGS.c.booking_key))).one_or_none() is None:
        return False
    if entries:
        await connection.execute(
            sa.insert(LEDGER_ENTRIES),
            [
                {"booking_key": booking["booking_key"], "account": account, "amount": amount}
                for account, amount in entries.items()
            ],
        )
    return True


async def locked_account(connection: AsyncConnection, account_id: str) -> Account | None:
    """An account, held until the transaction ends; None if there is none."""
    query = sa.select(ACCOUNTS).where(ACCOUNTS.c.account_id == account_id).with_for_update()
    row = (await connection.execute(query)).mappings().one_or_none()
    return None if row is None else account_of(row)


async def change_account(connection: AsyncConnection, account_id: str, **values: Any) -> Account:
    """Change an account that is held, and return it as it is then."""
    change = sa.update(ACCOUNTS).where(ACCOUNTS.c.account_id == account_id)
    change = change.values(**values, updated_at=sa.func.clock_timestamp())
    return account_of((await connection.execute(change.returning(*ACCOUNTS.c))).mappings().one())


def account_of(row: sa.RowMapping) -> Account:
    """An account from its row."""
    return Account(**{name: row[name] for name in Account.__slots__})
