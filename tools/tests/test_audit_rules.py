from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from waybill.audit.books import (
    AccountEntry,
    Books,
    Discrepancy,
    Effect,
    OrderEntry,
    ParcelEntry,
    PaymentEntry,
    ShipmentEntry,
    StockEntry,
    gather,
)
from waybill.audit.rules import judge, judge_account, judge_shelf

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
ORDER = OrderEntry("A", "fulfilled", True, None, "EUR", 2500, 2, 1, NOW, notified=True)
STOCK = StockEntry("A", "committed", 0, 2)
PAYMENT = PaymentEntry("A", "captured", 2500, "EUR", 2500, 0, {"gateway": 2500, "sales": -2500}, balanced=True)
PARCEL = ParcelEntry(1, "steady", "in_transit", "ST1")
SHIPMENT = ShipmentEntry("A", cancelled=False, parcels=(PARCEL,))
AUTHORISED = Effect("gateway", "authorisation", "payment:A:authorise", 2500, requests=3)
VOIDED = Effect("gateway", "void", "payment:A:authorise", 2500)
CAPTURED = Effect("gateway", "capture", "payment:A:capture", 2500)
REFUNDED = Effect("gateway", "refund", "payment:A:refund", 2500)
BOOKED = Effect("steady", "booking", "shipment:A:1:book")
CANCELLED = Effect("steady", "cancellation", "shipment:A:1:book")
TOLD = Effect("mailbox", "message", "order:A:message:fulfilled")
SENT = Books("A", ORDER, STOCK, PAYMENT, SHIPMENT, (AUTHORISED, CAPTURED, BOOKED, TOLD))

REJECTED_ORDER = replace(ORDER, status="rejected", reason="no_carrier")
REJECTED_TOLD = Effect("mailbox", "message", "order:A:message:rejected")
UNDONE = Books(
    "A",
    REJECTED_ORDER,
    StockEntry("A", "released", 0, 0),
    replace(PAYMENT, state="reversed", captured=0, ledger={}),
    ShipmentEntry("A", cancelled=True, parcels=(replace(PARCEL, state="cancelled", tracking_number=None),)),
    (AUTHORISED, VOIDED, BOOKED, CANCELLED, REJECTED_TOLD),
)


def texts(books: Books, now: datetime = NOW) -> list[str]:
    return [str(violation) for violation in judge(books, now).violations]


GOOD = {
    "sent": SENT,
    "sent in two parcels": replace(
        SENT,
        order=replace(ORDER, parcels=2),
        shipment=replace(SHIPMENT, parcels=(PARCEL, replace(PARCEL, parcel=2, state="booked"))),
        effects=(*SENT.effects, replace(BOOKED, key="shipment:A:2:book")),
    ),
    "partially sent": replace(
        SENT,
        order=replace(ORDER, status="partially_fulfilled"),
        effects=(AUTHORISED, CAPTURED, BOOKED, replace(TOLD, key="order:A:message:partially_fulfilled")),
    ),
    "sent and asked for a review": replace(
        SENT, effects=(*SENT.effects, Effect("mailbox", "message", "order:A:message:review"))
    ),
    "sent and returned": replace(SENT, shipment=replace(SHIPMENT, parcels=(replace(PARCEL, state="returned"),))),
    "booked again by another carrier after a cancellation": replace(
        SENT, effects=(AUTHORISED, CAPTURED, BOOKED, CANCELLED, replace(BOOKED, provider="swift"), TOLD)
    ),
    "undone": UNDONE,
    "undone after the capture": replace(
        UNDONE,
        payment=replace(PAYMENT, state="reversed", refunded=2500, ledger={"gateway": 0, "sales": 0}),
        effects=(AUTHORISED, CAPTURED, REFUNDED, BOOKED, CANCELLED, REJECTED_TOLD),
    ),
    "rejected before anything": Books("A", REJECTED_ORDER, effects=(REJECTED_TOLD,)),
    "rejected with an expired hold": replace(UNDONE, stock=StockEntry("A", "expired", 0, 0)),
    "declined": replace(
        UNDONE,
        payment=replace(PAYMENT, state="declined", captured=0, ledger={}),
        shipment=None,
        effects=(REJECTED_TOLD,),
    ),
    "refused by the carrier": replace(
        UNDONE,
        shipment=ShipmentEntry("A", cancelled=True, parcels=(replace(PARCEL, state="refused"),)),
        effects=(AUTHORISED, VOIDED, REJECTED_TOLD),
    ),
    "cancelled": replace(
        UNDONE,
        order=replace(ORDER, status="cancelled"),
        effects=(AUTHORISED, VOIDED, BOOKED, CANCELLED, replace(TOLD, key="order:A:message:cancelled")),
    ),
    "an undo that came before its step": Books(
        "A",
        REJECTED_ORDER,
        payment=PaymentEntry("A", "reversed", 0, None, 0, 0, {}, balanced=True),
        effects=(REJECTED_TOLD,),
    ),
}


