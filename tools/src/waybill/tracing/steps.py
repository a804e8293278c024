"""What people want to see of a trace: a call and its answer as one step, statements counted rather than shown."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from waybill.tracing.spans import Kind, Span
from waybill.tracing.tree import Node

ASKERS = frozenset({Kind.CLIENT, Kind.PRODUCER})
ANSWERERS = frozenset({Kind.SERVER, Kind.CONSUMER})
LATE = 50_000_000
"""Nanoseconds after the end of a request in which its server may still be busy with the end of its span."""
RUNS = ("RunWorkflow:", "RunActivity:")


@dataclass(eq=False)
class Step:
    """A line of the drawing.

    Attributes:
        span: What was done. Of a call that was answered by one of us: the answer.
        asked: When it was asked for, in nanoseconds since 1970; when it began, if nobody of us asked.
        missing: Whether the span itself was not kept.
        attempt: Counts the answers to one call.
        statements: How many statements its database did for it.
        steps: What was done for it, in the order in which it was asked for.
    """

    span: Span
    asked: int
    missing: bool = False
    attempt: int = 1
    statements: int = 0
    steps: list["Step"] = field(default_factory=list)

    @property
    def end(self) -> int:
        """When it had ended. What answers at once, and leaves work behind, has ended when that has."""
        if self.kind != "request" or self.span.kind in ASKERS:
            return self.span.end
        return max([self.span.end, *(step.end for step in self.steps)])

    @property
    def kind(self) -> str:
        """``workflow``, ``activity``, ``call`` (of Temporal), or ``request``."""
        name = self.span.name
        if name.startswith("RunWorkflow:") or self.missing:
            return "workflow"
        if name.startswith("RunActivity:"):
            return "activity"
        return "call" if self.span.workflow_id and self.span.kind in ASKERS else "request"

    def walk(self, depth: int = 0) -> Iterator[tuple[int, "Step"]]:
        """This one and all below it, with their depth, parents first."""
        yield depth, self
        for step in self.steps:
            yield from step.walk(depth + 1)


def fold(nodes: Iterable[Node]) -> list[Step]:
    """The steps of a trace, in the order in which they were asked for.

    Args:
        nodes: Its roots.
    """
    return _ordered(step for node in nodes for step in _fold(node))


def unfold(nodes: Iterable[Node]) -> list[Step]:
    """Every span as a step of its own."""
    return [Step(node.span, node.span.begin, node.missing, steps=unfold(node.children)) for node in nodes]


def _fold(node: Node) -> Iterator[Step]:
    """A call whose answers are known is shown as those. What its answers do not explain is its own."""
    if not _is_answered(node):
        yield _step(node, node.span.begin)
        return
    attempts = 0
    for number, child in enumerate(node.children):
        step = _step(child, child.span.begin if number else min(node.span.begin, child.span.begin))
        attempts += child.span.name.startswith(RUNS)
        step.attempt = max(attempts, 1)
        yield step


def _is_answered(node: Node) -> bool:
    """Whether the answers of a call say all that it does."""
    span, children = node.span, node.children
    if span.kind not in ASKERS or not children:
        return False
    if any(child.span.kind not in ANSWERERS and not child.missing for child in children):
        return False
    if span.failed and not any(child.span.failed for child in children):
        return False
    # A request whose answer came when nobody waited any more is a line of its own.
    return bool(span.workflow_id) or all(child.span.end <= span.end + LATE for child in children)


def _step(node: Node, asked: int) -> Step:
    statements = [child for child in node.children if child.span.is_sql and not child.children]
    others = [child for child in node.children if child not in statements]
    return Step(node.span, asked, node.missing, statements=len(statements), steps=fold(others))


def _ordered(steps: Iterable[Step]) -> list[Step]:
    return sorted(steps, key=lambda step: (step.asked, step.span.begin))
