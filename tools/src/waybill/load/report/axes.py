"""Where the ticks of an axis are, and how numbers are written on it."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

SMALLEST_DIGITS = 4
"""Behind the point, at most: a tenth of a millisecond is small enough."""

FLAT = 1e-9
"""Values that differ by less are alike."""


@dataclass(frozen=True)
class Axis:
    """A range of values, and the ticks on it.

    Attributes:
        least: Its beginning.
        most: Its end.
        ticks: Values with a label.
    """

    least: float
    most: float
    ticks: Sequence[float]

    def part(self, value: float) -> float:
        """Where a value lies: 0 at the beginning, 1 at the end."""
        return (value - self.least) / (self.most - self.least)


def axis(values: Iterable[float], *, count: int = 5, zero: bool = True) -> Axis:
    """An axis that holds some values.

    Args:
        values: That must be on it.
        count: How many ticks it has, about.
        zero: Whether it begins at 0 where no value is below that: heights can be compared then.
    """
    finite = [value for value in values if math.isfinite(value)]
    least, most = min(finite, default=0.0), max(finite, default=1.0)
    if zero and least > 0:
        least = 0.0
    if most - least < FLAT:
        most = least + max(abs(least), 1.0)
    step = nice((most - least) / count)
    first, last = math.floor(least / step + 1e-9), math.ceil(most / step - 1e-9)
    ticks = [round(number * step, 10) for number in range(first, last + 1)]
    return Axis(ticks[0], ticks[-1], ticks)


def nice(rough: float) -> float:
    """The next of 1, 2, 5, 10, … that is not below a number."""
    power = 10.0 ** math.floor(math.log10(rough))
    for factor in (1.0, 2.0, 5.0):
        if rough <= factor * power * (1 + 1e-9):
            return factor * power
    return 10.0 * power


def number(value: float) -> str:
    """A number as people write it: few digits, no exponent."""
    if value == 0:
        return "0"
    size = abs(value)
    if round(size) >= 10_000:
        return f"{value:,.0f}"
    digits = max(0, 2 - math.floor(math.log10(size))) if size < 100 else 0
    text = f"{value:.{min(digits, SMALLEST_DIGITS)}f}"
    short = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if short == "-0" else short