@pytest.mark.parametrize("case", GOOD)
def test_books_that_fit_together_are_no_violation(case: str) -> None:
    verdict = judge(GOOD[case], NOW)
    assert verdict.violations == ()
    assert verdict.waits_for is None


def stock(state: str = "committed", held: int = 0, out: int = 2) -> Books:
    return replace(SENT, stock=StockEntry("A", state, held, out))


def parcel(**changes: object) -> Books:
    return replace(SENT, shipment=replace(SHIPMENT, parcels=(replace(PARCEL, **changes),)))  # type: ignore[arg-type]


def payment(**changes: object) -> Books:
    return replace(SENT, payment=replace(PAYMENT, **changes))  # type: ignore[arg-type]


def effects(*happened: Effect, books: Books = SENT) -> Books:
    return replace(books, effects=happened)


BAD = {
    "the hold is not committed": (
        stock("held", held=2, out=0),
        "A: stock: fulfilled with 2 units, but the hold is held",
    ),
    "units went out twice": (stock(out=4), "stock: fulfilled with 2 units, but the hold is committed: 4 units out"),
    "committed stock was put back": (stock(out=0), "stock: fulfilled with 2 units"),
    "units appear": (stock(out=-1), "stock: 0 units held and -1 out"),
    "inventory knows nothing": (replace(SENT, stock=None), "stock: fulfilled, but inventory knows nothing"),
    "payments knows nothing": (replace(SENT, payment=None), "payment: fulfilled, but payments knows nothing"),
    "shipping knows nothing": (replace(SENT, shipment=None), "shipment: fulfilled, but shipping knows nothing"),
    "not captured": (payment(state="authorised", captured=0), "payment: fulfilled, but the payment is authorised"),
    "captured too little": (payment(captured=2400), "payment: fulfilled for 2500 EUR, but 2400 EUR captured"),
    "captured in another currency": (payment(currency="USD"), "but 2500 USD captured"),
    "refunded though sent": (payment(refunded=2500), "2500 refunded"),
    "refunded more than captured": (payment(refunded=2600), "refunded 2600: one is more than it can be"),
    "captured more than authorised": (payment(captured=2600), "captured 2600, refunded 0: one is more"),
    "unbalanced by its own word": (payment(balanced=False), "payment: the ledger does not balance"),
    "unbalanced by its sum": (payment(ledger={"gateway": 2500, "sales": -2400}), "payment: the ledger does not"),
    "shipment cancelled": (replace(SENT, shipment=replace(SHIPMENT, cancelled=True)), "the shipment is cancelled"),
    "a parcel is missing": (
        replace(SENT, shipment=replace(SHIPMENT, parcels=())),
        "with 1 parcels, but shipping has 0",
    ),
    "a parcel was never booked": (parcel(state="booking"), "shipment: fulfilled, but parcel 1 is booking at steady"),
    "a parcel without a number": (parcel(tracking_number=None), "shipment: fulfilled, but parcel 1 is in_transit"),
    "charged twice under one key": (
        effects(AUTHORISED, CAPTURED, CAPTURED, BOOKED, TOLD),
        "effects: capture at gateway happened 2 times under the key payment:A:capture",
    ),
    "charged twice under two keys": (
        effects(AUTHORISED, CAPTURED, replace(CAPTURED, key="other"), BOOKED, TOLD),
        "effects: capture happened under 2 keys: other and payment:A:capture",
    ),
    "authorised twice": (
        effects(AUTHORISED, replace(AUTHORISED, key="other"), CAPTURED, BOOKED, TOLD),
        "effects: fulfilled, but the gateway still holds 2500 of an authorisation",
    ),
    "the gateway took nothing": (
        effects(AUTHORISED, BOOKED, TOLD),
        "effects: fulfilled for 2500, but the gateway took 0",
    ),
    "booked twice under one key": (
        effects(AUTHORISED, CAPTURED, BOOKED, BOOKED, TOLD),
        "effects: booking at steady happened 2 times under the key shipment:A:1:book",
    ),
    "booked with two carriers": (
        effects(AUTHORISED, CAPTURED, BOOKED, replace(BOOKED, provider="swift"), TOLD),
        "effects: steady and swift all come for the booking shipment:A:1:book",
    ),
    "a carrier comes for a parcel too many": (
        effects(AUTHORISED, CAPTURED, BOOKED, replace(BOOKED, key="shipment:A:2:book"), TOLD),
        "effects: fulfilled with 1 parcels, but carriers come for 2",
    ),
    "told twice": (effects(*SENT.effects, TOLD), "effects: message at mailbox happened 2 times"),
    "told never": (effects(AUTHORISED, CAPTURED, BOOKED), "message: fulfilled and notified, but no such message"),
    "told something else": (
        effects(*SENT.effects, REJECTED_TOLD),
        "message: fulfilled, but the customer was told that it is rejected",
    ),
    "a total is missing": (replace(SENT, order=replace(ORDER, total=None)), "order: fulfilled without a total"),
    "stock still held": (
        replace(UNDONE, stock=StockEntry("A", "held", 2, 0)),
        "stock: rejected, but the hold is held: 0 units out, 2 held",
    ),
    "stock still gone": (
        replace(UNDONE, stock=StockEntry("A", "committed", 0, 2)),
        "stock: rejected, but the hold is committed: 2 units out",
    ),
    "still authorised": (
        replace(UNDONE, payment=replace(PAYMENT, state="authorised", captured=0, ledger={})),
        "payment: rejected, but the payment is authorised",
    ),
    "charged and not refunded": (
        replace(UNDONE, payment=replace(PAYMENT, state="captured")),
        "payment: rejected, but 2500 captured, 0 refunded",
    ),
    "a charge that payments does not know": (
        effects(AUTHORISED, CAPTURED, REJECTED_TOLD, books=UNDONE),
        "effects: rejected, but the gateway took 2500 and did not give it back",
    ),
    "an authorisation that was not voided": (
        effects(AUTHORISED, REJECTED_TOLD, books=UNDONE),
        "effects: rejected, but the gateway still holds 2500",
    ),
    "a carrier still comes": (
        effects(AUTHORISED, VOIDED, BOOKED, REJECTED_TOLD, books=UNDONE),
        "effects: rejected, but carriers come for 1 parcels",
    ),
    "a parcel still booked": (
        replace(UNDONE, shipment=SHIPMENT),
        "shipment: rejected, but parcel 1 is in_transit at steady",
    ),
    "failed with stock held": (
        replace(UNDONE, order=replace(ORDER, status="failed"), stock=StockEntry("A", "held", 2, 0)),
        "stock: failed, but the hold is held",
    ),
    "an order that the orchestrator does not know": (
        replace(SENT, order=None),
        "order: the orchestrator does not know it, but inventory and payments and shipping and the providers do",
    ),
    "an ending that nobody knows": (
        replace(SENT, order=replace(ORDER, status="vanished")),
        "order: finished as 'vanished'",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_books_that_do_not_fit_together_are_a_violation_of_one_line(case: str) -> None:
    books, expected = BAD[case]
    found = texts(books)
    assert any(expected in line for line in found), found
    assert all("\n" not in line for line in found)


UNDER_WAY = replace(SENT, order=replace(ORDER, status="committing", finished=False, notified=False), shipment=None)


def test_an_order_that_is_under_way_is_no_violation_whatever_its_books_lack() -> None:
    verdict = judge(UNDER_WAY, NOW)
    assert verdict.violations == ()
    assert verdict.waits_for == "committing"


def test_an_order_that_is_under_way_is_still_charged_once_only() -> None:
    assert texts(replace(UNDER_WAY, effects=(CAPTURED, CAPTURED))) != []


def test_an_order_that_does_not_move_is_stuck() -> None:
    assert texts(UNDER_WAY, NOW + timedelta(minutes=14)) == []
    assert texts(UNDER_WAY, NOW + timedelta(minutes=16)) == ["A: stuck: committing since 2026-11-24T12:00:00+00:00"]


def test_an_order_that_waits_for_an_approver_has_a_day() -> None:
    waiting = Books("A", replace(ORDER, status="awaiting_approval", finished=False, notified=False))
    assert texts(waiting, NOW + timedelta(hours=24)) == []
    assert "stuck: awaiting_approval" in texts(waiting, NOW + timedelta(hours=26))[0]


def test_an_order_whose_message_is_not_sent_yet_is_under_way_and_then_stuck() -> None:
    untold = replace(SENT, order=replace(ORDER, notified=False), effects=(AUTHORISED, CAPTURED, BOOKED))
    assert judge(untold, NOW).violations == ()
    assert judge(untold, NOW).waits_for == "sending its notification"
    assert "stuck: sending its notification" in texts(untold, NOW + timedelta(hours=1))[0]


def test_a_shelf_that_does_not_fit_its_movements_is_a_violation() -> None:
    violation = judge_shelf(Discrepancy("TEA", "north", on_hand=9, moved=10, held=1, lines=1))
    assert str(violation) == "TEA in north: stock: 9 on hand, 1 held, but movements say 10, holds say 1"


def test_books_are_put_together_by_order_and_newcomers_count_as_under_way() -> None:
    newcomer = replace(ORDER, order_id="B")
    books = gather(
        [ORDER],
        stock=[STOCK, replace(STOCK, order_id="B"), replace(STOCK, order_id="C")],
        payments=[PAYMENT],
        shipments=[SHIPMENT],
        effects={"A": SENT.effects},
        newer=[ORDER, newcomer],
    )
    assert [each.order_id for each in books] == ["A", "B", "C"]
    assert books[0] == SENT
    assert judge(books[1], NOW).waits_for == "fulfilled"
    assert judge(books[1], NOW).violations == ()
    assert "does not know it, but inventory do" in texts(books[2])[0]


def test_an_order_on_store_credit_takes_nothing_from_a_card() -> None:
    credit = replace(PAYMENT, method="store_credit")
    without = (BOOKED, TOLD)
    assert texts(replace(SENT, payment=credit, effects=without)) == []
    assert texts(replace(SENT, payment=credit)) == ["A: effects: fulfilled for 2500, but the gateway took 2500, not 0"]
    assert texts(replace(SENT, effects=without)) == ["A: effects: fulfilled for 2500, but the gateway took 0, not 2500"]


@pytest.mark.parametrize(
    ("account", "wrong"),
    [
        (AccountEntry("A", 500, 500, balanced=True), 0),
        (AccountEntry("A", 500, 400, balanced=False), 1),
        (AccountEntry("A", -1, -1, balanced=True), 1),
    ],
)
def test_an_account_holds_what_its_bookings_come_to_and_is_never_overdrawn(account: AccountEntry, wrong: int) -> None:
    assert [violation.rule for violation in judge_account(account)] == ["account"] * wrong
