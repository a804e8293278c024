"""What the orchestrator promises to its clients: the order's workflow, its states, and how it ends.

It imports the standard library and temporalio only, and it only ever grows (a new field has a default).
"""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

from temporalio import workflow
from temporalio.common import Priority

TASK_QUEUE = "orchestrator"

CUSTOMER = Priority(priority_key=1)
"""Of the order that a customer placed, and by inheritance of all that it starts."""

MAX_LINES = 100
MAX_QUANTITY = 10_000
"""Most units of one line. Inventory holds the same limits."""
MAX_PARCELS = 20
MAX_TEXT = 200
MAX_NOTE = 500
MAX_REVIEW = timedelta(days=3650)

APPROVAL_LIMIT = timedelta(hours=24)
"""Longest wait for an approver."""

HOLD_RESERVE = timedelta(hours=24)
"""How much longer than the approval may take the stock stays held, for what comes after it."""


class Status(StrEnum):
    """Where an order is."""

    ACCEPTED = "accepted"
    RESERVING = "reserving"
    AWAITING_APPROVAL = "awaiting_approval"
    AUTHORISING = "authorising"
    BOOKING = "booking"
    COMMITTING = "committing"
    CAPTURING = "capturing"
    """The pivot: from here an order can no longer be cancelled."""
    COMPENSATING = "compensating"
    FULFILLED = "fulfilled"
    PARTIALLY_FULFILLED = "partially_fulfilled"
    REJECTED = "rejected"
    """Somebody said no; the reason says who and why."""
    CANCELLED = "cancelled"
    FAILED = "failed"
    """What nobody foresaw."""


FINISHED = frozenset({Status.FULFILLED, Status.PARTIALLY_FULFILLED, Status.REJECTED, Status.CANCELLED, Status.FAILED})


class Refusal(StrEnum):
    """The orchestrator's own reasons to reject an order, and to refuse an update (``ApplicationError.type``)."""

    PRICE_CHANGED = "price_changed"
    """The customer expected another total."""
    TOTAL_OUT_OF_RANGE = "total_out_of_range"
    """The total is nothing, or more than one payment takes."""
    TOO_MANY_PARCELS = "too_many_parcels"
    """The goods lie in more warehouses than one shipment has parcels."""
    APPROVAL_REFUSED = "approval_refused"
    APPROVAL_TIMED_OUT = "approval_timed_out"
    NOT_AWAITING_APPROVAL = "not_awaiting_approval"
    """An approval for an order that does not wait for one, or has another one already."""
    TOO_LATE_TO_CANCEL = "too_late_to_cancel"
    """Capture has begun, or the order has ended."""


def _check(name: str, value: str, least: int = 1, most: int = MAX_TEXT) -> None:
    if not least <= len(value) <= most or not value.isprintable():
        raise ValueError(f"{name} must be {least} to {most} printable characters")


def _check_follow(order_id: str, email: str, review_seconds: int) -> None:
    _check("order_id", order_id)
    if not email.isprintable() or re.fullmatch(r"[^@\s]{1,64}@[^@\s]{1,190}", email) is None:
        raise ValueError("email is no address")
    if not 0 <= review_seconds <= MAX_REVIEW.total_seconds():
        raise ValueError(f"review_seconds is {review_seconds}, not from 0 to {MAX_REVIEW.total_seconds():.0f}")


@dataclass(frozen=True, slots=True)
class OrderLine:
    """Units of one SKU.

    Raises:
        ValueError: If the quantity is not from 1 to ``MAX_QUANTITY``, or the SKU is no text of visible characters.
    """

    sku: str
    quantity: int

    def __post_init__(self) -> None:
        _check("sku", self.sku)
        if not 1 <= self.quantity <= MAX_QUANTITY:
            raise ValueError(f"quantity of {self.sku} is {self.quantity}, not from 1 to {MAX_QUANTITY}")


@dataclass(frozen=True, slots=True)
class Address:
    """Where the goods go. Never logged."""

    name: str
    street: str
    city: str
    postcode: str
    country: str
    """ISO 3166-1 alpha-2 code."""

    def __post_init__(self) -> None:
        for name in ("name", "street", "city", "postcode", "country"):
            _check(name, getattr(self, name))


