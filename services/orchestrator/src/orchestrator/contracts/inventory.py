"""What inventory promises to its callers.

A caller needs this file and nothing else of inventory: it imports the standard library and temporalio only, and it
only ever grows (a new field has a default). Whoever calls inventory keeps a copy of it.

Example, inside a caller's workflow::

    reservation = await workflow.execute_child_workflow(
        contract.ReserveStock.run,
        contract.ReserveRequest(order_id="A-1", currency="EUR", lines=(contract.Line("TEA-250", 2),)),
        id=contract.reserve_id("A-1"),
        task_queue=contract.TASK_QUEUE,
        execution_timeout=contract.EXECUTION_TIMEOUT,
    )
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

from temporalio import workflow

TASK_QUEUE = "inventory"

EXECUTION_TIMEOUT = timedelta(days=3)
"""Backstop for ReserveStock and CommitStock, for a queue that nobody polls. Undos have none: they must succeed."""

DEFAULT_HOLD = timedelta(hours=48)
"""How long units stay held if nobody commits or releases them: the 24 h of an approval, and as much in reserve."""

MAX_LINES = 100
"""Most lines of one order."""

MAX_QUANTITY = 10_000
"""Most units of one line."""

MAX_HOLD = timedelta(days=90)
"""Longest hold."""

MAX_NAME = 200
"""Most characters of an order id, a SKU, a currency."""


class Refusal(StrEnum):
    """Types of the non-retryable application errors with which inventory refuses, as in ``ApplicationError.type``."""

    UNKNOWN_SKU = "unknown_sku"
    """A line names a SKU that the catalogue does not have."""
    OUT_OF_STOCK = "out_of_stock"
    """Too few units, and the order takes no part of it; or none of any line."""
    WRONG_CURRENCY = "wrong_currency"
    """A SKU has no price in the currency of the order."""
    HOLD_EXPIRED = "hold_expired"
    """The hold ran out before it was committed; its units are free again."""
    HOLD_RELEASED = "hold_released"
    """The order's stock was released already: a step that arrives after its undo does nothing."""
    HOLD_MISSING = "hold_missing"
    """There is no hold to commit."""
    REQUEST_DIFFERS = "request_differs"
    """The order holds stock already, for other lines or in another currency."""


def _require_name(field: str, value: str) -> None:
    """Names go into ids, keys and URLs: visible characters only, and not without end."""
    if not value:
        raise ValueError(f"{field} is empty")
    if len(value) > MAX_NAME:
        raise ValueError(f"{field} has {len(value)} characters, more than {MAX_NAME}")
    if not value.isprintable():
        raise ValueError(f"{field} contains control characters")


@dataclass(frozen=True, slots=True)
class Line:
    """Units of one SKU.

    Raises:
        ValueError: If the quantity is not from 1 to ``MAX_QUANTITY``, or the SKU is empty, too long or not printable.
    """

    sku: str
    quantity: int

    def __post_init__(self) -> None:
        _require_name("sku", self.sku)
        if not 1 <= self.quantity <= MAX_QUANTITY:
            raise ValueError(f"quantity of {self.sku} is {self.quantity}, not from 1 to {MAX_QUANTITY}")


@dataclass(frozen=True, slots=True)
class ReserveRequest:
    """Hold stock for an order.

    Raises:
        ValueError: If there are no lines or too many, a SKU stands in two lines, the hold's length is not from one
            second to ``MAX_HOLD``, or a name is empty, too long or not printable.
    """

    order_id: str
    currency: str
    """ISO 4217 code in which the lines are priced."""
    lines: tuple[Line, ...]
    allow_partial: bool = False
    """Take what there is, rather than all or nothing."""
    hold_seconds: int = int(DEFAULT_HOLD.total_seconds())
    """How long the units stay held."""

    def __post_init__(self) -> None:
        _require_name("order_id", self.order_id)
        _require_name("currency", self.currency)
        if not 1 <= len(self.lines) <= MAX_LINES:
            raise ValueError(f"an order has 1 to {MAX_LINES} lines, not {len(self.lines)}")
        if len({line.sku for line in self.lines}) != len(self.lines):
            raise ValueError("a SKU stands in two lines")
        if not 1 <= self.hold_seconds <= MAX_HOLD.total_seconds():
            raise ValueError(f"hold_seconds is {self.hold_seconds}, not from 1 to {MAX_HOLD.total_seconds():.0f}")


@dataclass(frozen=True, slots=True)
class ReservedLine:
    """Units of one SKU held in one warehouse. A line that is split over warehouses comes back as several."""

    sku: str
    quantity: int
    warehouse: str
    unit_price: int
    """Minor units of the reservation's currency."""
    unit_weight: int
    """Grams."""


@dataclass(frozen=True, slots=True)
class Reservation:
    """What is held for an order, and at which prices."""

    order_id: str
    currency: str
    total: int
    """Price of all held units, minor units."""
    lines: tuple[ReservedLine, ...]
    missing: tuple[Line, ...]
    """What was asked for and is not held; empty unless the request allows a part."""
    expires_at: datetime
    """When the hold runs out, UTC."""


@dataclass(frozen=True, slots=True)
class CommitRequest:
    """Take the held units out of stock: they leave the warehouse with the parcel.

    Raises:
        ValueError: If the order id is empty, too long or not printable.
    """

    order_id: str

    def __post_init__(self) -> None:
        _require_name("order_id", self.order_id)


@dataclass(frozen=True, slots=True)
class Committed:
    """The order's held units have left the stock."""

    order_id: str
    units: int


@dataclass(frozen=True, slots=True)
class Undo:
    """Undo what was done for an order. Success also where there is nothing to undo; what arrives later does nothing.

    Raises:
        ValueError: If the order id is empty, too long or not printable.
    """

    order_id: str
    reason: str
    """For people who read the books later; any text."""

    def __post_init__(self) -> None:
        _require_name("order_id", self.order_id)


@dataclass(frozen=True, slots=True)
class Released:
    """Stock is as if the order had never been."""

    order_id: str
    units: int
    """How many units became free, or came back; 0 if there was nothing to undo."""


@workflow.defn(name="inventory.ReserveStock")
class ReserveStock(Protocol):
    """Prices the lines and holds the units.

    Fails with ``unknown_sku``, ``wrong_currency``, ``out_of_stock`` or ``hold_released``; asked again for an order
    whose hold ran out with ``hold_expired``, asked again for something else with ``request_differs``.
    """

    @workflow.run
    async def run(self, request: ReserveRequest) -> Reservation:
        """Reserve."""
        ...


@workflow.defn(name="inventory.CommitStock")
class CommitStock(Protocol):
    """Takes the held units out of stock. Fails with ``hold_expired``, ``hold_released`` or ``hold_missing``."""

    @workflow.run
    async def run(self, request: CommitRequest) -> Committed:
        """Commit."""
        ...


@workflow.defn(name="inventory.ReleaseStock")
class ReleaseStock(Protocol):
    """Undo of both: releases a hold, or puts committed units back. Never refuses."""

    @workflow.run
    async def run(self, undo: Undo) -> Released:
        """Release."""
        ...


def reserve_id(order_id: str) -> str:
    """Workflow id of an order's ReserveStock."""
    return f"reserve:{order_id}"


def commit_id(order_id: str) -> str:
    """Workflow id of an order's CommitStock."""
    return f"commit:{order_id}"


def release_id(order_id: str) -> str:
    """Workflow id of an order's ReleaseStock."""
    return f"release:{order_id}"
