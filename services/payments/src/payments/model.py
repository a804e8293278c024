"""What payments remembers: a payment, the state it is in, and its books."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class State(StrEnum):
    """Where a payment is."""

    AUTHORISING = "authorising"
    """The gateway is, or will be, asked to set the amount aside."""
    AUTHORISED = "authorised"
    DECLINED = "declined"
    CAPTURED = "captured"
    REVERSING = "reversing"
    """The fence: an undo has begun, and steps that arrive from here on are refused."""
    REVERSED = "reversed"

    @property
    def undone(self) -> bool:
        """Whether an undo was here."""
        return self in (State.REVERSING, State.REVERSED)


class Method(StrEnum):
    """What a payment is made with."""

    CARD = "card"
    STORE_CREDIT = "store_credit"


class LedgerAccount(StrEnum):
    """Accounts of the ledger. What comes into one is positive, so what we owe is negative."""

    GATEWAY = "gateway"
    """What the gateway owes us."""
    SALES = "sales"
    """What customers paid for."""
    STORE_CREDIT = "store_credit"
    """What we owe to all store-credit accounts: the negative of their balances."""
    RESERVED = "reserved"
    """Store credit set aside for orders."""
    FUNDING = "funding"
    """Where store credit comes from and goes to when an operator deposits and withdraws."""


class Kind(StrEnum):
    """Kinds of bookings."""

    CAPTURE = "capture"
    REFUND = "refund"
    DEPOSIT = "deposit"
    WITHDRAWAL = "withdrawal"
    RESERVE = "reserve"
    """Store credit is set aside for an order."""
    RELEASE = "release"
    """Store credit that was set aside is put back."""
    FENCE = "fence"
    """Moves nothing: it holds the key of a reservation that came too late, so that none ever stands under it."""


@dataclass(frozen=True, slots=True)
class Payment:
    """A payment's row. All amounts are minor units."""

    order_id: str
    state: State
    amount: int
    """0 where an undo came before its step."""
    currency: str | None
    voided: int
    captured: int
    refunded: int
    authorisation_id: str | None
    capture_id: str | None
    refund_id: str | None
    decline_reason: str | None
    reverse_reason: str | None
    capture_begun: bool
    """A capture may have left for the gateway already."""
    refund_begun: bool
    """A refund may have left for the gateway already."""
    account_id: str | None
    """The store-credit account that pays; None where a card does, or where only an undo was here."""
    created_at: datetime
    updated_at: datetime

    @property
    def method(self) -> Method:
        """What it is made with."""
        return Method.CARD if self.account_id is None else Method.STORE_CREDIT


@dataclass(frozen=True, slots=True)
class Books:
    """A payment with what the ledger says of it."""

    payment: Payment
    ledger: dict[str, int]
    """Net minor units by account."""
    balanced: bool
    """Whether every booking of the payment sums to 0."""


@dataclass(frozen=True, slots=True)
class Account:
    """A store-credit account's row."""

    account_id: str
    currency: str
    balance: int
    """Minor units, never below 0."""
    open: bool
    entries: int
    """How many bookings moved its balance."""
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class AccountBooks:
    """An account with what the ledger says of it."""

    account: Account
    ledger: int
    """The balance as the ledger has it, minor units."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One movement of a store-credit account."""

    booking_key: str
    account_id: str
    entry: int
    """Its number in the account, from 1."""
    kind: Kind
    amount: int
    """Minor units; negative where it left the account."""
    currency: str
    balance_after: int
    order_id: str | None
    booked_at: datetime
