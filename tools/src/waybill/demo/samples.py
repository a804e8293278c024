"""The sample orders: one of each kind, and how each must end."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

CURRENCY = "EUR"


@dataclass(frozen=True)
class Product:
    """Something that the shop sells.

    Attributes:
        sku: In the catalogue.
        weight: Grams of one unit.
        price: Minor units of ``CURRENCY``.
        receipts: Units that come in at the beginning of a demo, by warehouse.
    """

    sku: str
    weight: int
    price: int
    receipts: Mapping[str, int] = field(default_factory=dict)


CATALOGUE = (
    Product("TEA-250", 250, 1_250, {"north": 100}),
    Product("LAMP-1", 1_800, 8_900, {"south": 100}),
    Product("SOFA-3", 45_000, 129_900, {"north": 20}),  # above the 1,000.00 from which an approver is asked
    Product("VASE-9", 700, 5_400),  # none: it is what is out of stock
)


class Act(StrEnum):
    """What somebody does to an order beyond placing it."""

    APPROVE = "approve"
    REFUSE = "refuse"
    CANCEL = "cancel"
    REPEAT = "repeat"
    """The customer's browser sends it twice, and then something else under the same id."""


@dataclass(frozen=True)
class Sample:
    """One order.

    Attributes:
        case: A word or two, unique; part of the order's id.
        expected: How it must end, in the words of ``describe``.
        skus: What is ordered, by SKU; quantities need not make sense.
        card: The gateway's token, which chooses the fate of the payment.
        postcode: Chooses the fate of the shipment.
        act: What else is done to it.
        extra: Further members of the body.
        account: Name of the store-credit account that pays, in the place of a card.
        pays: What it pays, minor units.
        parcels: Whether the number of parcels is part of how it must end.
        carrier: Whether the carrier is.
    """

    case: str
    expected: str
    skus: Mapping[str, int] = field(default_factory=lambda: {"TEA-250": 2})
    card: str = "tok_ok"
    postcode: str = "1011AB"
    act: Act | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    account: str | None = None
    pays: int = 0
    parcels: bool = False
    carrier: bool = False

    def body(self, order_id: str) -> dict[str, Any]:
        """What is sent to ``POST /orders``. The id begins with the run, and so do the accounts'."""
        run = order_id.partition("-")[0]
        means = {"card_token": self.card} if self.account is None else {"account_id": f"{run}-{self.account}"}
        return {
            "order_id": order_id,
            "currency": CURRENCY,
            "lines": [{"sku": sku, "quantity": quantity} for sku, quantity in self.skus.items()],
            **means,
            "address": {
                "name": "Sam Sample",
                "street": "1 Canal Street",
                "city": "Amsterdam",
                "postcode": self.postcode,
                "country": "NL",
            },
            "email": "sam@example.com",
            **self.extra,
        }


SAMPLES = (
    Sample("fulfilled", "fulfilled"),
    Sample("two-parcels", "fulfilled in 2 parcels", {"TEA-250": 1, "LAMP-1": 1}, parcels=True),
    Sample("out-of-stock", "rejected: out_of_stock", {"VASE-9": 1}),
    Sample("partial", "partially_fulfilled", {"TEA-250": 1, "VASE-9": 1}, extra={"allow_partial": True}),
    Sample("unknown-sku", "rejected: unknown_sku", {"NO-SUCH-THING": 1}),
    Sample("other-currency", "rejected: wrong_currency", extra={"currency": "USD"}),
    Sample("price-changed", "rejected: price_changed", extra={"expected_total": 1_000}),
    Sample("card-declined", "rejected: declined", card="tok_declined"),
    Sample("no-funds", "rejected: declined", card="tok_insufficient"),
    Sample("charged-then-timed-out", "fulfilled", card="tok_timeout_after_charge"),
    Sample("captured-then-timed-out", "fulfilled", card="tok_timeout_after_capture"),
    Sample("gateway-error-once", "fulfilled", card="tok_error_once"),
    Sample("authorisation-lapsed", "rejected: declined", card="tok_lapsed"),
    Sample("all-carriers-down", "rejected: no_carrier", postcode="DOWN-ALL"),
    Sample("one-carrier-down", "fulfilled by steady", postcode="DOWN-BUDGET", carrier=True),
    Sample("booking-refused", "rejected: booking_refused", postcode="REFUSED"),
    Sample("booked-then-timed-out", "fulfilled", postcode="BOOK-TIMEOUT"),
    Sample("approved", "fulfilled", {"SOFA-3": 1}, act=Act.APPROVE),
    Sample("approval-refused", "rejected: approval_refused", {"SOFA-3": 1}, act=Act.REFUSE),
    Sample("approval-timed-out", "rejected: approval_timed_out", {"SOFA-3": 1}, extra={"approval_limit_seconds": 3}),
    Sample("cancelled-while-waiting", "cancelled", {"SOFA-3": 1}, act=Act.CANCEL),
    Sample("store-credit", "fulfilled", account="credit", pays=2_500),
    Sample("too-little-credit", "rejected: declined", account="little"),
    Sample("sent-twice", "fulfilled", act=Act.REPEAT),
    Sample("nonsense", "refused with 422: lines.0.quantity", {"TEA-250": -3}),
)

STORE_CREDIT = {"credit": 6_000, "little": 1_000}
"""What customers have as store credit at the beginning, minor units of ``CURRENCY``."""

STORY = "two-parcels"
"""The case whose story is told: it crosses every queue, and one of them twice."""


def describe(document: Mapping[str, Any], sample: Sample, carriers: frozenset[str] = frozenset()) -> str:
    """How an order ended, in words.

    Args:
        document: Of ``GET /orders/{order_id}``.
        sample: Says which details count.
        carriers: Who takes its parcels.
    """
    words = str(document["status"])
    if document["status"] in {"rejected", "failed"}:
        words += f": {document['reason']}"
    if sample.parcels:
        words += f" in {document['parcels']} parcels"
    if sample.carrier:
        words += f" by {' and '.join(sorted(carriers)) or 'nobody'}"
    return words
