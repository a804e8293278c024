"""Spans as processes keep them in files: OTLP in JSON, one export a line."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import Any

WORKFLOW_ID = "temporalWorkflowID"
SQL_SCOPE = "opentelemetry.instrumentation.sqlalchemy"


class Kind(IntEnum):
    """As OTLP numbers them."""

    UNSPECIFIED = 0
    INTERNAL = 1
    SERVER = 2
    CLIENT = 3
    PRODUCER = 4
    CONSUMER = 5


@dataclass(frozen=True, slots=True)
class Link:
    """From a span to another, mostly of another trace."""

    trace_id: str
    span_id: str


@dataclass(frozen=True, slots=True)
class Event:
    """A moment within a span."""

    name: str
    attributes: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Span:
    """What one process did for one trace.

    Attributes:
        trace_id: In hexadecimal, as all ids.
        span_id: Of the span.
        parent_id: Of the span that it is part of; empty for the first of a trace.
        name: As the instrumentation gave it.
        kind: Who asked, and who answered.
        service: Name of the service.
        begin: Nanoseconds since 1970.
        end: Likewise.
        scope: Name of the instrumentation.
        attributes: By name.
        links: To other spans.
        events: Within it.
        failed: Whether its status is an error.
        message: Of the status.
    """

    trace_id: str
    span_id: str
    parent_id: str
    name: str
    kind: Kind
    service: str
    begin: int
    end: int
    scope: str = ""
    attributes: Mapping[str, Any] = field(default_factory=dict)
    links: tuple[Link, ...] = ()
    events: tuple[Event, ...] = ()
    failed: bool = False
    message: str = ""

    @property
    def workflow_id(self) -> str:
        """Of the workflow that it belongs to, or that it starts from outside; empty if there is none."""
        return str(self.attributes.get(WORKFLOW_ID, ""))

    @property
    def is_sql(self) -> bool:
        """Whether it is a statement that a database did."""
        return self.scope == SQL_SCOPE or "db.system.name" in self.attributes


@dataclass(frozen=True)
class Reading:
    """What stands in files.

    Attributes:
        spans: All of them, in no order; one that was written twice is there twice.
        files: How many files there are.
        broken: How many lines are not what they should be, but for a last one that is half written.
    """

    spans: list[Span]
    files: int
    broken: int


def read(paths: Iterable[Path]) -> Reading:
    """Read files with spans.

    Args:
        paths: Files, or folders with files that end in ``.jsonl``. What is not there holds nothing.

    Returns:
        What could be read.
    """
    spans: list[Span] = []
    files = broken = 0
    for path in _files(paths):
        files += 1
        with path.open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                if not line.strip():
                    continue
                try:
                    # As a whole: half of a line that cannot be read is not taken.
                    spans.extend(list(_parse(json.loads(line))))
                except (ValueError, TypeError, KeyError, AttributeError):
                    broken += line.endswith("\n")
    return Reading(spans, files, broken)


def _files(paths: Iterable[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            yield from sorted(path.glob("*.jsonl"))
        elif path.exists():
            yield path


def _parse(export: Mapping[str, Any]) -> Iterator[Span]:
    for resource_spans in export["resourceSpans"]:
        service = str(_attributes(resource_spans.get("resource", {})).get("service.name", "unknown"))
        for scope_spans in resource_spans.get("scopeSpans", []):
            scope = str(scope_spans.get("scope", {}).get("name", ""))
            for span in scope_spans.get("spans", []):
                yield _span(span, service, scope)


def _span(span: Mapping[str, Any], service: str, scope: str) -> Span:
    status = span.get("status") or {}
    return Span(
        trace_id=span["traceId"].lower(),
        span_id=span["spanId"].lower(),
        parent_id=(span.get("parentSpanId") or "").lower(),
        name=str(span["name"]),
        kind=Kind(span.get("kind", 0)),
        service=service,
        begin=int(span["startTimeUnixNano"]),
        end=int(span["endTimeUnixNano"]),
        scope=scope,
        attributes=_attributes(span),
        links=tuple(Link(link["traceId"].lower(), link["spanId"].lower()) for link in span.get("links", [])),
        events=tuple(Event(str(event["name"]), _attributes(event)) for event in span.get("events", [])),
        failed=status.get("code", 0) == 2,
        message=str(status.get("message", "")),
    )


def _attributes(holder: Mapping[str, Any]) -> dict[str, Any]:
    return {each["key"]: _value(each.get("value", {})) for each in holder.get("attributes", [])}


def _value(value: Mapping[str, Any]) -> Any:
    """OTLP says of each value what it is; JSON has whole numbers as texts."""
    for name, content in value.items():
        match name:
            case "intValue":
                return int(content)
            case "arrayValue":
                return [_value(each) for each in content.get("values", [])]
            case "kvlistValue":
                return {each["key"]: _value(each.get("value", {})) for each in content.get("values", [])}
            case _:
                return content
    return None
