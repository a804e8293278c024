"""What shipping promises to its callers, who need this file and nothing else of shipping, and keep a copy of it.

It imports the standard library and temporalio only, and it only ever grows (a new field has a default).
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

from temporalio import workflow

TASK_QUEUE = "shipping"

EXECUTION_TIMEOUT = timedelta(days=3)
"""Backstop for PlanShipment and BookShipment, for a queue that nobody polls. Undos and tracking have none."""

MAX_PARCELS = 20
"""Most parcels of one order."""

MAX_SECONDS = 10 * 365 * 24 * 3600
"""Longest limit of ``TrackRequest``: ten years."""

DELIVERY_PROGRESSED = "delivery_progressed"
"""Name of the signal that TrackShipment sends its parent, with a ``Delivery``, when its state or ``late`` changes."""

LOOK_AGAIN = "look_again"
"""Name of the signal, without argument, that tells TrackShipment that something new is stored about its parcel."""


class Refusal(StrEnum):
    """Types of the non-retryable application errors with which shipping refuses, as in ``ApplicationError.type``."""

    NO_CARRIER = "no_carrier"
    """No carrier gave a quote for a parcel in time; the message says what became of each."""
    BOOKING_REFUSED = "booking_refused"
    """The carrier that was planned does not take the parcel."""
    SHIPMENT_CANCELLED = "shipment_cancelled"
    """The order's shipment was cancelled already: a step that arrives after its undo does nothing."""
    NOT_BOOKED = "not_booked"
    """There is no booking of that parcel to track."""


class DeliveryState(StrEnum):
    """Where a parcel is."""

    BOOKED = "booked"
    PICKED_UP = "picked_up"
    IN_TRANSIT = "in_transit"
    DELIVERED = "delivered"
    """Last state: the customer has it."""
    RETURNED = "returned"
    """Last state: it came back."""
    LOST = "lost"
    """Last state: the carrier gave it up, or nothing was heard of it for the limit."""


FINAL_STATES = frozenset({DeliveryState.DELIVERED, DeliveryState.RETURNED, DeliveryState.LOST})


def _check_text(name: str, value: str) -> None:
    if not 1 <= len(value) <= 200 or not value.isprintable():
        raise ValueError(f"{name} has 1 to 200 characters, all printable")


@dataclass(frozen=True, slots=True)
class Address:
    """Where a parcel goes. Never logged."""

    name: str
    street: str
    city: str
    postcode: str
    country: str
    """ISO 3166-1 alpha-2 code."""


@dataclass(frozen=True, slots=True)
class Parcel:
    """What leaves one warehouse for one order.

    Raises:
        ValueError: If the number is not from 1 to ``MAX_PARCELS``, the weight not positive, or the warehouse empty.
    """

    number: int
    """From 1, within the order."""
    warehouse: str
    weight: int
    """Grams."""

    def __post_init__(self) -> None:
        if not 1 <= self.number <= MAX_PARCELS or self.weight < 1 or not self.warehouse:
            raise ValueError(f"a parcel has a number from 1 to {MAX_PARCELS}, a weight from 1, and a warehouse")


@dataclass(frozen=True, slots=True)
class PlanRequest:
    """Find the cheapest carrier for each parcel.

    Raises:
        ValueError: If there are no parcels, or too many, two have the same number, or the order id is no id.
    """

    order_id: str
    currency: str
    parcels: tuple[Parcel, ...]
    address: Address

    def __post_init__(self) -> None:
        _check_text("order_id", self.order_id)
        if not 1 <= len(self.parcels) <= MAX_PARCELS:
            raise ValueError(f"an order has 1 to {MAX_PARCELS} parcels, not {len(self.parcels)}")
        if len({parcel.number for parcel in self.parcels}) != len(self.parcels):
            raise ValueError("two parcels have the same number")


@dataclass(frozen=True, slots=True)
class PlannedParcel:
    """The carrier for one parcel."""

    parcel: Parcel
    carrier: str
    price: int
    """Minor units; what the carrier asks of us, not part of what the customer pays."""


@dataclass(frozen=True, slots=True)
class CarrierFailure:
    """A carrier that gave no quote, and why."""

    carrier: str
    reason: str
    parcel: int | None = None
    """The parcel it gave none for; None if it answered for no parcel at all."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A carrier for every parcel."""

    order_id: str
    currency: str
    parcels: tuple[PlannedParcel, ...]
    failures: tuple[CarrierFailure, ...] = ()


