"""How spans are made and sent, where ``chassis.tracing`` finds that somebody asks for them.

This module is not imported again by the workflow sandbox: a provider that is loses spans.
"""

import asyncio
import logging
import os
import socket
import threading
from collections.abc import Sequence

from opentelemetry import trace
from opentelemetry.environment_variables import OTEL_TRACES_EXPORTER
from opentelemetry.sdk.environment_variables import (
    OTEL_BSP_MAX_QUEUE_SIZE,
    OTEL_EXPORTER_OTLP_PROTOCOL,
    OTEL_EXPORTER_OTLP_TRACES_PROTOCOL,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from sqlalchemy.ext.asyncio import AsyncEngine
from temporalio.contrib.opentelemetry import OpenTelemetryPlugin, ReplaySafeTracerProvider, create_tracer_provider
from yarl import URL

from chassis.sampling import Worthwhile
from chassis.settings import WrongSettings
from chassis.tracing import FLUSH_SECONDS, SPANS_FILE, Tally

logger = logging.getLogger(__name__)

SEMANTIC_CONVENTIONS = "OTEL_SEMCONV_STABILITY_OPT_IN"
DEFAULT_QUEUE = 2048
"""Spans that wait for the exporter at most, unless ``OTEL_BSP_MAX_QUEUE_SIZE`` says otherwise."""
REMEMBERED = 10_000
"""Spans whose ids are known after they ended. A workflow task is done again within seconds."""
LEAVES = ("opentelemetry.instrumentation.sqlalchemy", "opentelemetry.instrumentation.aiohttp_client")
"""Scopes whose spans say nothing alone: the statements of a loop that looks for work are no trace."""


class Tracing:
    """The tracer provider of this process, and what it counts."""

    def __init__(self, provider: ReplaySafeTracerProvider, tally: Tally) -> None:
        """Take what ``start`` made."""
        self._provider = provider
        self.tally = tally

    def plugin(self) -> OpenTelemetryPlugin:
        """For the client of Temporal; workers have it from their client."""
        return OpenTelemetryPlugin(add_temporal_spans=True)

    def watch(self, engine: AsyncEngine) -> None:
        """Make a span of each statement of an engine."""
        from opentelemetry.instrumentation.sqlalchemy import SQLAlchemyInstrumentor  # noqa: PLC0415

        # Its wheel does not say yet that it works with SQLAlchemy 2.1; a test says so.
        SQLAlchemyInstrumentor().instrument(
            engine=engine.sync_engine, tracer_provider=self._provider, skip_dep_check=True
        )

    async def finish(self, seconds: float = FLUSH_SECONDS) -> None:
        """Send what is left, within a time; what is still there then is lost, with the process.

        Args:
            seconds: To wait at most.
        """
        ended = asyncio.Event()
        loop = asyncio.get_running_loop()

        def shut_down() -> None:
            self._provider.shutdown()
            if not loop.is_closed():
                loop.call_soon_threadsafe(ended.set)

        # Not the loop's own threads: closing the loop would wait for them.
        threading.Thread(target=shut_down, name="spans", daemon=True).start()
        try:
            async with asyncio.timeout(seconds):
                await ended.wait()
        except TimeoutError:
            logger.warning("spans are lost: the exporter has not taken them within %g s", seconds)


def start(service: str, exporter: str) -> Tracing:
    """Begin to trace this process.

    Args:
        service: The ``service.name`` of all spans.
        exporter: ``otlp`` or ``file``.

    Raises:
        WrongSettings: If the variables cannot be used.
    """
    sender = make_exporter(exporter)
    # The names that are stable, rather than those of the instrumentations' first years.
    os.environ.setdefault(SEMANTIC_CONVENTIONS, "http,database")
    tally = Tally()
    instance = f"{socket.gethostname()}:{os.getpid()}"
    resource = Resource.create({"service.name": service, "service.instance.id": instance})
    try:
        provider = create_tracer_provider(resource=resource, sampler=Worthwhile(), shutdown_on_exit=False)
        provider.add_span_processor(BoundedProcessor(sender, tally))
    except ValueError as error:
        raise WrongSettings(f"OTEL_…: {error}") from error
    trace.set_tracer_provider(provider)
    _instrument_http(provider)
    return Tracing(provider, tally)


def make_exporter(name: str) -> SpanExporter:
    """What takes spans away.

    Args:
        name: ``otlp`` or ``file``.

    Raises:
        WrongSettings: If its variables cannot be used.
    """
    # Exporters are imported where they are used only: they cost memory and start time.
    if name == "otlp":
        for variable in (OTEL_EXPORTER_OTLP_TRACES_PROTOCOL, OTEL_EXPORTER_OTLP_PROTOCOL):
            if (protocol := os.environ.get(variable)) and protocol != "http/protobuf":
                raise WrongSettings(f"{variable}: is not http/protobuf, the only one that is spoken here")
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415

        return OTLPSpanExporter()
    from opentelemetry.exporter.otlp.json.file import FileSpanExporter  # noqa: PLC0415

    path = os.environ.get(SPANS_FILE)
    if not path:
        raise WrongSettings(f"{SPANS_FILE}: is required where {OTEL_TRACES_EXPORTER} is file")
    try:
        return FileSpanExporter(path)
    except OSError as error:
        raise WrongSettings(f"{SPANS_FILE}: {error.strerror}") from error


def _instrument_http(provider: ReplaySafeTracerProvider) -> None:
    from opentelemetry.instrumentation.aiohttp_client import AioHttpClientInstrumentor  # noqa: PLC0415
    from opentelemetry.instrumentation.aiohttp_server import AioHttpServerInstrumentor  # noqa: PLC0415

    # It puts a subclass in the place of ``web.Application``, so it comes before the first application.
    AioHttpServerInstrumentor().instrument(tracer_provider=provider)
    AioHttpClientInstrumentor().instrument(tracer_provider=provider, url_filter=_bare)


def _bare(url: URL) -> str:
    """A URL without what may be a secret."""
    return str(url.with_query(None).with_user(None).with_fragment(None))


class BoundedProcessor(BatchSpanProcessor):
    """Sends spans in batches, keeps a bounded number of them, and counts those that are lost."""

    def __init__(self, exporter: SpanExporter, tally: Tally) -> None:
        """Begin to take spans.

        Args:
            exporter: Takes batches, in a thread of its own.
            tally: Counts.

        Raises:
            ValueError: If a variable ``OTEL_BSP_…`` cannot be used.
        """
        self._limit = int(os.environ.get(OTEL_BSP_MAX_QUEUE_SIZE) or DEFAULT_QUEUE)
        self._counting = _CountingExporter(exporter, tally)
        self._given = 0
        self._ended: dict[int, None] = {}
        self._tally = tally
        super().__init__(self._counting, max_queue_size=self._limit)

    def on_end(self, span: ReadableSpan) -> None:
        """Take a span, if there is room and it belongs to something."""
        if not (span.context and span.context.trace_flags.sampled):
            return
        scope = span.instrumentation_scope
        if span.parent is None and scope is not None and scope.name.startswith(LEAVES):
            return
        if self._is_repeated(span.context.span_id):
            return
        if self._given - self._counting.taken >= self._limit:
            self._tally.dropped["queue_full"] += 1
            return
        self._given += 1
        super().on_end(span)

    def shutdown(self) -> None:
        """Send what is left, and take no more."""
        super().shutdown()  # type: ignore[no-untyped-call]  # the base class has no types

    def _is_repeated(self, span_id: int) -> bool:
        """Whether a span ended before: in a workflow task that the server did not take, and that was done again.

        The spans of workflow code have the same ids each time.
        """
        if span_id in self._ended:
            return True
        self._ended[span_id] = None
        if len(self._ended) > REMEMBERED:
            del self._ended[next(iter(self._ended))]
        return False


class _CountingExporter(SpanExporter):
    def __init__(self, exporter: SpanExporter, tally: Tally) -> None:
        self._exporter = exporter
        self._tally = tally
        self.taken = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.taken += len(spans)
        result = SpanExportResult.FAILURE
        try:
            result = self._exporter.export(spans)
        finally:
            if result is SpanExportResult.SUCCESS:
                self._tally.exported += len(spans)
            else:
                self._tally.dropped["export_failed"] += len(spans)
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        return self._exporter.force_flush(timeout_millis)
