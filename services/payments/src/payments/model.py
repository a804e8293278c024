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


class Account(StrEnum):
    """Accounts of the ledger. What comes into one is positive."""

    GATEWAY = "gateway"
    """What the gateway owes us."""
    SALES = "sales"
    """What customers paid for."""


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
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Books:
    """A payment with what the ledger says of it."""

    payment: Payment
    ledger: dict[str, int]
    """Net minor units by account."""
    balanced: bool
    """Whether every booking of the payment sums to 0."""
