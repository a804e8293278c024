"""The rules that the books of an order must obey. Pure: books and a clock in, violations out."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from waybill.audit.books import (
    AccountEntry,
    Books,
    Discrepancy,
    Effect,
    OrderEntry,
    PaymentEntry,
    ShipmentEntry,
    StockEntry,
)

SENT = frozenset({"fulfilled", "partially_fulfilled"})
"""Statuses of an order whose goods are on their way and paid."""
UNDONE = frozenset({"rejected", "cancelled", "failed"})
"""Statuses of an order of which nothing may be left."""
ON_THE_WAY = frozenset({"booked", "picked_up", "in_transit", "delivered", "returned", "lost"})
"""States of a parcel that a carrier has taken."""
NOT_BOOKED = frozenset({"cancelled", "refused"})
"""States of a parcel that no carrier has, or will have."""

STUCK_AFTER = timedelta(minutes=15)
"""An order that has not changed its status for so long is stuck."""
APPROVAL_PATIENCE = timedelta(hours=25)
"""As much for one that waits for an approver: they have 24 hours."""


RULES = ("order", "stock", "payment", "shipment", "effects", "message", "account", "stuck")
"""What an order, a shelf or an account can be at odds with."""


@dataclass(frozen=True, slots=True)
class Violation:
    """Something that must not be."""

    order_id: str
    rule: str
    """One of ``RULES``."""
    text: str

    def __str__(self) -> str:
        return f"{self.order_id}: {self.rule}: {self.text}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is to be said of one order."""

    order_id: str
    violations: tuple[Violation, ...]
    waits_for: str | None
    """What the order still has to do, or None if it is done."""


def judge(books: Books, now: datetime, stuck_after: timedelta = STUCK_AFTER) -> Verdict:
    """Judge the books of one order.

    Args:
        books: Of the order.
        now: Aware.
        stuck_after: How long an order may stay in one status.

    Returns:
        All violations, and whether the order is still under way. To be under way is none, to be stuck is one.
    """
    found = [*_always(books)]
    order = books.order
    waits_for: str | None = None
    if order is None:
        found.append(("order", f"the orchestrator does not know it, but {_and(_who_knows(books))} do"))
    elif not order.finished:
        waits_for = order.status
    elif order.status in SENT:
        found += [*_sent(order, books), *_told(order, books)]
    elif order.status in UNDONE:
        found += [*_undone(order, books), *_told(order, books)]
    else:
        found.append(("order", f"finished as {order.status!r}, which the audit does not know"))
    if order is not None and order.finished and not order.notified:
        waits_for = "sending its notification"
    if order is not None and waits_for is not None:
        patience = max(stuck_after, APPROVAL_PATIENCE) if order.status == "awaiting_approval" else stuck_after
        if now - order.updated_at > patience:
            found.append(("stuck", f"{waits_for} since {order.updated_at.isoformat(timespec='seconds')}"))
    return Verdict(books.order_id, tuple(Violation(books.order_id, *each) for each in found), waits_for)


def judge_shelf(shelf: Discrepancy) -> Violation:
    """A shelf that does not fit its movements and holds, as a violation."""
    text = f"{shelf.on_hand} on hand, {shelf.held} held, but movements say {shelf.moved}, holds say {shelf.lines}"
    return Violation(f"{shelf.sku} in {shelf.warehouse}", "stock", text)


def judge_account(account: AccountEntry) -> Iterator[Violation]:
    """What is wrong with a store-credit account."""
    if account.balance < 0:
        yield Violation(account.account_id, "account", f"the balance is {account.balance}")
    if not account.balanced or account.ledger != account.balance:
        text = f"the balance is {account.balance}, but its bookings come to {account.ledger}"
        yield Violation(account.account_id, "account", text)


Found = Iterator[tuple[str, str]]


def _always(books: Books) -> Found:
    """What must hold at any moment, also in mid-order."""
    if (stock := books.stock) is not None and (stock.held < 0 or stock.out < 0):
        yield "stock", f"{stock.held} units held and {stock.out} out"
    if (payment := books.payment) is not None:
        amount, captured, refunded = payment.amount, payment.captured, payment.refunded
        if not payment.balanced or sum(payment.ledger.values()) != 0:
            yield "payment", f"the ledger does not balance: {dict(payment.ledger)}"
        if not 0 <= refunded <= captured <= amount:
            yield "payment", f"amount {amount}, captured {captured}, refunded {refunded}: one is more than it can be"
    yield from _once(books.effects)


def _once(effects: Sequence[Effect]) -> Found:
    """Nothing happened twice, under one key or under two."""
    for (provider, kind, key), count in Counter((each.provider, each.kind, each.key) for each in effects).items():
        if count > 1:
            yield "effects", f"{kind} at {provider} happened {count} times under the key {key}"
    for kind in ("authorisation", "capture", "refund"):
        keys = sorted({effect.key for effect in effects if effect.kind == kind})
        if len(keys) > 1:
            yield "effects", f"{kind} happened under {len(keys)} keys: {_and(keys)}"
    for key, count in _live_bookings(effects).items():
        carriers = sorted({each.provider for each in effects if each.kind == "booking" and each.key == key})
        if count > 1 and len(carriers) > 1:
            yield "effects", f"{_and(carriers)} all come for the booking {key}"


