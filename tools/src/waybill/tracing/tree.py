"""From spans to trees, and from an order to its traces."""

import difflib
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from waybill.tracing.spans import Kind, Link, Span

SIMILAR = 3
"""How many orders are named where there is none of that id."""

Relation = Literal["order", "about", "linked"]


class NoTrace(Exception):  # noqa: N818 - it names a state
    """There are no spans, or none of that order. The text says what to do."""


@dataclass(eq=False)
class Node:
    """A span and what was done for it.

    Attributes:
        span: The span. Of a missing one, what its children tell of it.
        missing: Whether nobody kept it: it has not ended yet, or its process was killed.
        children: In the order in which they began.
    """

    span: Span
    missing: bool = False
    children: list["Node"] = field(default_factory=list)

    def walk(self) -> Iterator["Node"]:
        """This one and all below it, parents first."""
        yield self
        for child in self.children:
            yield from child.walk()


@dataclass(frozen=True)
class Trace:
    """All spans with one trace id.

    Attributes:
        trace_id: Of all of them.
        roots: Those without a parent, and missing ones.
    """

    trace_id: str
    roots: list[Node]

    def nodes(self) -> Iterator[Node]:
        """All, parents first."""
        for root in self.roots:
            yield from root.walk()

    @property
    def spans(self) -> list[Span]:
        """Those that were kept, parents first."""
        return [node.span for node in self.nodes() if not node.missing]

    @property
    def begin(self) -> int:
        """Of the first span, in nanoseconds since 1970."""
        return min(node.span.begin for node in self.nodes())

    @property
    def end(self) -> int:
        """Of the last one to end."""
        return max(node.span.end for node in self.nodes())


@dataclass(frozen=True)
class Part:
    """A trace that belongs to an order.

    Attributes:
        trace: The trace.
        relation: The order's own; another about its workflow, such as a cancellation; or one that is linked.
        origin: The span that it is linked to, where that is known.
    """

    trace: Trace
    relation: Relation
    origin: Span | None = None


def build(spans: Iterable[Span]) -> Trace:
    """Put the spans of one trace together.

    Args:
        spans: All of one trace id, at least one.
    """
    nodes = sorted((Node(span) for span in spans), key=_begin)
    by_id = {node.span.span_id: node for node in reversed(nodes)}
    roots: list[Node] = []
    orphans: defaultdict[str, list[Node]] = defaultdict(list)
    for node in nodes:
        parent = by_id.get(node.span.parent_id)
        if parent is not None and parent is not node:
            parent.children.append(node)
        elif node.span.parent_id and parent is None:
            orphans[node.span.parent_id].append(node)
        else:
            roots.append(node)
    starts = {
        node.span.workflow_id: node
        for node in nodes
        if node.span.name.startswith("StartWorkflow:") and node.span.workflow_id
    }
    for span_id, children in orphans.items():
        missing = _missing(span_id, children)
        home = starts.get(missing.span.workflow_id)
        siblings = roots if home is None else home.children
        siblings.append(missing)
        siblings.sort(key=_begin)
    return Trace(nodes[0].span.trace_id, sorted(roots, key=_begin))


def _missing(span_id: str, children: list[Node]) -> Node:
    """What can be said of a span that nobody kept.

    Whoever asks is in the same service, and in the same workflow, as the one whose part the asking is.
    """
    first = children[0].span
    askers = [child.span for child in children if child.span.kind is not Kind.SERVER]
    workflows = {span.workflow_id for span in askers}
    workflow_id = workflows.pop() if len(workflows) == 1 else ""
    attributes = {
        name: value for name, value in first.attributes.items() if workflow_id and name.startswith("temporal")
    }
    span = replace(
        first,
        span_id=span_id,
        parent_id="",
        name=workflow_id or "?",
        service=askers[0].service if askers else "?",
        begin=min(child.span.begin for child in children),
        end=max(node.span.end for child in children for node in child.walk()),
        attributes=attributes,
        kind=Kind.UNSPECIFIED,
        links=(),
        events=(),
        failed=False,
        message="",
    )
    return Node(span, missing=True, children=children)


def of_order(spans: Collection[Span], order_id: str) -> list[Part]:
    """The traces of an order, its own first, then the others in the order in which they began.

    Args:
        spans: All that there are.
        order_id: Of the order.

    Raises:
        NoTrace: If there is none.
    """
    workflow_id = f"fulfil:{order_id}"
    mine = sorted((span for span in spans if span.workflow_id == workflow_id), key=lambda span: span.begin)
    if not mine:
        raise NoTrace(_unknown(spans, order_id))
    begun = (span for span in mine if span.name.startswith(("StartWorkflow:", "RunWorkflow:", "StartActivity:")))
    own = next(begun, mine[0]).trace_id
    return _parts(spans, own, {span.trace_id for span in mine})


def of_trace(spans: Collection[Span], trace_id: str) -> list[Part]:
    """A trace and those that are linked to it.

    Args:
        spans: All that there are.
        trace_id: In hexadecimal.

    Raises:
        NoTrace: If there is none.
    """
    if not any(span.trace_id == trace_id for span in spans):
        raise NoTrace(f"no span of a trace {trace_id} is kept")
    return _parts(spans, trace_id, {trace_id})


def _parts(spans: Collection[Span], own: str, about: Collection[str]) -> list[Part]:
    by_trace: defaultdict[str, list[Span]] = defaultdict(list)
    linked: defaultdict[str, list[tuple[str, Link]]] = defaultdict(list)
    for span in spans:
        by_trace[span.trace_id].append(span)
        for link in span.links:
            linked[link.trace_id].append((span.trace_id, link))
    origins: dict[str, Link] = {}
    waiting = [own, *about]
    while waiting:
        for trace_id, link in linked[waiting.pop()]:
            if trace_id not in origins and trace_id not in about:
                origins[trace_id] = link
                waiting.append(trace_id)
    parts = [Part(build(by_trace[trace_id]), "linked", _find(by_trace, link)) for trace_id, link in origins.items()] + [
        Part(build(by_trace[trace_id]), "about") for trace_id in about if trace_id != own
    ]
    return [Part(build(by_trace[own]), "order"), *sorted(parts, key=lambda part: part.trace.begin)]


def _find(by_trace: Mapping[str, list[Span]], link: Link) -> Span | None:
    return next((span for span in by_trace[link.trace_id] if span.span_id == link.span_id), None)


def _unknown(spans: Collection[Span], order_id: str) -> str:
    known = {span.workflow_id.removeprefix("fulfil:") for span in spans if span.workflow_id.startswith("fulfil:")}
    like = sorted(each for each in known if order_id in each) or difflib.get_close_matches(order_id, known, SIMILAR)
    near = (like or sorted(known))[:SIMILAR]
    there = f"; there are spans of {len(known)} orders, such as {', '.join(near)}" if near else ""
    return f"no span of an order {order_id} is kept; a process keeps a span some seconds after it ended{there}"


def _begin(node: Node) -> tuple[int, int]:
    return node.span.begin, -node.span.end
