"""A running Waybill, and what its processes tell of themselves."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from temporalio.api.enums.v1 import EventType
from tests.e2e.world import PATIENCE_SECONDS, World

from chassis.testing.waiting import eventually
from waybill.stack import SERVICES
from waybill.stack.directory import SPANS
from waybill.tracing.spans import Kind, Span, read
from waybill.tracing.tree import Part, of_order

PROCESSES = (*SERVICES, "sandbox")
SENT = frozenset({"fulfilled", "partially_fulfilled"})
NAME, STREET, CITY, POSTCODE, EMAIL = (
    "Zenobia Quill",
    "77 Nightingale Lane",
    "Ravenglass",
    "9876ZX",
    "zenobia@quill.example",
)
"""Of every customer here. None of it may appear where telemetry goes."""

Edge = tuple[str, str, str]
"""From a service to a service, and what the second did."""


@dataclass
class Watched(World):
    """A stack that keeps its spans."""

    def body(self, *choices: Any, postcode: str = POSTCODE, **extra: Any) -> dict[str, Any]:
        """See the base class; the customer is always the same."""
        address = {"name": NAME, "street": STREET, "city": CITY, "postcode": postcode, "country": "NL"}
        return super().body(*choices, **{"address": address, "email": EMAIL, **extra})

    def spans(self) -> list[Span]:
        """All that are kept until now."""
        reading = read([self.stack.directory / SPANS])
        assert reading.broken == 0
        return reading.spans

    def parts(self, order_id: str) -> list[Part]:
        """The traces of an order, its own first."""
        return of_order(self.spans(), order_id)

    def lines(self, process: str) -> Iterator[dict[str, Any]]:
        """A process's log."""
        for line in (self.stack.directory / "logs" / f"{process}.log").read_text().splitlines():
            yield json.loads(line)

    async def settled(self, order_id: str) -> None:
        """Wait until an order has ended, all that it left behind has too, and the spans of that are kept."""
        document = await self.reached(order_id)
        await self.told(order_id)
        workflows = [f"fulfil:{order_id}"]
        if document["status"] in SENT:
            await self.delivered([order_id])
            workflows += [f"follow:{order_id}", f"track:{order_id}:1"]
        for workflow_id in workflows:
            await self.closed(workflow_id)
        # Where a task timed out and was done again, the span of a signal that had come with it is not made.
        deaf = any([await self.lost_a_task(workflow_id) for workflow_id in workflows])

        def kept() -> bool:
            runs = {span.workflow_id for span in self.spans() if span.name.startswith("RunWorkflow:")}
            assert set(workflows) <= runs, f"of {workflows} only {runs}"
            for part in self.parts(order_id):
                missing = [node.span.name for node in part.trace.nodes() if node.missing]
                assert not missing, f"parts of {missing} are kept, and not they themselves"
            left = [call for call in unanswered(self.parts(order_id)) if not (deaf and ": Signal" in call)]
            assert not left, f"nobody answered {left}"
            return True

        await eventually(kept, timeout=PATIENCE_SECONDS)

    async def lost_a_task(self, workflow_id: str) -> bool:
        """Whether a task of a workflow timed out."""
        history = await self.client.get_workflow_handle(workflow_id).fetch_history()
        return any(event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_TIMED_OUT for event in history.events)


def unanswered(parts: list[Part]) -> list[str]:
    """Calls that nobody answered, neither below them nor in a trace that is linked to them."""
    linked = {link.span_id for part in parts for span in part.trace.spans for link in span.links}
    return [
        f"{node.span.service}: {node.span.name}"
        for part in parts
        for node in part.trace.nodes()
        if node.span.kind is Kind.CLIENT
        and not (node.span.is_sql or node.span.failed or node.children or node.span.span_id in linked)
    ]


def edges(parts: list[Part]) -> set[Edge]:
    """Where a span of one service has a part in another."""
    return {
        (node.span.service, child.span.service, child.span.name)
        for part in parts
        for node in part.trace.nodes()
        for child in node.children
        if node.span.service != child.span.service
    }


def links(parts: list[Part]) -> set[Edge]:
    """Where a trace is linked to another: from the earlier one to the later, which is the one that says so."""
    by_id = {span.span_id: span for part in parts for span in part.trace.spans}
    return {
        (by_id[link.span_id].service, span.service, span.name)
        for part in parts
        for span in part.trace.spans
        for link in span.links
        if link.span_id in by_id
    }
