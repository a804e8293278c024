"""Charts as SVG. Colours are the page's: classes here, so that a dark page has others."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

from waybill.load.report.axes import Axis, axis, number
from waybill.load.report.model import Bars, Chart, Moment, Point, Series

COLOURS = 8
"""Of series; the ninth has the first one's again."""
MOST_POINTS = 400
"""Of a line: more than a screen shows."""
LETTER = 6.6
"""Width of a letter of the labels, about."""


@dataclass(frozen=True)
class Format:
    """Size of a drawing.

    Attributes:
        name: Class, by which the page shows one or the other.
        width: Of the drawing.
        height: Of it.
        ticks: How many the axis below has, about.
    """

    name: str
    width: int
    height: int
    ticks: int


WIDE = Format("wide", 760, 300, 8)
NARROW = Format("narrow", 360, 260, 4)
"""For a phone: the same chart drawn again, since one that is scaled down has letters that nobody can read."""
TOP, RIGHT, BOTTOM = 12, 14, 44


def lines(chart: Chart, form: Format) -> str:
    """A chart with lines."""
    drawn = [*chart.series, *([chart.reference] if chart.reference is not None else [])]
    across = axis((x for each in drawn for x, _ in each.points), count=form.ticks, zero=chart.markers)
    up = axis(y for each in drawn for _, y in each.points)
    frame = _Frame(form, across, up, _left(up))
    parts = [*frame.grid(chart.x, chart.y)]
    parts += frame.moments([each for each in chart.moments if across.least <= each.x <= across.most])
    if chart.reference is not None:
        parts.append(frame.line(chart.reference.points, "reference"))
    for place, series in enumerate(chart.series):
        parts.append(frame.line(series.points, f"series s{place % COLOURS}"))
        if chart.markers or len(series.points) == 1:
            parts += frame.dots(series, f"dot s{place % COLOURS}")
    return frame.svg(chart.title, parts)


def bars(chart: Bars, form: Format) -> str:
    """A chart with stacked bars."""
    row = 30
    across = axis((sum(values) for _, values in chart.rows), count=form.ticks)
    left = max((len(name) for name, _ in chart.rows), default=0) * LETTER + 16
    height = TOP + row * len(chart.rows) + BOTTOM
    form = Format(form.name, form.width, height, form.ticks)
    frame = _Frame(form, across, Axis(0, 1, ()), left)
    parts = [*frame.grid(chart.x, "")]
    for place, (name, values) in enumerate(chart.rows):
        top, begin = TOP + row * place + 4, 0.0
        parts.append(f'<text class="label" x="{left - 8:.1f}" y="{top + 15}" text-anchor="end">{escape(name)}</text>')
        for part, value in enumerate(values):
            x, end = frame.x(begin), frame.x(begin + value)
            words = escape(f"{name}, {chart.parts[part]}: {number(value)}")
            parts.append(
                f'<rect class="bar s{part % COLOURS}" x="{x:.1f}" y="{top}" width="{end - x:.1f}" height="{row - 9}">'
                f"<title>{words}</title></rect>"
            )
            begin += value
    return frame.svg(chart.title, parts)


class _Frame:
    """The area of a chart, and how values become places in it."""

    def __init__(self, form: Format, across: Axis, up: Axis, left: float) -> None:
        self._form = form
        self._across = across
        self._up = up
        self._left = left

    def x(self, value: float) -> float:
        return self._left + self._across.part(value) * (self._form.width - self._left - RIGHT)

    def y(self, value: float) -> float:
        return TOP + (1 - self._up.part(value)) * (self._form.height - TOP - BOTTOM)

    def grid(self, below: str, beside: str) -> Iterator[str]:
        form, left, floor = self._form, self._left, self._form.height - BOTTOM
        for value in self._up.ticks:
            y = self.y(value)
            yield f'<line class="grid" x1="{left:.1f}" x2="{form.width - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
            yield f'<text class="tick" x="{left - 6:.1f}" y="{y + 4:.1f}" text-anchor="end">{number(value)}</text>'
        for value in self._across.ticks:
            x = self.x(value)
            yield f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{floor}"/>'
            yield f'<text class="tick" x="{x:.1f}" y="{floor + 16}" text-anchor="middle">{number(value)}</text>'
        yield f'<line class="axis" x1="{left:.1f}" x2="{form.width - RIGHT}" y1="{floor}" y2="{floor}"/>'
        middle = (left + form.width - RIGHT) / 2
        yield f'<text class="label" x="{middle:.1f}" y="{floor + 35}" text-anchor="middle">{escape(below)}</text>'
        if beside:
            place = f'transform="translate(13 {(TOP + floor) / 2:.1f}) rotate(-90)" text-anchor="middle"'
            yield f'<text class="label" {place}>{escape(beside)}</text>'

    def line(self, points: Sequence[Point], kind: str) -> str:
        places = " ".join(f"{self.x(x):.1f},{self.y(y):.1f}" for x, y in thin(_drawable(points)))
        return f'<polyline class="{kind}" points="{places}"/>'

    def dots(self, series: Series, kind: str) -> Iterator[str]:
        for x, y in _drawable(series.points):
            words = escape(f"{series.name}: {number(y)} at {number(x)}")
            place = f'cx="{self.x(x):.1f}" cy="{self.y(y):.1f}"'
            yield f'<circle class="{kind}" {place} r="4"><title>{words}</title></circle>'

    def moments(self, moments: Sequence[Moment]) -> Iterator[str]:
        """Lines with words beside them, each in the first row where it meets no other's."""
        floor = self._form.height - BOTTOM
        rows: list[float] = []
        for moment in sorted(moments, key=lambda each: each.x):
            x, width = self.x(moment.x), len(moment.words) * LETTER + 8
            # At the right end there is more room at the left.
            begin = x if x + width <= self._form.width else x - width
            row = next((number for number, end in enumerate(rows) if end <= begin), len(rows))
            rows[row : row + 1] = [begin + width]
            place = f'x="{begin + 4:.1f}" y="{TOP + 10 + 13 * row}"'
            yield f'<line class="moment" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{floor}"/>'
            yield f'<text class="tick halo" {place}>{escape(moment.words)}</text>'

    def svg(self, title: str, parts: Sequence[str]) -> str:
        form = self._form
        size = f'viewBox="0 0 {form.width} {form.height}"'
        head = f'<svg class="{form.name}" {size} role="img" aria-label="{escape(title)}">'
        return head + "".join(parts) + "</svg>"


def _left(up: Axis) -> float:
    """Room for the labels at the left."""
    return max(len(number(value)) for value in up.ticks) * LETTER + 30


def _drawable(points: Sequence[Point]) -> Sequence[Point]:
    """Those that have a place: with one that has none a browser leaves out the line."""
    return [each for each in points if math.isfinite(each[0]) and math.isfinite(each[1])]


def thin(points: Sequence[Point], most: int = MOST_POINTS) -> Sequence[Point]:
    """Fewer points, which keep the peaks: of each stretch the lowest and the highest."""
    if len(points) <= most:
        return points
    width = -(-len(points) * 2 // most)
    kept: list[Point] = []
    for begin in range(0, len(points), width):
        stretch = points[begin : begin + width]
        extremes = {min(stretch, key=lambda each: each[1]), max(stretch, key=lambda each: each[1])}
        kept += sorted(extremes)
    return kept
