"""A trace as a waterfall for a terminal: a line a step, one bar each over the whole time."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from waybill.tracing.steps import Step, fold, unfold
from waybill.tracing.summary import Share, finish, shares
from waybill.tracing.tree import Part, Trace
from waybill.tracing.words import bare, duration, reason

COLOURS = {
    "orchestrator": "blue",
    "inventory": "green",
    "payments": "magenta",
    "shipping": "yellow",
    "sandbox": "cyan",
}
STRANGER = "white"
FAILED = "bold red"
QUIET = "dim"
TAKES = 9
"""Columns of a duration."""
NAMES = 0.46
"""Share of the line that names may take, with their service."""
SHORT = 8
"""Digits of a trace id by which it is named beside the order's own."""
LEAST_BAR = 16
LEAST_NAME = 20
NARROWEST = 60
"""Columns below which it is no drawing any more."""


@dataclass(frozen=True)
class Strokes:
    """With what bars and branches are drawn."""

    bar: str
    bar_begin: str
    bar_end: str
    wait: str
    through: str
    branch: str
    last: str
    fault: str
    legend: str
    rule: str
    cut: str


FINE = Strokes("━", "╺", "╸", "┄", "│ ", "├ ", "└ ", "✗", "■", "─", "…")
PLAIN = Strokes("=", "=", "=", ".", "| ", "|-", "`-", "x", "#", "-", ">")
"""For terminals that have ASCII only."""


def draw(parts: Sequence[Part], *, title: str, width: int, everything: bool = False, plain: bool = False) -> list[Text]:
    """Draw an order's traces.

    Args:
        parts: Its own first.
        title: What it is.
        width: Columns that there are.
        everything: Show every span; else statements are counted and a call is one with its answer.
        plain: Use ASCII only.

    Returns:
        Lines, none longer than the width.
    """
    strokes = PLAIN if plain else FINE
    drawing = _Drawing(parts, max(width, NARROWEST), everything=everything, strokes=strokes)
    own, others = parts[0], parts[1:]
    lines = [
        Text.assemble(
            (title, "bold"),
            f"  {duration(finish(own.trace) - own.trace.begin)}",
            (f"  trace {own.trace.trace_id}", QUIET),
        ),
        drawing.legend(),
        Text(),
        drawing.scale(own.trace),
        *drawing.waterfall(own.trace),
        Text(),
        *drawing.summary(own.trace),
    ]
    for part in others:
        lines += [Text(), drawing.heading(part, own.trace), *drawing.waterfall(part.trace)]
    return [_cut(line, drawing.width, strokes) for line in lines]


def colour(service: str) -> str:
    """Of a service."""
    return COLOURS.get(service, STRANGER)


