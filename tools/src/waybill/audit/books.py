"""What each service, and the world outside, say of one order."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any


class BooksError(Exception):
    """Books cannot be read: nobody answers, or the answer is not what the audit knows."""


@dataclass(frozen=True, slots=True)
class OrderEntry:
    """The orchestrator's."""

    order_id: str
    status: str
    finished: bool
    reason: str | None
    currency: str
    total: int | None
    """What the customer pays, minor units."""
    units: int | None
    """How many units are held or sent."""
    parcels: int | None
    updated_at: datetime
    notified: bool


@dataclass(frozen=True, slots=True)
class StockEntry:
    """Inventory's."""

    order_id: str
    state: str
    held: int
    """Units held now."""
    out: int
    """Units that left the stock, less those put back."""


@dataclass(frozen=True, slots=True)
class PaymentEntry:
    """Payments'. Amounts are minor units."""

    order_id: str
    state: str
    amount: int
    currency: str | None
    captured: int
    refunded: int
    ledger: Mapping[str, int]
    """Net amount of each account."""
    balanced: bool
    method: str = "card"
    """``card``, which the gateway must know of, or ``store_credit``, of which it must know nothing."""


@dataclass(frozen=True, slots=True)
class ParcelEntry:
    """One parcel of shipping's."""

    parcel: int
    carrier: str
    state: str
    tracking_number: str | None


@dataclass(frozen=True, slots=True)
class ShipmentEntry:
    """Shipping's."""

    order_id: str
    cancelled: bool
    parcels: tuple[ParcelEntry, ...]


@dataclass(frozen=True, slots=True)
class Effect:
    """Something that happened at a provider. A second one under the same key is one too many."""

    provider: str
    kind: str
    key: str
    amount: int | None = None
    requests: int = 1


@dataclass(frozen=True, slots=True)
class Discrepancy:
    """A shelf whose stock is not what movements and holds say."""

    sku: str
    warehouse: str
    on_hand: int
    moved: int
    held: int
    lines: int


@dataclass(frozen=True, slots=True)
class AccountEntry:
    """A store-credit account of payments'. Amounts are minor units."""

    account_id: str
    balance: int
    ledger: int
    """What its bookings come to."""
    balanced: bool


@dataclass(frozen=True, slots=True)
class Books:
    """All that is said of one order; None where somebody has nothing to say."""

    order_id: str
    order: OrderEntry | None = None
    stock: StockEntry | None = None
    payment: PaymentEntry | None = None
    shipment: ShipmentEntry | None = None
    effects: tuple[Effect, ...] = ()


def order_entry(item: Mapping[str, Any]) -> OrderEntry:
    """From an item of the orchestrator's ``/audit``."""
    return OrderEntry(
        order_id=item["order_id"],
        status=item["status"],
        finished=item["finished"],
        reason=item["reason"],
        currency=item["currency"],
        total=item["total"],
        units=item["units"],
        parcels=item["parcels"],
        updated_at=datetime.fromisoformat(item["updated_at"]),
        notified=item["notified"],
    )


def stock_entry(item: Mapping[str, Any]) -> StockEntry:
    """From an item of inventory's ``/audit``."""
    return StockEntry(item["order_id"], item["state"], item["held"], item["out"])


def payment_entry(item: Mapping[str, Any]) -> PaymentEntry:
    """From an item of payments' ``/audit``."""
    return PaymentEntry(
        order_id=item["order_id"],
        state=item["state"],
        amount=item["amount"],
        currency=item["currency"],
        captured=item["captured"],
        refunded=item["refunded"],
        ledger=dict(item["ledger"]),
        balanced=item["balanced"],
        method=item["method"],
    )


def shipment_entry(item: Mapping[str, Any]) -> ShipmentEntry:
    """From an item of shipping's ``/audit``."""
    parcels = tuple(
        ParcelEntry(parcel["parcel"], parcel["carrier"], parcel["state"], parcel["tracking_number"])
        for parcel in item["parcels"]
    )
    return ShipmentEntry(item["order_id"], item["cancelled"], parcels)


def effects_of(item: Mapping[str, Any]) -> tuple[Effect, ...]:
    """From an item of the sandbox's ``/audit``."""
    return tuple(
        Effect(effect["provider"], effect["kind"], effect["key"], effect["amount"], effect["requests"])
        for effect in item["effects"]
    )


def account_entry(item: Mapping[str, Any]) -> AccountEntry:
    """From an item of payments' ``/accounts``."""
    return AccountEntry(item["account_id"], item["balance"], item["ledger"], item["balanced"])


def discrepancy(item: Mapping[str, Any]) -> Discrepancy:
    """From an item of inventory's ``/audit/stock``."""
    return Discrepancy(**{name: item[name] for name in Discrepancy.__slots__})


def gather(
    orders: Iterable[OrderEntry],
    *,
    stock: Iterable[StockEntry],
    payments: Iterable[PaymentEntry],
    shipments: Iterable[ShipmentEntry],
    effects: Mapping[str, tuple[Effect, ...]],
    newer: Iterable[OrderEntry] = (),
) -> list[Books]:
    """Put together what is said of each order.

    Args:
        orders: Read before everything else: what it calls finished, the others had finished before they were read.
        stock: Read after them, as the next three.
        payments: Of all orders.
        shipments: Of all orders.
        effects: By order id.
        newer: The orchestrator's books again, read after everything else: who is only there came in meanwhile, and is
            in flight as far as the other books can tell.

    Returns:
        One for each order that anybody knows, by order id.
    """
    first = {entry.order_id: entry for entry in orders}
    known = {entry.order_id: replace(entry, finished=False) for entry in newer} | first
    by_stock = {entry.order_id: entry for entry in stock}
    by_payment = {entry.order_id: entry for entry in payments}
    by_shipment = {entry.order_id: entry for entry in shipments}
    return [
        Books(
            order_id,
            known.get(order_id),
            by_stock.get(order_id),
            by_payment.get(order_id),
            by_shipment.get(order_id),
            effects.get(order_id, ()),
        )
        for order_id in sorted(known.keys() | by_stock.keys() | by_payment.keys() | by_shipment.keys() | effects.keys())
    ]
