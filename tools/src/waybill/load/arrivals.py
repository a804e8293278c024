"""When orders are to be placed. Pure: what is wanted in, moments out; nobody who is slow can move them.

All shapes are one idea. A rate over time has an integral, the number of orders that should have come by a moment; the
inverse of that takes the n-th order to its moment. Steady spacing puts the n-th order at n, Poisson spacing at a sum of
n random gaps.
"""

import heapq
import math
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum


class Spacing(StrEnum):
    """How orders lie between each other."""

    STEADY = "steady"
    """At equal distances, where the rate is constant."""
    POISSON = "poisson"
    """Each as if it knew nothing of the others, as customers come."""


@dataclass(frozen=True)
class Leg:
    """A stretch of time with a rate that is constant, or changes evenly.

    Attributes:
        seconds: How long it is.
        begin: Orders a second at its beginning.
        end: At its end.

    Raises:
        ValueError: If it has no length, or a rate is negative.
    """

    seconds: float
    begin: float
    end: float

    def __post_init__(self) -> None:
        if not (0 < self.seconds < math.inf and 0 <= self.begin < math.inf and 0 <= self.end < math.inf):
            raise ValueError("a leg has a length, and rates that are not negative")

    @property
    def orders(self) -> float:
        """How many orders it has."""
        return self.seconds * (self.begin + self.end) / 2

    def when(self, orders: float) -> float:
        """Seconds from its beginning until so many orders have come."""
        if orders <= 0:
            return 0.0
        slope = (self.end - self.begin) / self.seconds
        # The root of begin·t + slope·t²/2 = orders, in the form that does not cancel for a small slope.
        root = math.sqrt(max(self.begin * self.begin + 2 * slope * orders, 0.0))
        return min(2 * orders / (self.begin + root), self.seconds)


@dataclass(frozen=True)
class Bursts:
    """Orders that come all at once, again and again.

    Attributes:
        orders: How many at once.
        every_seconds: From one burst to the next; the first comes after this time.

    Raises:
        ValueError: If either is not positive.
    """

    orders: int
    every_seconds: float

    def __post_init__(self) -> None:
        if self.orders < 1 or not 0 < self.every_seconds < math.inf:
            raise ValueError("a burst has at least one order, and a time until the next")


@dataclass(frozen=True)
class Plan:
    """All that is to come.

    Attributes:
        legs: One after the other.
        spacing: Of the orders in them.
        bursts: Besides, if any.
        seed: Of what is random.
    """

    legs: Sequence[Leg]
    spacing: Spacing = Spacing.STEADY
    bursts: Bursts | None = None
    seed: int = 1

    @property
    def seconds(self) -> float:
        """How long it takes."""
        return sum(leg.seconds for leg in self.legs)

    @property
    def orders(self) -> float:
        """How many orders come, about."""
        burst = self.bursts
        besides = 0 if burst is None else burst.orders * _bursts(burst, self.seconds)
        return sum(leg.orders for leg in self.legs) + besides

    def times(self) -> Iterator[float]:
        """When each order is to be placed: seconds from the beginning, never falling."""
        numbers = steady() if self.spacing is Spacing.STEADY else poisson(self.seed)
        apart = moments(self.legs, numbers)
        return apart if self.bursts is None else heapq.merge(apart, together(self.bursts, self.seconds))


def constant(rate: float, seconds: float) -> tuple[Leg, ...]:
    """One leg at one rate."""
    return (Leg(seconds, rate, rate),)


def steady() -> Iterator[float]:
    """Where orders lie on the axis of their number: the first at once, each a whole one after the last."""
    number = 0
    while True:
        yield float(number)
        number += 1


def poisson(seed: int) -> Iterator[float]:
    """The same with random gaps, whose mean is one. The same seed gives the same gaps."""
    chance = random.Random(seed)  # noqa: S311 - nobody gains by guessing it
    number = 0.0
    while True:
        number += chance.expovariate(1.0)
        yield number


def moments(legs: Sequence[Leg], numbers: Iterable[float]) -> Iterator[float]:
    """Moments of the orders at some numbers, until the legs end.

    Args:
        legs: One after the other.
        numbers: How many orders have come by then, never falling.
    """
    begun, before = 0.0, 0.0
    waiting = iter(numbers)
    number = next(waiting, None)
    for leg in legs:
        # What falls on the very end of a leg belongs to the next.
        while number is not None and number - before < leg.orders:
            yield begun + leg.when(number - before)
            number = next(waiting, None)
        begun, before = begun + leg.seconds, before + leg.orders


def together(bursts: Bursts, seconds: float) -> Iterator[float]:
    """Moments of the orders of bursts, before an end."""
    for number in range(1, _bursts(bursts, seconds) + 1):
        for _ in range(bursts.orders):
            yield number * bursts.every_seconds


def _bursts(bursts: Bursts, seconds: float) -> int:
    return max(math.ceil(seconds / bursts.every_seconds) - 1, 0)
