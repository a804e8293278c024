"""Files with spans, as processes keep them."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ORDER = "A-1"
TRACE = "a" * 32
SERVER, CLIENT, INTERNAL = 2, 3, 1
MILLISECOND = 1_000_000
BEGIN = 1_790_000_000_000_000_000


def span(
    name: str,
    span_id: str,
    parent: str = "",
    *,
    at: tuple[float, float] = (0, 1),
    kind: int = SERVER,
    trace: str = TRACE,
    workflow: str = "",
    links: Iterable[tuple[str, str]] = (),
    error: str | None = None,
    thrown: str | None = None,
    **attributes: Any,
) -> dict[str, Any]:
    """One span, as OTLP has it in JSON.

    Args:
        name: Of the span.
        span_id: Short; made long enough.
        parent: The parent's, likewise.
        at: Begin and end, in milliseconds.
        kind: As OTLP numbers them.
        trace: Its id.
        workflow: Id of the workflow that it belongs to.
        links: Trace ids and span ids.
        error: Message of its status, where it failed.
        thrown: Message of an exception in it, whatever its status.
        **attributes: Others; two underscores stand for a full stop.
    """
    values = {name.replace("__", "."): value for name, value in attributes.items()}
    if workflow:
        values |= {"temporalWorkflowID": workflow, "temporalRunID": f"run-of-{workflow}"}
    events = [{"name": "exception", "attributes": coded({"exception.message": thrown})}] if thrown else []
    return {
        "traceId": trace,
        "spanId": long(span_id),
        **({"parentSpanId": long(parent)} if parent else {}),
        "name": name,
        "kind": kind,
        "startTimeUnixNano": str(BEGIN + int(at[0] * MILLISECOND)),
        "endTimeUnixNano": str(BEGIN + int(at[1] * MILLISECOND)),
        "attributes": coded(values),
        "links": [{"traceId": trace_id, "spanId": long(linked)} for trace_id, linked in links],
        "events": events,
        "status": {} if error is None else {"code": 2, "message": error},
    }


def statement(span_id: str, parent: str, at: tuple[float, float], verb: str = "SELECT", **more: Any) -> dict[str, Any]:
    """A span of a statement."""
    return span(verb, span_id, parent, at=at, kind=CLIENT, db__system__name="postgresql", **more)


def long(span_id: str) -> str:
    """A span id of the length that they have."""
    return span_id.encode().hex().rjust(16, "0")[-16:] if span_id else ""


def coded(values: dict[str, Any]) -> list[dict[str, Any]]:
    """Attributes, as OTLP has them."""
    return [
        {"key": key, "value": {"intValue": str(value)} if isinstance(value, int) else {"stringValue": value}}
        for key, value in values.items()
    ]


def line(service: str, spans: list[dict[str, Any]]) -> str:
    """One export."""
    resource = {"attributes": coded({"service.name": service, "service.namespace": "waybill"})}
    return json.dumps(
        {"resourceSpans": [{"resource": resource, "scopeSpans": [{"scope": {"name": "t"}, "spans": spans}]}]}
    )


@dataclass
class Shop:
    """The spans of one order, by service."""

    spans: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def add(self, service: str, *spans: dict[str, Any]) -> None:
        """More of a service."""
        self.spans.setdefault(service, []).extend(spans)

    def write(self, folder: Path) -> Path:
        """A file a service, several lines each. Returns the folder."""
        folder.mkdir(parents=True, exist_ok=True)
        for service, spans in self.spans.items():
            exports = [spans[:2], spans[2:]] if len(spans) > 2 else [spans]
            (folder / f"{service}.jsonl").write_text("".join(f"{line(service, each)}\n" for each in exports))
        return folder


def order() -> Shop:
    """An order that reserves stock and pays, with a cancellation that is refused, and a delivery that follows."""
    shop = Shop()
    fulfil = f"fulfil:{ORDER}"
    shop.add(
        "orchestrator",
        span("POST /orders", "post", at=(0, 50)),
        statement("row", "post", (5, 10), "INSERT"),
        span("StartWorkflow:orchestrator.FulfilOrder", "start", "post", at=(10, 30), kind=CLIENT, workflow=fulfil),
        span("RunWorkflow:orchestrator.FulfilOrder", "fulfil", "start", at=(40, 1000), workflow=fulfil),
        span("StartChildWorkflow:inventory.ReserveStock", "ask-r", "fulfil", at=(50, 80), kind=CLIENT, workflow=fulfil),
        span(
            "StartChildWorkflow:payments.AuthorisePayment",
            "ask-a",
            "fulfil",
            at=(310, 350),
            kind=CLIENT,
            workflow=fulfil,
        ),
        span(
            "StartChildWorkflow:orchestrator.FollowDelivery",
            "ask-f",
            "fulfil",
            at=(950, 990),
            kind=CLIENT,
            workflow=fulfil,
        ),
        span("POST /orders/{order_id}/cancellation", "cancel", at=(700, 720), trace="c" * 32),
        span("StartWorkflowUpdate:cancel", "up", "cancel", at=(705, 715), kind=CLIENT, trace="c" * 32, workflow=fulfil),
        span(
            "RunWorkflow:orchestrator.FollowDelivery",
            "follow",
            at=(1100, 5000),
            trace="f" * 32,
            workflow=f"follow:{ORDER}",
            links=[(TRACE, "ask-f")],
        ),
        span(
            "StartChildWorkflow:shipping.TrackShipment",
            "ask-t",
            "follow",
            at=(1110, 1200),
            kind=CLIENT,
            trace="f" * 32,
            workflow=f"follow:{ORDER}",
        ),
        span("RunWorkflow:orchestrator.FulfilOrder", "other", at=(0, 900), trace="b" * 32, workflow="fulfil:B-2"),
    )
    reserve, authorise = f"reserve:{ORDER}", f"authorise:{ORDER}"
    shop.add(
        "inventory",
        span("RunWorkflow:inventory.ReserveStock", "reserve", "ask-r", at=(100, 300), workflow=reserve),
        span("StartActivity:inventory.reserve", "ask-s", "reserve", at=(110, 111), kind=CLIENT, workflow=reserve),
        span("RunActivity:inventory.reserve", "stock", "ask-s", at=(150, 280), workflow=reserve),
        statement("s1", "stock", (160, 170)),
        statement("s2", "stock", (170, 270), "UPDATE"),
    )
    shop.add(
        "payments",
        span("RunWorkflow:payments.AuthorisePayment", "pay", "ask-a", at=(400, 900), workflow=authorise),
        span("StartActivity:payments.authorise", "ask-p", "pay", at=(410, 411), kind=CLIENT, workflow=authorise),
        span(
            "RunActivity:payments.authorise",
            "try-1",
            "ask-p",
            at=(420, 500),
            workflow=authorise,
            error="TimeoutError: ",
        ),
        span("RunActivity:payments.authorise", "try-2", "ask-p", at=(600, 880), workflow=authorise),
        span("POST", "http", "try-2", at=(610, 870), kind=CLIENT, http__response__status_code=201),
    )
    shop.add("sandbox", span("POST /gateway/v1/authorisations", "gate", "http", at=(620, 860)))
    shop.add(
        "shipping",
        span(
            "RunWorkflow:shipping.TrackShipment",
            "track",
            at=(1300, 4000),
            trace="e" * 32,
            workflow=f"track:{ORDER}:1",
            links=[("f" * 32, "ask-t")],
        ),
    )
    return shop