@dataclass(frozen=True, slots=True)
class BookRequest:
    """Hand one parcel to its carrier.

    Raises:
        ValueError: If the order id or the carrier is empty, too long, or has control characters.
    """

    order_id: str
    planned: PlannedParcel
    address: Address

    def __post_init__(self) -> None:
        _check_text("order_id", self.order_id)
        _check_text("carrier", self.planned.carrier)


@dataclass(frozen=True, slots=True)
class Booking:
    """The carrier takes the parcel."""

    order_id: str
    parcel: int
    carrier: str
    tracking_number: str
    promised_at: datetime | None = None
    """When it shall be delivered, UTC; TrackShipment tells when that passes without delivery."""


@dataclass(frozen=True, slots=True)
class Undo:
    """Undo what was done for an order. Success also where there is nothing to undo; what arrives later does nothing."""

    order_id: str
    reason: str

    def __post_init__(self) -> None:
        _check_text("order_id", self.order_id)


@dataclass(frozen=True, slots=True)
class Cancelled:
    """No carrier comes for the order's parcels."""

    order_id: str
    parcels: int
    """How many bookings were cancelled."""


@dataclass(frozen=True, slots=True)
class TrackRequest:
    """Follow one parcel until it is delivered, returned or lost.

    Raises:
        ValueError: If a limit is not from 1 to ``MAX_SECONDS``, or the order id or the parcel's number is none.
    """

    order_id: str
    parcel: int
    silence_seconds: int = 3 * 24 * 3600
    """How long to hear nothing before the carrier is asked and the silence is escalated."""
    lost_seconds: int = 30 * 24 * 3600
    """How long to hear nothing before the parcel counts as lost."""

    def __post_init__(self) -> None:
        _check_text("order_id", self.order_id)
        if not 1 <= self.parcel <= MAX_PARCELS:
            raise ValueError(f"a parcel has a number from 1 to {MAX_PARCELS}, not {self.parcel}")
        if not (1 <= self.silence_seconds <= MAX_SECONDS and 1 <= self.lost_seconds <= MAX_SECONDS):
            raise ValueError(f"silence_seconds and lost_seconds are from 1 to {MAX_SECONDS}")


@dataclass(frozen=True, slots=True)
class Delivery:
    """Where one parcel is."""

    order_id: str
    parcel: int
    state: DeliveryState
    at: datetime
    """When the carrier says that it happened, UTC."""
    promised_at: datetime | None = None
    """When it shall be delivered, by the newest word on that, if there is one."""
    late: bool = False
    """Whether ``promised_at`` passed without delivery. A later time that the carrier names takes it back."""


@workflow.defn(name="shipping.PlanShipment")
class PlanShipment(Protocol):
    """Asks all carriers and takes the cheapest that answers in time. Fails with ``no_carrier``."""

    @workflow.run
    async def run(self, request: PlanRequest) -> Plan:
        """Plan."""
        ...


@workflow.defn(name="shipping.BookShipment")
class BookShipment(Protocol):
    """Books one parcel. Fails with ``booking_refused`` or ``shipment_cancelled``."""

    @workflow.run
    async def run(self, request: BookRequest) -> Booking:
        """Book."""
        ...


@workflow.defn(name="shipping.CancelShipment")
class CancelShipment(Protocol):
    """Undo of all of an order's bookings. Never refuses."""

    @workflow.run
    async def run(self, undo: Undo) -> Cancelled:
        """Cancel."""
        ...


@workflow.defn(name="shipping.TrackShipment")
class TrackShipment(Protocol):
    """Follows one parcel, telling its parent of changes. Fails with ``not_booked`` or ``shipment_cancelled``."""

    @workflow.run
    async def run(self, request: TrackRequest) -> Delivery:
        """Follow."""
        ...


def plan_id(order_id: str) -> str:
    """Workflow id of an order's PlanShipment."""
    return f"plan:{order_id}"


def book_id(order_id: str, parcel: int) -> str:
    """Workflow id of the BookShipment of one parcel, from 1."""
    return f"book:{order_id}:{parcel}"


def cancel_id(order_id: str) -> str:
    """Workflow id of an order's CancelShipment."""
    return f"cancel:{order_id}"


def track_id(order_id: str, parcel: int) -> str:
    """Workflow id of the TrackShipment of one parcel, from 1."""
    return f"track:{order_id}:{parcel}"


def booking_key(order_id: str, parcel: int) -> str:
    """Idempotency key of one parcel's booking at its carrier."""
    return f"shipment:{order_id}:{parcel}:book"
