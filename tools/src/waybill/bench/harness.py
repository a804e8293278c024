"""Measures two things in turns and says how they compare."""

import statistics
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from itertools import count
from typing import Generic, TypeVar

from rich.table import Table

MIN_PAIRS = 5
"""Fewer say nothing on a machine that does other things too."""

Figure = Callable[[], Awaitable[float]]
Detail = Mapping[str, float | str]
T = TypeVar("T")


class BenchError(Exception):
    """A benchmark cannot be run, or measured; the message is for the person who asked."""


@dataclass(frozen=True)
class Contest:
    """Two things to compare.

    Attributes:
        name: Of the benchmark; ``--only`` selects by it.
        unit: Of both figures.
        ours: Measures ours once.
        baseline: Measures the other once.
        note: What is measured, and what is wanted, in one line.
        detail: Asked when all is measured: what is behind the figures.
    """

    name: str
    unit: str
    ours: Figure
    baseline: Figure
    note: str = ""
    detail: Callable[[], Detail] = dict


Setting = Callable[[], AbstractAsyncContextManager[Sequence[Contest]]]
"""Brings up what contests need, and takes it down."""


@dataclass(frozen=True)
class Group:
    """Contests that share servers.

    Attributes:
        names: Of its contests, known before anything is started.
        setting: Where they take place.
    """

    names: tuple[str, ...]
    setting: Setting


@dataclass(frozen=True)
class Result:
    """What came out.

    Attributes:
        name: Of the contest.
        unit: Of ``ours`` and ``baseline``.
        ours: Median.
        baseline: Median.
        ratio: Median of the pairs' ratios, ours divided by baseline.
        lowest: Of the pairs' ratios.
        highest: Of the pairs' ratios.
        pairs: How many times each was measured.
        note: See ``Contest``.
        detail: See ``Contest``.
    """

    name: str
    unit: str
    ours: float
    baseline: float
    ratio: float
    lowest: float
    highest: float
    pairs: int
    note: str = ""
    detail: Detail = field(default_factory=dict)


class Shared(Generic[T]):
    """What several figures look at: the n-th look of each is at the same measurement."""

    def __init__(self, measure: Callable[[], Awaitable[T]]) -> None:
        """Take what measures once."""
        self._measure = measure
        self._measured: list[T] = []

    def figure(self, of: Callable[[T], float]) -> Figure:
        """A figure of each measurement in turn."""
        numbers = count()

        async def look() -> float:
            number = next(numbers)
            if number == len(self._measured):
                self._measured.append(await self._measure())
            return of(self._measured[number])

        return look

    def middle(self, of: Callable[[T], float]) -> float:
        """The median of all that was measured."""
        return middle([of(each) for each in self._measured])


PairNoted = Callable[[Contest, int, float, float], None]
"""Told of each pair: of which contest, the how-manieth from 1 on, ours and the other figure."""


def nowhere(_contest: Contest, _number: int, _ours: float, _baseline: float) -> None:
    """Note no pair."""


async def compete(
    contest: Contest, pairs: int, tell: Callable[[str], None] = lambda _: None, note: PairNoted = nowhere
) -> Result:
    """Measure both in turns; who is first changes from pair to pair.

    Args:
        contest: What to compare.
        pairs: How often.
        tell: Told of each pair, in one line.
        note: Told of each pair, in figures.

    Raises:
        BenchError: If a figure is not positive, so that there is no ratio.
    """
    ours: list[float] = []
    theirs: list[float] = []
    for number in range(pairs):
        sides = [(contest.ours, ours), (contest.baseline, theirs)]
        for measure, figures in sides if number % 2 == 0 else reversed(sides):
            figure = await measure()
            if not figure > 0:
                raise BenchError(f"{contest.name}: a figure of {figure} {contest.unit} is none")
            figures.append(figure)
        tell(f"  {contest.name} {number + 1}/{pairs}: {ours[-1]:.4g} against {theirs[-1]:.4g} {contest.unit}")
        note(contest, number + 1, ours[-1], theirs[-1])
    return result(contest.name, contest.unit, ours, theirs, contest.note, detail=contest.detail())


def result(
    name: str,
    unit: str,
    ours: Sequence[float],
    theirs: Sequence[float],
    note: str = "",
    *,
    detail: Detail | None = None,
) -> Result:
    """What comes out of the pairs of a contest.

    Args:
        name: Of the contest.
        unit: Of the figures.
        ours: Each pair's.
        theirs: Each pair's, in the same order.
        note: Of the contest.
        detail: Of the contest.
    """
    ratios = [one / other for one, other in zip(ours, theirs, strict=True)]
    return Result(
        name,
        unit,
        ours=middle(ours),
        baseline=middle(theirs),
        ratio=middle(ratios),
        lowest=middle([min(ratios)]),
        highest=middle([max(ratios)]),
        pairs=len(ratios),
        note=note,
        detail=dict(detail or {}),
    )


def middle(figures: Sequence[float]) -> float:
    """The median, to four digits: more would be noise."""
    return float(f"{statistics.median(figures):.4g}")


def table(results: Iterable[Result]) -> Table:
    """The results for a person."""
    shown = Table(box=None, pad_edge=False)
    figures = ("ours", "baseline", "ratio", "lowest", "highest")
    for name in ("benchmark", *figures, "unit", "pairs", "what"):
        shown.add_column(name, justify="right" if name in {*figures, "pairs"} else "left")
    for result in results:
        told = [
            f"{name}: {value if isinstance(value, str) else format(value, '.4g')}"
            for name, value in result.detail.items()
        ]
        row = (f"{getattr(result, name):.4g}" for name in figures)
        shown.add_row(result.name, *row, result.unit, str(result.pairs), "\n".join([result.note, *told]))
    return shown
