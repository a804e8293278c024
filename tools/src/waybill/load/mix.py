"""Which orders are placed: kinds with weights, and a share of those that must be refused."""

import math
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from waybill.demo.samples import CATALOGUE, SAMPLES, Sample

SENT = frozenset({"fulfilled", "partially_fulfilled"})
NOT_ENOUGH = frozenset({"nonsense", "approval-timed-out"})
"""Samples that are no load: one is refused at the door, the other does nothing but wait."""


class MixError(Exception):
    """A mix that cannot be; the message is for the person who asked."""


@dataclass(frozen=True)
class Kind:
    """One kind of order.

    Attributes:
        sample: What is ordered, and by which token and postcode.
        expected: Status, and the reason where there is one, with which it must end.
    """

    sample: Sample
    expected: str

    @property
    def name(self) -> str:
        """As in a mix."""
        return self.sample.case

    @property
    def refused(self) -> bool:
        """Whether it must not be sent."""
        return self.expected not in SENT

    def body(self, order_id: str) -> dict[str, Any]:
        """What is sent to ``POST /orders``."""
        return self.sample.body(order_id)


def _kinds() -> dict[str, Kind]:
    alone = (each for each in SAMPLES if each.act is None and each.account is None and each.case not in NOT_ENOUGH)
    # The words of a sample also say by whom and in how many parcels; a row of the list of orders does not.
    return {each.case: Kind(each, each.expected.partition(" in ")[0].partition(" by ")[0]) for each in alone}


KINDS: Mapping[str, Kind] = _kinds()
"""By name: samples that end by themselves, without an approver or an account."""
USUAL: Mapping[str, float] = {"fulfilled": 8, "two-parcels": 2}
FAILURES: Mapping[str, float] = {"out-of-stock": 1, "card-declined": 1, "booking-refused": 1}
"""Refused early, in the middle, and late, when most is to be undone."""


@dataclass(frozen=True)
class Mix:
    """Weights by the name of a kind.

    Attributes:
        weights: Of the kinds that are placed.
        failures: Share of orders, from 0 to 1, that come from ``FAILURES`` instead.
    """

    weights: Mapping[str, float]
    failures: float = 0.0

    def __post_init__(self) -> None:
        unknown = [name for name in self.weights if name not in KINDS]
        if unknown:
            raise MixError(f"there is no kind of order {unknown[0]!r}; there are {', '.join(KINDS)}")
        if not all(weight >= 0 for weight in self.weights.values()) or not 0 < sum(self.weights.values()) < math.inf:
            raise MixError("a mix has weights from 0, and at least one above it")
        if not 0 <= self.failures <= 1:
            raise MixError("the share of failures is from 0 to 1")

    def shares(self) -> dict[str, float]:
        """The share of each kind, all of them together 1."""
        shares: dict[str, float] = {}
        for weights, part in ((self.weights, 1 - self.failures), (FAILURES, self.failures)):
            total = sum(weights.values())
            for name, weight in weights.items():
                shares[name] = shares.get(name, 0.0) + part * weight / total
        return {name: share for name, share in shares.items() if share > 0}

    def kinds(self, seed: int) -> Iterator[Kind]:
        """Kinds of one order after the other; the same seed gives the same ones."""
        chance = random.Random(seed)  # noqa: S311 - nobody gains by guessing it
        names, shares = zip(*self.shares().items(), strict=True)
        while True:
            [name] = chance.choices(names, shares)
            yield KINDS[name]


def parse(text: str, failures: float = 0.0) -> Mix:
    """``NAME=WEIGHT,…`` as a mix; a name alone has the weight 1.

    Raises:
        MixError: If it is none.
    """
    weights: dict[str, float] = {}
    for part in (each.strip() for each in text.split(",")):
        if not part:
            continue
        name, equals, weight = part.partition("=")
        try:
            weights[name] = float(weight) if equals else 1.0
        except ValueError:
            raise MixError(f"{part!r} is not NAME=WEIGHT") from None
    return Mix(weights or USUAL, failures)


def goods(mix: Mix) -> dict[tuple[str, str], int]:
    """Units that one order of the mix takes at most, by SKU and warehouse where the shop keeps them."""
    needed: dict[tuple[str, str], int] = {}
    for product in CATALOGUE:
        most = max(KINDS[name].sample.skus.get(product.sku, 0) for name in mix.shares())
        needed |= {(product.sku, warehouse): most for warehouse in product.receipts if most > 0}
    return needed
