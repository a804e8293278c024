"""Reads what processes kept of their spans."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Span:
    """One span out of a file."""

    name: str
    trace: str
    id: str
    parent: str | None
    links: tuple[str, ...]
    seconds: float
    attributes: dict[str, Any]
    resource: dict[str, Any]


def read(path: Path) -> list[Span]:
    """All spans of a file, in the order in which they ended."""
    found = []
    for line in path.read_text().splitlines() if path.exists() else []:
        for batch in json.loads(line)["resourceSpans"]:
            resource = _plain(batch["resource"]["attributes"])
            for scope in batch["scopeSpans"]:
                found += [_span(each, resource) for each in scope["spans"]]
    return found


def _span(span: dict[str, Any], resource: dict[str, Any]) -> Span:
    return Span(
        span["name"],
        span["traceId"],
        span["spanId"],
        span.get("parentSpanId") or None,
        tuple(link["spanId"] for link in span.get("links", [])),
        (int(span["endTimeUnixNano"]) - int(span["startTimeUnixNano"])) / 1e9,
        _plain(span.get("attributes", [])),
        resource,
    )


def _plain(attributes: list[dict[str, Any]]) -> dict[str, Any]:
    return {each["key"]: next(iter(each["value"].values())) for each in attributes}
