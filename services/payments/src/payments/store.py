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

from payments.contract import authorise_key, capture_key, refund_key
from payments.ledger import book, change_payment, locked_payment, payment_of, the_locked_payment
from payments.metrics import AUTHORISE, CAPTURE, DECLINED, DONE, NOTHING, REFUND, VOID, PaymentsMetrics
from payments.model import Books, Kind, LedgerAccount, Method, Payment, State
from payments.tables import BOOKINGS, LEDGER_ENTRIES, PAYMENTS

MAX_REASON = 200
"""Characters kept of why a payment was reversed."""


class Store:
    """Reads and changes payments."""

    def __init__(self, engine: AsyncEngine, metrics: PaymentsMetrics) -> None:
        """Keep what it works with.

        Args:
            engine: Of payments' own database, its schema up to date.
            metrics: Count what changes.
        """
        self._engine = engine
        self._metrics = metrics

    async def begin_authorisation(
        self, order_id: str, amount: int, currency: str, account_id: str | None = None
    ) -> tuple[Payment, bool]:
        """Write down that the gateway, or a store-credit account, is about to be asked.

        Returns:
            The payment, and whether it is new: nobody can have been asked for it yet.
        """
        new = insert(PAYMENTS).values(
            order_id=order_id, state=State.AUTHORISING, amount=amount, currency=currency, account_id=account_id
        )
        async with self._engine.begin() as connection:
            made = await connection.execute(new.on_conflict_do_nothing().returning(PAYMENTS.c.order_id))
            is_new = made.one_or_none() is not None
            return await the_locked_payment(connection, order_id), is_new

    async def record_authorised(self, order_id: str, authorisation_id: str) -> Payment:
        """Write down that the amount is set aside, unless an undo began meanwhile.

        Returns:
            The payment as it is then.
        """
        async with self._held(order_id) as (connection, payment, happened):
            if payment.state is not State.AUTHORISING:
                return payment
            happened.append((AUTHORISE, DONE))
            return await change_payment(connection, order_id, state=State.AUTHORISED, authorisation_id=authorisation_id)

    async def record_declined(self, order_id: str, reason: str, *, since: State) -> Payment:
        """Write down that the gateway will not, unless the payment has left the state in which it was asked.

        Returns:
            The payment as it is then.
        """
        async with self._held(order_id) as (connection, payment, happened):
            if payment.state is not since:
                return payment
            happened.append((AUTHORISE if since is State.AUTHORISING else CAPTURE, DECLINED))
            return await change_payment(connection, order_id, state=State.DECLINED, decline_reason=reason)

    async def begin_capture(self, order_id: str) -> Payment | None:
        """Write down that the gateway is about to be asked for the money, if the payment is authorised.

        Returns:
            The payment as it was before, so ``capture_begun`` tells of an earlier attempt; None if there is none.
        """
        async with self._engine.begin() as connection:
            payment = await locked_payment(connection, order_id)
            if payment is not None and payment.state is State.AUTHORISED and not payment.capture_begun:
                await change_payment(connection, order_id, capture_begun=True)
            return payment

    async def record_captured(self, order_id: str, capture_id: str) -> Payment:
        """Book the capture, unless an undo began meanwhile: then the undo learns of it from the gateway and books it.

        Returns:
            The payment as it is then.
        """
        async with self._held(order_id) as (connection, payment, happened):
            if payment.state is not State.AUTHORISED:
                return payment
            await _book_capture(connection, payment)
            happened.append((CAPTURE, DONE))
            return await change_payment(
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
            payment = await the_locked_payment(connection, order_id)
            if payment.state.undone:
                return payment
            return await change_payment(connection, order_id, state=State.REVERSING, reverse_reason=kept)

    async def burn_reservation(self, order_id: str) -> Payment:
        """Finish an undo for which no store credit was set aside, and see to it that none ever will be.

        Returns:
            The payment: ``reversed``; or still ``reversing`` where the account is to put back what it set aside.
        """
        async with self._held(order_id) as (connection, payment, happened):
            # An account sets the amount aside and says so in the payment's row, both at once.
            if payment.state is State.REVERSED or payment.authorisation_id is not None:
                return payment
            if payment.currency is None:
                raise LookupError(f"payment of order {order_id} has no currency")
            await _book(
                connection, order_id, authorise_key(order_id), Kind.FENCE, currency=payment.currency, entries={}
            )
            happened.append((VOID, NOTHING))
            return await change_payment(connection, order_id, state=State.REVERSED)

    async def record_voided(self, order_id: str, amount: int) -> Payment:
        """Finish an undo for which the gateway set ``amount`` free, or had nothing to set free.

        Returns:
            The payment, ``reversed``.
        """
        async with self._held(order_id) as (connection, payment, happened):
            if payment.state is State.REVERSED:
                return payment
            happened.append((VOID, DONE if amount else NOTHING))
            return await change_payment(
                connection, order_id, state=State.REVERSED, voided=amount, amount=payment.amount or amount
            )

    async def begin_refund(self, order_id: str) -> Payment:
        """Write down that the gateway is about to be asked to pay back.

        Returns:
            The payment as it was before, so ``refund_begun`` tells of an earlier attempt.
        """
        async with self._held(order_id) as (connection, payment, _):
            if payment.state is State.REVERSING and not payment.refund_begun:
                await change_payment(connection, order_id, refund_begun=True)
            return payment

    async def record_refunded(self, order_id: str, refund_id: str, amount: int, currency: str) -> Payment:
        """Finish an undo for which the gateway paid ``amount`` back. Books the capture, too, if nobody has.

        Returns:
            The payment, ``reversed``.
        """
        async with self._held(order_id) as (connection, payment, happened):
            if payment.state is State.REVERSED:
                return payment
            if not payment.captured:
                # The capture took effect, but the undo came before its record.
                known = {"amount": payment.amount or amount, "currency": payment.currency or currency}
                await _book_capture(connection, await change_payment(connection, order_id, captured=amount, **known))
                happened.append((CAPTURE, DONE))
            entries = {LedgerAccount.GATEWAY: -amount, LedgerAccount.SALES: amount}
            await _book(connection, order_id, refund_key(order_id), Kind.REFUND, currency=currency, entries=entries)
            happened.append((REFUND, DONE))
            return await change_payment(
                connection, order_id, state=State.REVERSED, refunded=amount, refund_id=refund_id
            )

    async def payment(self, order_id: str) -> Payment:
        """A payment that is there.

        Raises:
            LookupError: If it is not.
        """
        async with self._engine.connect() as connection:
            found = await connection.execute(sa.select(PAYMENTS).where(PAYMENTS.c.order_id == order_id))
            row = found.mappings().one_or_none()
        if row is None:
            raise LookupError(f"payment of order {order_id} is gone")
        return payment_of(row)

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
            found = [payment_of(row) for row in (await connection.execute(payments)).mappings()]
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
    async def _held(self, order_id: str) -> AsyncIterator[tuple[AsyncConnection, Payment, list[tuple[str, str]]]]:
        """A payment's row, and a list for what happens to it, which counts once it stands."""
        happened: list[tuple[str, str]] = []
        async with self._engine.begin() as connection:
            yield connection, await the_locked_payment(connection, order_id), happened
        for operation, result in happened:
            self._metrics.payment(operation, result)


async def _book_capture(connection: AsyncConnection, payment: Payment) -> None:
    if payment.currency is None:
        raise LookupError(f"payment of order {payment.order_id} has no currency")
    # Store credit was set aside by the booking before this one; a card's money comes to us now.
    source = LedgerAccount.GATEWAY if payment.method is Method.CARD else LedgerAccount.RESERVED
    entries = {source: payment.amount, LedgerAccount.SALES: -payment.amount}
    await _book(
        connection,
        payment.order_id,
        capture_key(payment.order_id),
        Kind.CAPTURE,
        currency=payment.currency,
        entries=entries,
    )


async def _book(
    connection: AsyncConnection,
    order_id: str,
    key: str,
    kind: Kind,
    *,
    currency: str,
    entries: Mapping[LedgerAccount, int],
) -> None:
    if not await book(connection, key, kind, currency, entries, order_id=order_id):
        raise LookupError(f"booking {key} stands already, and its payment does not know")
