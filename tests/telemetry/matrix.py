"""What each service must tell of itself in a run of a few orders."""

from dataclasses import dataclass

from waybill.tracing.spans import Kind

UNFINISHED = "Completing activity as failed"
"""What the SDK logs of an activity that failed."""

EVERYWHERE = {
    "http_server_request_duration_seconds_count",
    "db_client_operation_duration_seconds_count",
    "db_client_connections",
    "task_queue_backlog_tasks",
    "task_queue_backlog_age_seconds",
    "task_queue_pollers",
    "telemetry_spans_exported_total",
    "telemetry_spans_dropped_total",
    "process_cpu_seconds_total",
    "process_resident_memory_bytes",
    "python_info",
    "temporal_num_pollers",
    "temporal_request_latency_seconds_count",
    "temporal_worker_task_slots_available",
    "temporal_worker_task_slots_used",
    "temporal_workflow_completed_total",
    "temporal_workflow_task_schedule_to_start_latency_seconds_count",
}
LOCAL = {"temporal_local_activity_execution_latency_seconds_count"}
ORDINARY = {
    "temporal_activity_execution_latency_seconds_count",
    "temporal_activity_schedule_to_start_latency_seconds_count",
}
ACTIVITIES = {
    "orchestrator": LOCAL | ORDINARY,
    "inventory": LOCAL,
    "payments": ORDINARY,
    "shipping": LOCAL | ORDINARY,
}
"""What is measured of activities, by what the services have of them."""
SQL = {("SELECT", Kind.CLIENT), ("INSERT", Kind.CLIENT), ("UPDATE", Kind.CLIENT)}
CALL = {("POST", Kind.CLIENT)}


def workflows(*names: str) -> set[tuple[str, Kind]]:
    """Spans of workflows that a service runs."""
    return {(f"RunWorkflow:{name}", Kind.SERVER) for name in names}


def activities(*names: str) -> set[tuple[str, Kind]]:
    """Spans of activities, asked for and run by the same service."""
    return {
        span
        for name in names
        for span in ((f"StartActivity:{name}", Kind.CLIENT), (f"RunActivity:{name}", Kind.SERVER))
    }


def children(*names: str) -> set[tuple[str, Kind]]:
    """Spans of workflows that a service starts as children."""
    return {(f"StartChildWorkflow:{name}", Kind.CLIENT) for name in names}


def requests(*names: str) -> set[tuple[str, Kind]]:
    """Spans of requests that a service answers."""
    return {(name, Kind.SERVER) for name in names}


@dataclass(frozen=True)
class Signals:
    """What a service gives in a run of a few orders.

    Attributes:
        metrics: Its own, as name and, where it has any, one set of labels that must be there.
        spans: Names and kinds.
        events: Lines about an order, written within a workflow or an activity.
    """

    metrics: set[tuple[str, frozenset[tuple[str, str]]]]
    spans: set[tuple[str, Kind]]
    events: set[str]


def series(name: str, **labels: str) -> tuple[str, frozenset[tuple[str, str]]]:
    """A series, by what must be among its labels."""
    return name, frozenset(labels.items())


MATRIX = {
    "orchestrator": Signals(
        {
            series("orders_accepted_total", channel="api"),
            series("orders_finished_total", outcome="fulfilled", reason="none"),
            series("orders_finished_total", outcome="rejected", reason="out_of_stock"),
            series("order_duration_seconds_count", outcome="fulfilled"),
            series("orders_in_progress"),
            series("orders_oldest_in_progress_seconds"),
            series("messages_sent_total", result="sent"),
        },
        SQL
        | CALL
        | requests("POST /orders", "GET /orders/{order_id}", "POST /orders/{order_id}/approval")
        | workflows("orchestrator.FulfilOrder", "orchestrator.FollowDelivery")
        | activities("orchestrator.record_state", "orchestrator.record_delivery", "orchestrator.conclude")
        | activities("orchestrator.send_message")
        | {("StartWorkflow:orchestrator.FulfilOrder", Kind.CLIENT), ("HandleUpdate:decide", Kind.SERVER)}
        | children(
            "inventory.ReserveStock",
            "inventory.CommitStock",
            "inventory.ReleaseStock",
            "payments.AuthorisePayment",
            "payments.CapturePayment",
            "payments.ReversePayment",
            "shipping.PlanShipment",
            "shipping.BookShipment",
            "shipping.CancelShipment",
            "shipping.TrackShipment",
        ),
        {UNFINISHED},
    ),
    "inventory": Signals(
        {
            series("reservations_total", result="done"),
            series("stock_moved_units_total", movement="reserve"),
            series("stock_moved_units_total", movement="commit"),
            series("stock_moved_units_total", movement="release"),
            series("stock_units"),
        },
        SQL
        | requests("PUT /catalogue/{sku}", "POST /receipts")
        | workflows("inventory.ReserveStock", "inventory.CommitStock", "inventory.ReleaseStock")
        | activities("inventory.reserve", "inventory.commit", "inventory.release"),
        {UNFINISHED},
    ),
    "payments": Signals(
        {
            series("payments_total", operation="authorise", result="done"),
            series("payments_total", operation="authorise", result="declined"),
            series("payments_total", operation="capture", result="done"),
            series("payments_total", operation="void", result="done"),
        },
        SQL
        | CALL
        | {("GET", Kind.CLIENT)}
        | workflows("payments.AuthorisePayment", "payments.CapturePayment", "payments.ReversePayment")
        | activities("payments.authorise", "payments.capture", "payments.void"),
        {"the gateway's answer is unknown: looking it up"},
    ),
    "shipping": Signals(
        {
            series("carrier_quotes_total", carrier="budget", result="offered"),
            series("shipments_total", carrier="budget", result="booked"),
            series("shipments_total", carrier="budget", result="refused"),
            series("carrier_events_total", carrier="budget", event="delivered"),
        },
        SQL
        | CALL
        | requests("POST /webhooks/carriers/{carrier}")
        | workflows(
            "shipping.PlanShipment", "shipping.BookShipment", "shipping.CancelShipment", "shipping.TrackShipment"
        )
        | activities("shipping.quote", "shipping.book", "shipping.cancel", "shipping.look")
        | {("SignalExternalWorkflow:delivery_progressed", Kind.CLIENT)},
        {UNFINISHED},
    ),
}
OUTSIDE = (
    CALL
    | requests(
        "POST /gateway/v1/authorisations",
        "POST /gateway/v1/captures",
        "POST /gateway/v1/voids",
        "GET /gateway/v1/operations/{key}",
        "POST /carriers/{carrier}/v1/quotes",
        "POST /carriers/{carrier}/v1/bookings",
        "POST /carriers/{carrier}/v1/cancellations",
        "POST /mailbox/v1/messages",
    )
    | {("callback budget delivered", Kind.PRODUCER)}
)
"""Spans of the sandbox, which is no service and has no metrics."""
