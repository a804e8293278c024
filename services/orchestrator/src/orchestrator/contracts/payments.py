"""What payments promises to its callers.

A caller needs this file and nothing else of payments: it imports the standard library and temporalio only, and it
only ever grows (a new field has a default). Whoever calls payments keeps a copy of it.
"""

import re
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Protocol

from temporalio import workflow

TASK_QUEUE = "payments"

EXECUTION_TIMEOUT = timedelta(days=3)
"""Backstop for AuthorisePayment, for a queue that nobody polls. CapturePayment and the undo have none."""

MAX_AMOUNT = 10**11
"""Most minor units of one payment."""

MAX_ORDER_ID = 200
"""Most characters of an order's id."""

ACCOUNT_ID = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
"""What the id of a store-credit account looks like."""


class Refusal(StrEnum):
    """Types of the non-retryable application errors with which payments refuses, as in ``ApplicationError.type``."""

    DECLINED = "declined"
    """Declined; the message carries the reason. A card's is the gateway's (``do_not_honour``, ``insufficient_funds``,
    …), store credit's one of ``insufficient_funds``, ``unknown_account``, ``account_closed``, ``currency_mismatch``."""
    PAYMENT_REVERSED = "payment_reversed"
    """The order's payment was reversed already: a step that arrives after its undo does nothing."""
    PAYMENT_MISSING = "payment_missing"
    """There is no authorised payment to capture."""
    PAYMENT_CONFLICT = "payment_conflict"
    """The order has a payment of another amount, currency, card or account already."""


def check_account_id(account_id: str) -> None:
    """Refuse what cannot be the id of a store-credit account.

    Raises:
        ValueError: Naming ``account_id``.
    """
    if re.fullmatch(ACCOUNT_ID, account_id) is None:
        raise ValueError("account_id must be 1 to 64 letters, digits, '.', '_' or '-', the first a letter or digit")


def _check_order_id(order_id: str) -> None:
    if not order_id or len(order_id) > MAX_ORDER_ID or not order_id.isprintable():
        raise ValueError(f"order_id must be 1 to {MAX_ORDER_ID} printable characters")


@dataclass(frozen=True, slots=True)
class AuthoriseRequest:
    """Set an amount aside, on a card or on a store-credit account.

    Raises:
        ValueError: If the amount is not from 1 to ``MAX_AMOUNT``, the currency is no code, there is neither a token nor
            an account or there are both, one of them cannot be one, or the order's id is empty, too long or not
            printable.
    """

    order_id: str
    amount: int
    """Minor units."""
    currency: str
    """ISO 4217 code."""
    card_token: str
    """The gateway's token for the card; empty where an account pays. Card numbers never come here."""
    account_id: str = ""
    """The store-credit account that pays; empty where a card does."""

    def __post_init__(self) -> None:
        _check_order_id(self.order_id)
        if len(self.currency) != 3 or not (self.currency.isascii() and self.currency.isupper()):
            raise ValueError("currency must be three capital letters")
        if self.account_id:
            check_account_id(self.account_id)
            if self.card_token:
                raise ValueError("card_token must be empty where account_id is not: one of them pays")
        elif not self.card_token or not self.card_token.isprintable():
            raise ValueError("card_token must be printable and not empty")
        if not 1 <= self.amount <= MAX_AMOUNT:
            raise ValueError(f"amount is {self.amount}, not from 1 to {MAX_AMOUNT}")


@dataclass(frozen=True, slots=True)
class Authorisation:
    """The amount is set aside."""

    order_id: str
    amount: int
    currency: str
    authorisation_id: str
    """The gateway's name for it; where store credit pays, the booking's key."""


@dataclass(frozen=True, slots=True)
class CaptureRequest:
    """Take the amount that was set aside.

    Raises:
        ValueError: If the order's id is empty, too long or not printable.
    """

    order_id: str

    def __post_init__(self) -> None:
        _check_order_id(self.order_id)


@dataclass(frozen=True, slots=True)
class Capture:
    """The amount is taken."""

    order_id: str
    amount: int
    currency: str
    capture_id: str
    """The gateway's name for it; where store credit pays, the booking's key."""


@dataclass(frozen=True, slots=True)
class Undo:
    """Undo what was done for an order. Success also where there is nothing to undo; what arrives later does nothing.

    Raises:
        ValueError: If the order's id is empty, too long or not printable.
    """

    order_id: str
    reason: str

    def __post_init__(self) -> None:
        _check_order_id(self.order_id)


@dataclass(frozen=True, slots=True)
class Reversed:
    """The customer has the money, as if the order had never been."""

    order_id: str
    voided: int
    """Minor units set free; 0 if none were set aside."""
    refunded: int
    """Minor units paid back; 0 if none were taken."""


@workflow.defn(name="payments.AuthorisePayment")
class AuthorisePayment(Protocol):
    """Sets the amount aside. Fails with ``declined``, ``payment_reversed`` or ``payment_conflict``."""

    @workflow.run
    async def run(self, request: AuthoriseRequest) -> Authorisation:
        """Called by the server. A caller names it: ``execute_child_workflow(AuthorisePayment.run, …)``."""
        ...


@workflow.defn(name="payments.CapturePayment")
class CapturePayment(Protocol):
    """Takes the amount. Fails with ``payment_missing``, ``payment_reversed``, or ``declined`` (it lapsed)."""

    @workflow.run
    async def run(self, request: CaptureRequest) -> Capture:
        """Called by the server."""
        ...


@workflow.defn(name="payments.ReversePayment")
class ReversePayment(Protocol):
    """Undo of both: voids or refunds, whichever is right. Never refuses."""

    @workflow.run
    async def run(self, undo: Undo) -> Reversed:
        """Called by the server."""
        ...


def authorise_id(order_id: str) -> str:
    """Workflow id of an order's AuthorisePayment."""
    return f"authorise:{order_id}"


def capture_id(order_id: str) -> str:
    """Workflow id of an order's CapturePayment."""
    return f"capture:{order_id}"


def reverse_id(order_id: str) -> str:
    """Workflow id of an order's ReversePayment."""
    return f"reverse:{order_id}"


def authorise_key(order_id: str) -> str:
    """Idempotency key of the authorisation, at the gateway or in the ledger."""
    return f"payment:{order_id}:authorise"


def capture_key(order_id: str) -> str:
    """Idempotency key of the capture, at the gateway or in the ledger."""
    return f"payment:{order_id}:capture"


def refund_key(order_id: str) -> str:
    """Idempotency key of the refund, at the gateway or in the ledger."""
    return f"payment:{order_id}:refund"
