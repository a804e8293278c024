"""Traces: spans of HTTP, Temporal and SQL under one trace id, sent by OTLP or kept in a file; off unless asked for.

What is asked for stands in OpenTelemetry's own variables, see ``start``. How it is done is in ``chassis.spans``, which
is imported where somebody asks: the SDK for spans costs memory and start time.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from opentelemetry.environment_variables import OTEL_TRACES_EXPORTER
from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from chassis.settings import WrongSettings

if TYPE_CHECKING:
    from chassis.spans import Tracing

SPANS_FILE = "WAYBILL_SPANS_FILE"
"""Variable with the file that spans are appended to, as OTLP in JSON, where the exporter is ``file``."""
DISABLED = "OTEL_SDK_DISABLED"
ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
FLUSH_SECONDS = 3.0
"""How long the end of a process waits for spans to leave. A collector that does not answer must not hold it."""
EXPORTERS = ("otlp", "file", "none")


@dataclass
class Tally:
    """How many spans left, and how many never will."""

    exported: int = 0
    dropped: dict[str, int] = field(default_factory=lambda: {"queue_full": 0, "export_failed": 0})


class SpanCounts(Collector):
    """The tally as metrics."""

    def __init__(self, tally: Tally) -> None:
        """Take what is counted elsewhere."""
        self._tally = tally

    def collect(self) -> Iterable[Metric]:
        """Both counters."""
        exported = CounterMetricFamily("telemetry_spans_exported", "Spans that an exporter took.")
        exported.add_metric([], self._tally.exported)
        dropped = CounterMetricFamily("telemetry_spans_dropped", "Spans that are lost, by reason.", labels=["reason"])
        for reason, number in self._tally.dropped.items():
            dropped.add_metric([reason], number)
        return [exported, dropped]


def start(service: str) -> "Tracing | None":
    """Begin to trace this process, if the environment asks for it. Comes before anything that is to be traced.

    ``OTEL_TRACES_EXPORTER`` is ``otlp`` (protobuf over HTTP, where ``OTEL_EXPORTER_OTLP_…`` say), ``file`` (see
    ``SPANS_FILE``) or ``none``. Without it the exporter is ``otlp`` if an OTLP endpoint is named, else ``none``.
    ``OTEL_TRACES_SAMPLER``, ``OTEL_BSP_…``, ``OTEL_RESOURCE_ATTRIBUTES`` and ``OTEL_SDK_DISABLED`` mean what
    OpenTelemetry says.

    Args:
        service: The ``service.name`` of all spans.

    Returns:
        What has to be finished at the end; None where nothing is traced.

    Raises:
        WrongSettings: If the variables cannot be used.
    """
    exporter = asked()
    if exporter is None:
        return None
    from chassis import spans  # noqa: PLC0415

    return spans.start(service, exporter)


def asked() -> str | None:
    """Which exporter the environment asks for, ``otlp`` or ``file``; None for none.

    Raises:
        WrongSettings: If it is another one.
    """
    if os.environ.get(DISABLED, "").strip().lower() == "true":
        return None
    implied = "otlp" if any(os.environ.get(name) for name in ENDPOINTS) else "none"
    exporter = (os.environ.get(OTEL_TRACES_EXPORTER, "").strip() or implied).lower()
    if exporter not in EXPORTERS:
        raise WrongSettings(f"{OTEL_TRACES_EXPORTER}: is none of {', '.join(EXPORTERS)}")
    return None if exporter == "none" else exporter
