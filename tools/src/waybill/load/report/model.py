"""What a report consists of. It is data: the page is made from it, and so is the document for machines."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

Point = tuple[float, float]


@dataclass(frozen=True)
class Series:
    """A line of a chart.

    Attributes:
        name: In the legend.
        points: From left to right.
    """

    name: str
    points: Sequence[Point]


@dataclass(frozen=True)
class Moment:
    """Something that happened, as a line from top to bottom.

    Attributes:
        x: When.
        words: What.
    """

    x: float
    words: str


@dataclass(frozen=True)
class Chart:
    """Lines over an axis.

    Attributes:
        title: Above it.
        x: Name and unit of the axis below.
        y: Name and unit of the axis at the left.
        series: The lines.
        reference: A line to compare with, dashed.
        moments: What happened meanwhile.
        markers: Whether each point has a dot: for few of them, which were measured one by one.
        note: Below it.
    """

    title: str
    x: str
    y: str
    series: Sequence[Series]
    reference: Series | None = None
    moments: Sequence[Moment] = ()
    markers: bool = False
    note: str = ""


@dataclass(frozen=True)
class Bars:
    """Stacked bars, one a row.

    Attributes:
        title: Above them.
        x: Name and unit of the axis below.
        parts: What each bar is made of.
        rows: Name of each bar, and its parts.
        note: Below them.
    """

    title: str
    x: str
    parts: Sequence[str]
    rows: Sequence[tuple[str, Sequence[float]]]
    note: str = ""


@dataclass(frozen=True)
class Table:
    """Figures for reading.

    Attributes:
        title: Above it.
        columns: Their names.
        rows: Cells, as text.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Section:
    """One experiment.

    Attributes:
        title: Of it.
        text: What was done and what came out, a paragraph each.
        charts: Lines.
        bars: Bars.
        tables: Beneath them.
        results: The figures, for a machine.
        warnings: What a reader must know before believing it.
    """

    title: str
    text: Sequence[str] = ()
    charts: Sequence[Chart] = ()
    bars: Sequence[Bars] = ()
    tables: Sequence[Table] = ()
    results: Mapping[str, Any] = field(default_factory=dict)
    warnings: Sequence[str] = ()


@dataclass(frozen=True)
class Document:
    """A whole report.

    Attributes:
        name: Of the run.
        title: What it is.
        began: When, ISO 8601, UTC.
        ended: When it was over.
        interrupted: Whether somebody stopped it.
        verdict: In a line: were all orders accounted for?
        good: Whether they were.
        sections: The experiments.
        settings: All that it was told.
        versions: Of what was measured.
        machine: That it ran on.
        violations: What the audit found.
    """

    name: str
    title: str
    began: str
    ended: str
    interrupted: bool
    verdict: str
    good: bool
    sections: Sequence[Section]
    settings: Mapping[str, Any]
    versions: Mapping[str, Any]
    machine: Mapping[str, Any]
    violations: Sequence[str] = ()

    def as_json(self) -> dict[str, Any]:
        """For ``report.json``."""
        return asdict(self)