class _Drawing:
    """All traces of an order have the same columns."""

    def __init__(self, parts: Sequence[Part], width: int, *, everything: bool, strokes: Strokes) -> None:
        self.width = width
        self._parts = parts
        self._everything = everything
        self._strokes = strokes
        steps = [(depth, step) for part in parts for root in self._steps(part.trace) for depth, step in root.walk()]
        self._service = max(cell_len(step.span.service) for _, step in steps)
        wanted = max(2 * depth + self._name(step).cell_len for depth, step in steps)
        room = max(int(width * NAMES) - self._service, LEAST_NAME)
        if everything:
            room += int(width * 0.1)
        self._label = min(wanted, room)
        self._bar = max(width - self._service - self._label - TAKES - 3, LEAST_BAR)

    def legend(self) -> Text:
        """Which colour is whose, and how many spans it kept."""
        spans: dict[str, int] = {}
        for part in self._parts:
            for span in part.trace.spans:
                spans[span.service] = spans.get(span.service, 0) + 1
        line = Text()
        for service, count in spans.items():
            line.append(f"{self._strokes.legend} ", colour(service)).append(service).append(f" {count}   ", QUIET)
        return line

    def scale(self, trace: Trace) -> Text:
        """The time axis."""
        total = trace.end - trace.begin
        marks = [" "] * self._bar
        for quarter in range(0, 5, 1 if self._bar >= 48 else 2):
            text = duration(total * quarter / 4) if quarter else "0"
            # The first begins where the bar does, the last ends where it ends, the others stand in the middle.
            at = round((self._bar - len(text)) * quarter / 4)
            marks[at : at + len(text)] = text
        waits = "" if self._everything else f"{self._strokes.wait * 2} asked for, not begun yet"
        return Text(f"{waits:{self._service + self._label + 2}}" + "".join(marks), QUIET)

    def heading(self, part: Part, own: Trace) -> Text:
        """What another trace has to do with the order, and how long after its begin it began."""
        since = f"{duration(part.trace.begin - own.begin)} later"
        if part.relation == "about":
            what = "about the same order"
        else:
            what = "linked" if part.origin is None else f"linked to {bare(part.origin)}"
        line = Text.assemble((f"{self._strokes.rule * 2} {since}", "bold"), f", {what} ")
        return line.append(f" trace {part.trace.trace_id[:SHORT]}", QUIET)

    def waterfall(self, trace: Trace) -> Iterator[Text]:
        """A line a step."""
        for step in self._steps(trace):
            yield from self._lines(step, trace, "", "")

    def summary(self, trace: Trace) -> Iterator[Text]:
        """Where the time went."""
        found = shares(trace)
        head = f"{'Of the longest path':{self._service + 22}}{'at work':>10}{'in a queue':>12}{'in workflows':>14}"
        yield Text(head, QUIET)
        total = sum(share.seconds for share in found) or 1.0
        room = max(self.width - self._service - 61, 0)
        for share in sorted(found, key=lambda each: each.seconds, reverse=True):
            yield self._share(share, total, room)

    def _share(self, share: Share, total: float, room: int) -> Text:
        part = share.seconds / total
        line = Text.assemble((f"{share.service:{self._service}}", colour(share.service)))
        line.append(f"{duration(share.seconds * 1e9):>12}{part:>8.0%}  ")
        for seconds, columns in ((share.work, 10), (share.queue, 12), (share.workflow, 14)):
            said = duration(seconds * 1e9) if seconds else "0"
            line.append(f"{said:>{columns}}", "" if seconds / total >= 0.005 else QUIET)
        return line.append("  ").append(self._strokes.bar * round(part * room), colour(share.service))

    def _steps(self, trace: Trace) -> list[Step]:
        return unfold(trace.roots) if self._everything else fold(trace.roots)

    def _lines(self, step: Step, trace: Trace, lead: str, below: str) -> Iterator[Text]:
        service = step.span.service
        name = Text.assemble((lead, QUIET)).append_text(self._name(step, self._label - cell_len(lead)))
        line = Text.assemble((f"{set_cell_size(service, self._service)} ", colour(service)))
        line.append_text(_fit(name, self._label, self._strokes)).append(" ")
        line.append_text(self._bar_of(step, trace)).append(" ")
        length = "?" if step.missing else duration(step.span.end - step.span.begin)
        yield line.append(f"{length:>{TAKES}}", FAILED if step.span.failed else "")
        for number, child in enumerate(step.steps, start=1):
            last = number == len(step.steps)
            branch, through = (self._strokes.last, "  ") if last else (self._strokes.branch, self._strokes.through)
            yield from self._lines(child, trace, below + branch, below + through)

    def _name(self, step: Step, room: int | None = None) -> Text:
        span = step.span
        if step.missing:
            return Text.assemble((f"not kept: {span.name}", "italic"))
        said = span.name.replace(f":{span.service}.", ":") if self._everything else bare(span)
        name = Text.assemble((said, "bold" if step.kind == "workflow" else ""))
        notes = self._notes(step)
        if room is not None and name.cell_len + notes.cell_len > room:
            name = _shorten(name, room - notes.cell_len, self._strokes)
        return name.append_text(notes)

    def _notes(self, step: Step) -> Text:
        span, name = step.span, Text()
        if step.attempt > 1:
            name.append(f" #{step.attempt}", QUIET)
        if (why := reason(span)) is not None:
            # An error that only wraps another is explained by what failed below.
            why = why or next(filter(None, (reason(below.span) for _, below in step.walk())), "")
            name.append(f" {self._strokes.fault} {why}".rstrip(), FAILED if span.failed else "red")
        if step.statements:
            name.append(f" +{step.statements} SQL", QUIET)
        return name

    def _bar_of(self, step: Step, trace: Trace) -> Text:
        """In half columns; whatever happened has one."""
        total = max(trace.end - trace.begin, 1)
        halves = 2 * self._bar

        def at(moment: int) -> int:
            return min(max(round((moment - trace.begin) * halves / total), 0), halves)

        asked = min(at(step.asked), halves - 1)
        begin = min(at(step.span.begin), halves - 1)
        end = max(at(step.span.end), begin + 1)
        style = FAILED if step.span.failed else colour(step.span.service)
        bar = Text(" " * (asked // 2))
        bar.append(self._strokes.wait * (begin // 2 - asked // 2), f"{QUIET} {style}")
        first, last = begin // 2, (end - 1) // 2
        for column in range(first, last + 1):
            half_before = column == first and begin % 2 == 1
            half_after = column == last and end % 2 == 1
            stroke = (
                self._strokes.bar_begin if half_before else self._strokes.bar_end if half_after else self._strokes.bar
            )
            bar.append(self._strokes.wait if step.missing else stroke, style)
        return bar.append(" " * (self._bar - last - 1))


def _shorten(name: Text, room: int, strokes: Strokes) -> Text:
    """Of a request the end says more than the beginning."""
    verb, _, path = name.plain.partition(" /")
    tail = path.split("/")
    while len(tail) > 1:
        tail.pop(0)
        shorter = f"{verb} {strokes.cut}/{'/'.join(tail)}"
        if cell_len(shorter) <= room:
            return Text(shorter)
    return name


def _fit(text: Text, columns: int, strokes: Strokes) -> Text:
    fitted = _cut(text, columns, strokes)
    return fitted.append(" " * (columns - fitted.cell_len))


def _cut(text: Text, columns: int, strokes: Strokes) -> Text:
    if text.cell_len <= columns:
        return text
    shorter = text.copy()
    shorter.truncate(columns - 1)
    return shorter.append(strokes.cut, QUIET)


def legible(lines: Iterable[Text]) -> list[str]:
    """Without colours, and without blanks at the ends."""
    return [line.plain.rstrip() for line in lines]