def _sent(order: OrderEntry, books: Books) -> Found:
    """The goods are on their way, and paid."""
    if order.total is None or order.units is None or order.parcels is None:
        yield "order", f"{order.status} without a total, units or parcels"
    yield from _stock_sent(order, books.stock)
    yield from _payment_sent(order, books.payment)
    yield from _shipment_sent(order, books.shipment)
    taken, aside = _net(books.effects, "capture", "refund"), _net(books.effects, "authorisation", "void", "capture")
    due = (order.total or 0) if books.payment is None or books.payment.method == "card" else 0
    if taken != due:
        yield "effects", f"{order.status} for {order.total}, but the gateway took {taken}, not {due}"
    if aside != 0:
        yield "effects", f"{order.status}, but the gateway still holds {aside} of an authorisation"
    if (live := sum(_live_bookings(books.effects).values())) != order.parcels:
        yield "effects", f"{order.status} with {order.parcels} parcels, but carriers come for {live}"


def _stock_sent(order: OrderEntry, stock: StockEntry | None) -> Found:
    if stock is None:
        yield "stock", f"{order.status}, but inventory knows nothing of it"
    elif stock.state != "committed" or stock.held != 0 or stock.out != order.units:
        units = f"{stock.out} units out, {stock.held} held"
        yield "stock", f"{order.status} with {order.units} units, but the hold is {stock.state}: {units}"


def _payment_sent(order: OrderEntry, payment: PaymentEntry | None) -> Found:
    if payment is None:
        yield "payment", f"{order.status}, but payments knows nothing of it"
        return
    if payment.state != "captured":
        yield "payment", f"{order.status}, but the payment is {payment.state}"
    if payment.captured - payment.refunded != order.total or payment.currency != order.currency:
        said = f"{payment.captured} {payment.currency} captured, {payment.refunded} refunded"
        yield "payment", f"{order.status} for {order.total} {order.currency}, but {said}"


def _shipment_sent(order: OrderEntry, shipment: ShipmentEntry | None) -> Found:
    if shipment is None:
        yield "shipment", f"{order.status}, but shipping knows nothing of it"
        return
    if shipment.cancelled:
        yield "shipment", f"{order.status}, but the shipment is cancelled"
    if len(shipment.parcels) != order.parcels:
        yield "shipment", f"{order.status} with {order.parcels} parcels, but shipping has {len(shipment.parcels)}"
    for parcel in shipment.parcels:
        if parcel.state not in ON_THE_WAY or parcel.tracking_number is None:
            yield "shipment", f"{order.status}, but parcel {parcel.parcel} is {parcel.state} at {parcel.carrier}"


def _undone(order: OrderEntry, books: Books) -> Found:
    """It is as if the order had never been."""
    stock, payment, shipment = books.stock, books.payment, books.shipment
    if stock is not None and (stock.state not in {"released", "expired"} or stock.held != 0 or stock.out != 0):
        yield "stock", f"{order.status}, but the hold is {stock.state}: {stock.out} units out, {stock.held} held"
    if payment is not None:
        if payment.state not in {"declined", "reversed"}:
            yield "payment", f"{order.status}, but the payment is {payment.state}"
        if payment.captured != payment.refunded:
            yield "payment", f"{order.status}, but {payment.captured} captured, {payment.refunded} refunded"
    for parcel in () if shipment is None else shipment.parcels:
        if parcel.state not in NOT_BOOKED:
            yield "shipment", f"{order.status}, but parcel {parcel.parcel} is {parcel.state} at {parcel.carrier}"
    if (taken := _net(books.effects, "capture", "refund")) != 0:
        yield "effects", f"{order.status}, but the gateway took {taken} and did not give it back"
    if (aside := _net(books.effects, "authorisation", "void", "capture")) != 0:
        yield "effects", f"{order.status}, but the gateway still holds {aside} of an authorisation"
    if live := sum(_live_bookings(books.effects).values()):
        yield "effects", f"{order.status}, but carriers come for {live} parcels"


def _told(order: OrderEntry, books: Books) -> Found:
    """The customer was told how the order ended, once, and nothing else."""
    endings = [
        word
        for effect in books.effects
        if effect.kind == "message" and (word := effect.key.rpartition(":")[2]) in SENT | UNDONE
    ]
    if order.notified and endings.count(order.status) == 0:
        yield "message", f"{order.status} and notified, but no such message was sent"
    if wrong := sorted({word for word in endings if word != order.status}):
        yield "message", f"{order.status}, but the customer was told that it is {_and(wrong)}"


def _net(effects: Iterable[Effect], plus: str, *minus: str) -> int:
    """Minor units of one kind of effect, less those of others."""
    total = 0
    for effect in effects:
        if effect.kind == plus:
            total += effect.amount or 0
        elif effect.kind in minus:
            total -= effect.amount or 0
    return total


def _live_bookings(effects: Iterable[Effect]) -> Counter[str]:
    """How many carriers come for what was booked under each key."""
    live: Counter[str] = Counter()
    for effect in effects:
        if effect.kind == "booking":
            live[effect.key] += 1
        elif effect.kind == "cancellation":
            live[effect.key] -= 1
    return live


def _who_knows(books: Books) -> list[str]:
    said = {
        "inventory": books.stock,
        "payments": books.payment,
        "shipping": books.shipment,
        "the providers": books.effects,
    }
    return [name for name, entry in said.items() if entry]


def _and(words: list[str]) -> str:
    return " and ".join(words)
