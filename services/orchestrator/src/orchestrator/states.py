"""What workflows say of orders and their parcels, for the orders table."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping

from orchestrator.contract import Status


@dataclass(frozen=True, slots=True)
class Passed:
    """A state that an order went through without a write of its own.

    Attributes:
        sequence: See ``State``.
    """

    sequence: int
    status: Status
    at: datetime


@dataclass(frozen=True, slots=True)
class State:
    """What FulfilOrder says of its order, at one moment.

    Attributes:
        sequence: Grows with each state of an order, also over a reset. An older state never replaces a newer one.
        lines: SKU and quantity, as ordered; they make the row of an order that did not come through the intake.
        passed: Which states it went through since the last write, in order.
    """

    order_id: str
    sequence: int
    status: Status
    at: datetime
    currency: str
    lines: tuple[tuple[str, int], ...]
    reason: str | None = None
    detail: str | None = None
    total: int | None = None
    units: int | None = None
    parcels: int | None = None
    tracking_numbers: tuple[str, ...] = ()
    decision: dict[str, Any] | None = None
    approval: dict[str, Any] | None = None
    missing: tuple[tuple[str, int], ...] = ()
    passed: tuple[Passed, ...] = ()


@dataclass(frozen=True, slots=True)
class DeliveryState:
    """What FollowDelivery says of an order's parcels, at one moment."""

    order_id: str
    sequence: int
    parcels: tuple[dict[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Accepted:
    """What came of an intake.

    Attributes:
        row: The order's row, new or found.
        new: Whether this call wrote it.
    """

    row: RowMapping
    new: bool
