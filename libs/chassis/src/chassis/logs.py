"""Logs: one JSON object a line, on standard error."""

import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from contextvars import ContextVar
from typing import Any

import structlog
from opentelemetry import trace

_TAKEN = ("temporal_activity", "temporal_workflow", "temporal_log")
_SUBJECT = re.compile(r"[a-z_-]+:([^:]+)(?::|$)")
"""A workflow id that names its subject. The one that a schedule makes ends in a time, which has colons too."""
_RENAMED = {
    "workflow_id": "workflow_id",
    "run_id": "run_id",
    "workflow_run_id": "run_id",
    "workflow_type": "workflow",
    "activity_type": "activity",
    "attempt": "attempt",
    "task_queue": "task_queue",
}

LAST_SPAN: ContextVar[trace.SpanContext | None] = ContextVar("last_span", default=None)
"""The span of an activity, for what is logged in its task when it has ended. See ``chassis.lasting``."""


def configure(service: str, level: int, *, subject: str | None = None) -> None:
    """Send everything that is logged in this process to standard error as JSON lines.

    Each line has ``time``, ``level``, ``logger``, ``event`` and ``service``; inside workflows and activities also
    ``workflow_id``, ``run_id``, ``workflow``, ``activity``, ``attempt`` and ``task_queue``; where a span is current, or
    was that of an activity which has just ended, ``trace_id`` and ``span_id`` in hexadecimal.

    Args:
        service: Name of this service.
        level: Lowest level that is logged, as the standard library numbers them.
        subject: Name of the field that holds the thing a workflow works on. It is the second part of its workflow id,
            which is of the form ``verb:subject`` or ``verb:subject:part``. None for no such field.
    """

    def identify(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        event["service"] = service
        span = trace.get_current_span().get_span_context()
        if not span.is_valid:
            span = LAST_SPAN.get() or span
        if span.is_valid:
            event["trace_id"] = trace.format_trace_id(span.trace_id)
            event["span_id"] = trace.format_span_id(span.span_id)
        event.pop("__temporal_error_identifier", None)  # a mark of the SDK for itself
        for key in _TAKEN:
            details = event.pop(key, None)
            if isinstance(details, Mapping):
                event.update({_RENAMED[name]: value for name, value in details.items() if name in _RENAMED})
        named = _SUBJECT.match(str(event.get("workflow_id", "")))
        if subject is not None and named is not None:
            event.setdefault(subject, named.group(1))
        return event

    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.add_log_level,
            structlog.stdlib.add_logger_name,
            structlog.stdlib.ExtraAdder(),
            structlog.processors.TimeStamper(fmt="iso", key="time"),
        ],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            identify,
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(default=str),
        ],
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    logging.captureWarnings(capture=True)
    # One line a request is the access log's business, not the client's.
    for chatty in ("alembic", "aiohttp.access"):
        logging.getLogger(chatty).setLevel(max(level, logging.WARNING))
