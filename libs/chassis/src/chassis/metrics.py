"""What every service measures of itself, and how its series come to name the service."""

import time
from collections.abc import Iterable, Iterator
from itertools import product

from aiohttp import hdrs, web
from aiohttp.typedefs import Middleware
from prometheus_client import (
    CollectorRegistry,
    Counter,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
)
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from chassis.access import route_of
from chassis.problems import Handler

HTTP_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

OTHER_METHOD = "_OTHER"
"""As OpenTelemetry calls a method that HTTP does not know: a client can make up as many as it likes."""
OTHER = "other"
"""Value of a label for what is not on its list."""


class ServiceCollector(Collector):
    """All series of a process, each with the label ``service``.

    It is added here, and not by whoever counts, so that nobody can forget it.
    """

    def __init__(self, service: str, *registries: CollectorRegistry) -> None:
        """Collect the process's own series and those of some registries.

        Args:
            service: Value of the label.
            registries: The service's.
        """
        self._service = service
        process = CollectorRegistry()
        for make in (ProcessCollector, PlatformCollector, GCCollector):
            make(registry=process)
        self._registries = (process, *registries)

    def collect(self) -> Iterator[Metric]:
        """The metrics, one after the other."""
        for registry in self._registries:
            for metric in registry.collect():
                named = Metric(metric.name, metric.documentation, metric.type, metric.unit)
                for sample in metric.samples:
                    # When a series began is a series of its own for each; nobody asks for it.
                    if not sample.name.endswith("_created"):
                        labels = {"service": self._service, **sample.labels}
                        named.samples.append(sample._replace(labels=labels))
                yield named


def listed(value: str, known: Iterable[str]) -> str:
    """A label's value, or ``other`` where it is not on the list.

    Args:
        value: Whatever came.
        known: The values that the registry of metrics names.
    """
    return value if value in known else OTHER


class HttpMetrics:
    """Requests by method, route and status."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Make the metrics.

        Args:
            registry: Of the service.
        """
        self._seconds = Histogram(
            "http_server_request_duration_seconds",
            "Time that requests took, by route.",
            ["http_request_method", "http_route", "http_response_status_code"],
            buckets=HTTP_BUCKETS,
            registry=registry,
        )

    @property
    def middleware(self) -> Middleware:
        """To stand around all others, so that it sees the status that the client gets."""

        @web.middleware
        async def measure(request: web.Request, handler: Handler) -> web.StreamResponse:
            begun = time.perf_counter()
            try:
                response = await handler(request)
            except web.HTTPException as error:
                self._observe(request, error.status, begun)
                raise
            self._observe(request, response.status, begun)
            return response

        return measure

    def _observe(self, request: web.Request, status: int, begun: float) -> None:
        method = request.method if request.method in hdrs.METH_ALL else OTHER_METHOD
        self._seconds.labels(method, route_of(request), str(status)).observe(time.perf_counter() - begun)


def primed(counter: Counter, *values: Iterable[str]) -> Counter:
    """A counter whose series are there, at 0, before anything is counted: what appears at 1 has not grown.

    Args:
        counter: With labels.
        values: All of each label, one label after the other; every combination is made.
    """
    for labels in product(*values):
        counter.labels(*labels)
    return counter
