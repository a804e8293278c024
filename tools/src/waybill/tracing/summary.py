"""Where the time of a trace went: along its longest path, whose it was, and what it was spent on."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from waybill.tracing.spans import Span
from waybill.tracing.steps import Step, fold
from waybill.tracing.tree import Trace

Spent = Literal["work", "queue", "workflow"]
"""At work; between a call and its answer, so mostly in a queue; in a workflow that waits for none of its steps."""


@dataclass(frozen=True)
class Stretch:
    """A part of the longest path, which has no gaps.

    Attributes:
        span: On whose account it is; None where nothing that was kept ran.
        spent: On what.
        begin: Nanoseconds since 1970.
        end: Likewise.
    """

    span: Span | None
    spent: Spent
    begin: int
    end: int

    @property
    def seconds(self) -> float:
        """How long it is."""
        return (self.end - self.begin) / 1e9


@dataclass(frozen=True)
class Share:
    """A service's part of a trace.

    Attributes:
        service: Its name.
        spans: How many are its.
        work: Seconds of the longest path in which it was at work.
        queue: Those in which something waited for it.
        workflow: Those in which its workflows waited for no step: for a workflow task, a timer, a message.
    """

    service: str
    spans: int
    work: float = 0.0
    queue: float = 0.0
    workflow: float = 0.0

    @property
    def seconds(self) -> float:
        """Of the longest path, all together."""
        return self.work + self.queue + self.workflow


def path(trace: Trace) -> list[Stretch]:
    """The longest path through a trace: at each moment, the step that ended last before the next could begin.

    Args:
        trace: Of which.

    Returns:
        Stretches without gaps, from the trace's begin to its finish.
    """
    stretches: list[Stretch] = []
    _follow(None, fold(trace.roots), trace.begin, finish(trace), stretches)
    return stretches[::-1]


def finish(trace: Trace) -> int:
    """When what was asked for had been done. An answer that nobody waited for any more may come later."""
    return max(step.end for step in fold(trace.roots))


def shares(trace: Trace) -> list[Share]:
    """What each service had of a trace, in the order in which they came in."""
    counts: dict[str, int] = {}
    for span in sorted(trace.spans, key=lambda span: span.begin):
        counts[span.service] = counts.get(span.service, 0) + 1
    spent: dict[tuple[str, str], float] = {}
    for stretch in path(trace):
        if stretch.span is not None:
            key = stretch.span.service, stretch.spent
            spent[key] = spent.get(key, 0.0) + stretch.seconds
    return [
        Share(
            service,
            count,
            spent.get((service, "work"), 0.0),
            spent.get((service, "queue"), 0.0),
            spent.get((service, "workflow"), 0.0),
        )
        for service, count in counts.items()
    ]


def _follow(owner: Step | None, steps: Sequence[Step], begin: int, end: int, found: list[Stretch]) -> None:
    """From the end to the begin, latest first."""
    at = end
    for step in sorted(steps, key=lambda step: step.end, reverse=True):
        if at <= begin:
            return
        start, stop = max(step.asked, begin), min(step.end, at)
        if start >= stop:
            continue
        found.extend(_own(owner, stop, at))
        _follow(step, step.steps, start, stop, found)
        at = start
    found.extend(_own(owner, begin, at))


def _own(owner: Step | None, begin: int, end: int) -> Iterable[Stretch]:
    """What a step did itself between two moments, latest first."""
    if begin >= end:
        return
    if owner is None:
        yield Stretch(None, "work", begin, end)
        return
    if owner.kind == "call":
        yield Stretch(owner.span, "queue", begin, end)
        return
    spent: Spent = "workflow" if owner.kind == "workflow" else "work"
    began = min(max(owner.span.begin, begin), end)
    if began < end:
        yield Stretch(owner.span, spent, began, end)
    if begin < began:
        yield Stretch(owner.span, "queue", begin, began)
