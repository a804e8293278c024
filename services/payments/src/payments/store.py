"""Payments' memory: one row a payment, and the double-entry ledger of what moved.

Each method is one transaction that holds the payment's row. The row's state decides every race: once an undo has set
``reversing``, no step changes it any more but the undo itself.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from payments.contract import capture_key, refund_key
from payments.model import Account, Books, Payment, State
from payments.tables import BOOKINGS, LEDGER_ENTRIES, PAYMENTS

MAX_REASON = 200
"""Characters kept of why a payment was reversed."""


class Store:
    """Reads and changes payments."""

    def __init__(self, engine: AsyncEngine) -> None:
        """Keep the engine.

        Args:
            engine: Of payments' own database, its schema up to date.
        """
        self._engine = engine

    async def begin_authorisation(self, order_id: str, amount: int, currency: str) -> tuple[Payment, bool]:
        """Write down that the gateway is about to be asked.

        Returns:
            The payment, and whether it is new: nobody can have asked the gateway for it yet.
        """
        new = insert(PAYMENTS).values(order_id=order_id, state=State.AUTHORISING, amount=amount, currency=currency)
        async with self._engine.begin() as connection:
            made = await connection.execute(new.on_conflict_do_nothing().returning(PAYMENTS.c.order_id))
            is_new = made.one_or_none() is not None
            return await _the_locked(connection, order_id), is_new

    async def record_authorised(self, order_id: str, authorisation_id: str) -> Payment:
        """Write down that the amount is set aside, unless an undo began meanwhile.

        Returns:
            The payment as it is then.
        """
        async with self._held(order_id) as (connection, payment):
            if payment.state is not State.AUTHORISING:
                return payment
            return await _change(connection, order_id, state=State.AUTHORISED, authorisation_id=authorisation_id)

    async def record_declined(self, order_id: str, reason: str, *, since: State) -> Payment:
        """Write down that the gateway will not, unless the payment has left the state in which it was asked.

        Returns:
            The payment as it is then.
        """
        async with self._held(order_id) as (connection, payment):
            if payment.state is not since:
                return payment
            return await _change(connection, order_id, state=State.DECLINED, decline_reason=reason)

    async def begin_capture(self, order_id: str) -> Payment | None:
        """Write down that the gateway is about to be asked for the money, if the payment is authorised.

        Returns:
            The payment as it was before, so ``capture_begun`` tells of an earlier attempt; None if there is none.
        """
        async with self._engine.begin() as connection:
            payment = await _locked(connection, order_id)
            if payment is not None and payment.state is State.AUTHORISED and not payment.capture_begun:
                await _change(connection, order_id, capture_begun=True)
            return payment

    async def record_captured(self, order_id: str, capture_id: str) -> Payment:
        """Book the capture, unless an undo began meanwhile: then the undo learns of it from the gateway and books it.

        Returns:
            The payment as it is then.
        """
        async with self._held(order_id) as (connection, payment):
            if payment.state is not State.AUTHORISED:
                return payment
            await _book_capture(connection, payment)
            return await _change(
                connection, order_id, state=State.CAPTURED, captured=payment.amount, capture_id=capture_id
            )

    async def fence(self, order_id: str, reason: str) -> Payment:
        """Begin an undo: from here on no step changes the payment. Works without a payment, too.

        Returns:
            The payment, ``reversing`` or, if an undo was finished before, ``reversed``.
        """
        kept = "".join(letter if letter.isprintable() else "?" for letter in reason)[:MAX_REASON]
        new = insert(PAYMENTS).values(order_id=order_id, state=State.REVERSING, reverse_reason=kept)
        async with self._engine.begin() as connection:
            await connection.execute(new.on_conflict_do_nothing())
            payment = await _the_locked(connection, order_id)
            if payment.state.undone:
                return payment
            return await _change(connection, order_id, state=State.REVERSING, reverse_reason=kept)

    async def record_voided(self, order_id: str, amount: int) -> Payment:
        """Finish an undo for which the gateway set ``amount`` free, or had nothing to set free.

        Returns:
            The payment, ``reversed``.
        """
        async with self._held(order_id) as (connection, payment):
            if payment.state is State.REVERSED:
                return payment
            return await _change(
                connection, order_id, state=State.REVERSED, voided=amount, amount=payment.amount or amount
            )

    async def begin_refund(self, order_id: str) -> Payment:
        """Write down that the gateway is about to be asked to pay back.

        Returns:
            The payment as it was before, so ``refund_begun`` tells of an earlier attempt.
        """
        async with self._held(order_id) as (connection, payment):
            if payment.state is State.REVERSING and not payment.refund_begun:
                await _change(connection, order_id, refund_begun=True)
            return payment

    async def record_refunded(self, order_id: str, refund_id: str, amount: int, currency: str) -> Payment:
        """Finish an undo for which the gateway paid ``amount`` back. Books the capture, too, if nobody has.

        Returns:
            The payment, ``reversed``.
        """
        async with self._held(order_id) as (connection, payment):
            if payment.state is State.REVERSED:
                return payment
            if not payment.captured:
                # The capture took effect, but the undo came before its record.
                known = {"amount": payment.amount or amount, "currency": payment.currency or currency}
                await _book_capture(connection, await _change(connection, order_id, captured=amount, **known))
            entries = {Account.GATEWAY: -amount, Account.SALES: amount}
            await _book(connection, order_id, refund_key(order_id), kind="refund", currency=currency, entries=entries)
            return await _change(connection, order_id, state=State.REVERSED, refunded=amount, refund_id=refund_id)

    async def books(self, order_id: str) -> Books | None:
        """A payment with its ledger, or None if there is none."""
        found = await self._books(sa.select(PAYMENTS).where(PAYMENTS.c.order_id == order_id))
        return found[0] if found else None

    async def page(self, after: str, limit: int) -> list[Books]:
        """Payments with their ledgers, by order id.

        Args:
            after: Order id after which the page begins; empty for the first.
            limit: Most payments of the page.
        """
        rows = sa.select(PAYMENTS).where(PAYMENTS.c.order_id > after)
        return await self._books(rows.order_by(PAYMENTS.c.order_id).limit(limit))

    async def _books(self, payments: sa.Select[Any]) -> list[Books]:
        # One snapshot for both questions, so that a payment and its ledger are of the same moment.
        async with self._engine.connect() as connection:
            await connection.execution_options(isolation_level="REPEATABLE READ")
            found = [_payment(row) for row in (await connection.execute(payments)).mappings()]
            entries = (
                sa.select(
                    BOOKINGS.c.order_id, BOOKINGS.c.booking_key, LEDGER_ENTRIES.c.account, LEDGER_ENTRIES.c.amount
                )
                .join_from(BOOKINGS, LEDGER_ENTRIES)
                .where(BOOKINGS.c.order_id.in_([payment.order_id for payment in found]))
            )
            net: dict[str, dict[str, int]] = {}
            sums: dict[str, dict[str, int]] = {}
            for order_id, key, account, amount in await connection.execute(entries):
                accounts = net.setdefault(order_id, {})
                accounts[account] = accounts.get(account, 0) + amount
                bookings = sums.setdefault(order_id, {})
                bookings[key] = bookings.get(key, 0) + amount
        return [
            Books(
                payment,
                dict(sorted(net.get(payment.order_id, {}).items())),
                balanced=not any(sums.get(payment.order_id, {}).values()),
            )
            for payment in found
        ]

    @asynccontextmanager
    async def _held(self, order_id: str) -> AsyncIterator[tuple[AsyncConnection, Payment]]:
        async with self._engine.begin() as connection:
            yield connection, await _the_locked(connection, order_id)


async def _locked(connection: AsyncConnection, order_id: str) -> Payment | None:
    query = sa.select(PAYMENTS).where(PAYMENTS.c.order_id == order_id).with_for_update()
    row = (await connection.execute(query)).mappings().one_or_none()
    return None if row is None else _payment(row)


async def _the_locked(connection: AsyncConnection, order_id: str) -> Payment:
    payment = await _locked(connection, order_id)
    if payment is None:
        raise LookupError(f"payment of order {order_id} is gone")
    return payment


async def _change(connection: AsyncConnection, order_id: str, **values: Any) -> Payment:
    change = sa.update(PAYMENTS).where(PAYMENTS.c.order_id == order_id)
    change = change.values(**values, updated_at=sa.func.clock_timestamp())
    return _payment((await connection.execute(change.returning(*PAYMENTS.c))).mappings().one())


async def _book_capture(connection: AsyncConnection, payment: Payment) -> None:
    if payment.currency is None:
        raise LookupError(f"payment of order {payment.order_id} has no currency")
    entries = {Account.GATEWAY: payment.amount, Account.SALES: -payment.amount}
    key = capture_key(payment.order_id)
    await _book(connection, payment.order_id, key, kind="capture", currency=payment.currency, entries=entries)


async def _book(
    connection: AsyncConnection, order_id: str, key: str, *, kind: str, currency: str, entries: Mapping[Account, int]
) -> None:
    booking = {"booking_key": key, "order_id": order_id, "kind": kind, "currency": currency}
    await connection.execute(sa.insert(BOOKINGS).values(booking))
    await connection.execute(
        sa.insert(LEDGER_ENTRIES),
        [{"booking_key": key, "account": account, "amount": amount} for account, amount in entries.items()],
    )


def _payment(row: sa.RowMapping) -> Payment:
    return Payment(**{name: row[name] for name in Payment.__slots__} | {"state": State(row["state"])})