@dataclass(frozen=True, slots=True)
class Order:
    """What a customer wants, and the terms that were in force when it was accepted.

    Raises:
        ValueError: If something is what no other service takes, nothing or two things are to pay, or a limit is none.
    """

    order_id: str
    currency: str
    """ISO 4217 code."""
    lines: tuple[OrderLine, ...]
    card_token: str
    """The gateway's token for the card; empty where store credit pays. Card numbers never come here."""
    address: Address
    email: str
    """Where messages about the order go. Never logged."""
    allow_partial: bool = False
    """Send what there is, rather than all or nothing."""
    expected_total: int | None = None
    """What the customer expects to pay, minor units; another price rejects the order."""
    approval_threshold: int = 100_000
    """Totals above this, in minor units, wait for an approver."""
    approval_seconds: int = int(APPROVAL_LIMIT.total_seconds())
    """How long they wait."""
    review_seconds: int = 30 * 24 * 3600
    """How long after delivery the customer is asked for a review."""
    account_id: str = ""
    """The store-credit account that pays; empty where a card does."""

    def __post_init__(self) -> None:
        _check_follow(self.order_id, self.email, self.review_seconds)
        if re.fullmatch(r"[A-Z]{3}", self.currency) is None:
            raise ValueError("currency must be three capital letters")
        _check("card_token", self.card_token, 0)
        if self.account_id and re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", self.account_id) is None:
            raise ValueError("account_id is no id of an account")
        if bool(self.card_token) == bool(self.account_id):
            raise ValueError("either card_token or account_id pays, and the other is empty")
        if not 1 <= len(self.lines) <= MAX_LINES:
            raise ValueError(f"an order has 1 to {MAX_LINES} lines, not {len(self.lines)}")
        if len({line.sku for line in self.lines}) != len(self.lines):
            raise ValueError("a SKU stands in two lines")
        if self.approval_threshold < 0 or not 1 <= self.approval_seconds <= APPROVAL_LIMIT.total_seconds():
            raise ValueError("approval_threshold must not be negative, and approval_seconds be from 1 s to 24 h")


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an order ended."""

    order_id: str
    status: Status
    reason: str | None = None
    """For ``rejected``, ``cancelled`` and ``failed``: a word of a contract's ``Refusal``, or who cancelled."""
    detail: str | None = None
    """The reason in plain words."""
    total: int | None = None
    """What the customer pays, minor units."""
    tracking_numbers: tuple[str, ...] = ()
    missing: tuple[OrderLine, ...] = ()
    """What a partially fulfilled order lacks: it was not in stock. It is not ordered again, and not paid."""


@dataclass(frozen=True, slots=True)
class Decision:
    """An approver's word.

    Raises:
        ValueError: If nobody signs it, or the note is too long or not printable.
    """

    approved: bool
    approver: str
    note: str = ""

    def __post_init__(self) -> None:
        _check("approver", self.approver)
        _check("note", self.note, 0, MAX_NOTE)


@dataclass(frozen=True, slots=True)
class CancelRequest:
    """A customer does not want the order any more."""

    reason: str = ""

    def __post_init__(self) -> None:
        _check("reason", self.reason, 0, MAX_NOTE)


@dataclass(frozen=True, slots=True)
class Approval:
    """What became of an order's approval. All times are UTC."""

    requested_at: datetime
    deadline: datetime
    reminded_at: datetime | None = None
    """When the approver was reminded."""
    escalated_at: datetime | None = None
    """When somebody else was told that the approval is still missing."""
    decided_at: datetime | None = None
    decided_by: str | None = None
    decision: str | None = None
    """``approve`` or ``refuse``."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Where an order is, as its workflow knows it."""

    order_id: str
    status: Status
    total: int | None = None
    """Minor units, once the stock is priced."""
    decision: Decision | None = None
    """Who decided, where an approval was needed."""
    approval: Approval | None = None
    """When it was asked for, reminded of and decided, where it was needed."""


@workflow.defn(name="orchestrator.FulfilOrder")
class FulfilOrder(Protocol):
    """One order from stock to the carrier. Completes with an ``Outcome`` whatever it is.

    Only a Temporal cancellation ends it otherwise: as cancelled, after everything is undone.
    """

    @workflow.run
    async def run(self, order: Order) -> Outcome: ...

    @workflow.update
    async def decide(self, decision: Decision) -> Progress:
        """Approve or refuse. Refused with ``not_awaiting_approval``."""
        ...

    @workflow.update
    async def cancel(self, request: CancelRequest) -> Progress:
        """Cancel and undo. Refused with ``too_late_to_cancel``."""
        ...

    @workflow.query
    def progress(self) -> Progress:
        """Where the order is."""
        ...


@dataclass(frozen=True, slots=True)
class FollowRequest:
    """Follow an order's parcels to the customer's door."""

    order_id: str
    parcels: int
    email: str
    review_seconds: int

    def __post_init__(self) -> None:
        _check_follow(self.order_id, self.email, self.review_seconds)
        if not 1 <= self.parcels <= MAX_PARCELS:
            raise ValueError(f"an order has 1 to {MAX_PARCELS} parcels, not {self.parcels}")


@dataclass(frozen=True, slots=True)
class ParcelDelivery:
    """Where one parcel is."""

    parcel: int
    state: str
    at: datetime
    """When the carrier says that it happened, UTC."""


@dataclass(frozen=True, slots=True)
class Deliveries:
    """Where all parcels of an order are."""

    order_id: str
    parcels: tuple[ParcelDelivery, ...]


@workflow.defn(name="orchestrator.FollowDelivery")
class FollowDelivery(Protocol):
    """Keeps an order's delivery state, and asks for a review some time after the last parcel came."""

    @workflow.run
    async def run(self, request: FollowRequest) -> Deliveries: ...


def fulfil_id(order_id: str) -> str:
    """Workflow id of an order's FulfilOrder."""
    return f"fulfil:{order_id}"


def follow_id(order_id: str) -> str:
    """Workflow id of an order's FollowDelivery."""
    return f"follow:{order_id}"


APPROVAL_REMINDER = "approval_reminder"
"""Template of the message to the approver at half of the time."""
APPROVAL_ESCALATED = "approval_escalated"
"""Template of the message to somebody else shortly before the end."""


def message_key(order_id: str, template: str) -> str:
    """Idempotency key of one message about an order."""
    return f"order:{order_id}:message:{template}"
