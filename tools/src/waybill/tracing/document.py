"""Traces as one JSON document, for programs."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from waybill.tracing.spans import Span
from waybill.tracing.summary import finish, path, shares
from waybill.tracing.tree import Node, Part


def document(parts: Sequence[Part]) -> dict[str, Any]:
    """All that is drawn, and the attributes besides.

    Args:
        parts: An order's traces, its own first.
    """
    return {"traces": [_trace(part) for part in parts]}


def _trace(part: Part) -> dict[str, Any]:
    trace = part.trace
    return {
        "trace_id": trace.trace_id,
        "relation": part.relation,
        "linked_to": None if part.origin is None else _name(part.origin),
        "begin": _at(trace.begin),
        "seconds": (finish(trace) - trace.begin) / 1e9,
        "spans": [_span(node, trace.begin) for node in trace.nodes()],
        "services": [
            {
                "service": share.service,
                "spans": share.spans,
                "work_seconds": share.work,
                "queue_seconds": share.queue,
                "workflow_seconds": share.workflow,
            }
            for share in shares(trace)
        ],
        "longest_path": [
            {
                "span": None if stretch.span is None else _name(stretch.span),
                "spent": stretch.spent,
                "offset_seconds": (stretch.begin - trace.begin) / 1e9,
                "seconds": stretch.seconds,
            }
            for stretch in path(trace)
        ],
    }


def _span(node: Node, begin: int) -> dict[str, Any]:
    span = node.span
    return {
        "span_id": span.span_id,
        "parent_id": span.parent_id or None,
        "name": span.name,
        "kind": span.kind.name.lower(),
        "service": span.service,
        "kept": not node.missing,
        "offset_seconds": (span.begin - begin) / 1e9,
        "seconds": (span.end - span.begin) / 1e9,
        "failed": span.failed,
        "message": span.message,
        "attributes": dict(span.attributes),
        "links": [{"trace_id": link.trace_id, "span_id": link.span_id} for link in span.links],
    }


def _name(span: Span) -> dict[str, str]:
    return {"trace_id": span.trace_id, "span_id": span.span_id, "service": span.service, "name": span.name}


def _at(nanoseconds: int) -> str:
    return datetime.fromtimestamp(nanoseconds / 1e9, UTC).isoformat()
