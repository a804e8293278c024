"""Metrics: the Temporal SDK's and the service's own, in one text."""

import logging
import socket
from typing import Any

import aiohttp
from aiohttp import web
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, CollectorRegistry, generate_latest
from temporalio.runtime import (
    LogForwardingConfig,
    LoggingConfig,
    PrometheusConfig,
    Runtime,
    TelemetryConfig,
    TelemetryFilter,
)

from chassis.metrics import ServiceCollector

BUCKETS_SECONDS: dict[str, list[float]] = {
    name: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300]
    for name in (
        "temporal_activity_execution_latency",
        "temporal_activity_schedule_to_start_latency",
        "temporal_activity_succeed_endtoend_latency",
        "temporal_local_activity_execution_latency",
        "temporal_request_latency",
        "temporal_workflow_task_execution_latency",
        "temporal_workflow_task_replay_latency",
        "temporal_workflow_task_schedule_to_start_latency",
    )
}
"""The SDK's own buckets begin at 50 to 100 ms, which is slower than most of what is measured."""

METRICS: web.AppKey["Metrics"] = web.AppKey("metrics")
REGISTRY: web.AppKey[CollectorRegistry] = web.AppKey("registry")
"""The service's own metrics."""


class Metrics:
    """The SDK's metrics endpoint, private to this process, and how to read it."""

    def __init__(self, service: str) -> None:
        """Start the SDK's runtime.

        Args:
            service: Value of the ``service`` label on every series.
        """
        self._service = service
        # The SDK takes no port 0, so a free one is looked for; another process may take it in between.
        for attempt in range(5):
            address = f"127.0.0.1:{_free_port()}"
            try:
                self.runtime = Runtime(telemetry=_config(service, address))
            except (ValueError, RuntimeError):
                if attempt == 4:
                    raise
            else:
                self._url = f"http://{address}/metrics"
                break

    async def text(self, registry: CollectorRegistry) -> bytes:
        """All metrics of this process in Prometheus' text format.

        Args:
            registry: With the service's own.

        Raises:
            aiohttp.ClientError: If the SDK's endpoint does not answer.
        """
        timeout = aiohttp.ClientTimeout(total=5)
        async with aiohttp.ClientSession(timeout=timeout) as session, session.get(self._url) as response:
            response.raise_for_status()
            sdk = await response.read()
        # Only asked to collect, which is all that our collector can.
        own = generate_latest(ServiceCollector(self._service, registry))
        return sdk + (b"" if sdk.endswith(b"\n") or not sdk else b"\n") + own


def _config(service: str, address: str) -> TelemetryConfig:
    prometheus = PrometheusConfig(
        bind_address=address,
        counters_total_suffix=True,
        unit_suffix=True,
        durations_as_seconds=True,
        histogram_bucket_overrides=BUCKETS_SECONDS,
    )
    # Left alone the SDK's core writes lines of its own to standard output, which are no JSON.
    forwarding = LogForwardingConfig(
        logger=logging.getLogger("temporalio.core"), append_target_to_name=False, prepend_target_on_message=False
    )
    core = LoggingConfig(TelemetryFilter(core_level="WARN", other_level="ERROR"), forwarding)
    return TelemetryConfig(
        logging=core, metrics=prometheus, attach_service_name=False, global_tags={"service": service}
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


async def metrics_handler(request: web.Request) -> web.Response:
    """``GET /metrics``."""
    headers: dict[str, Any] = {"Content-Type": CONTENT_TYPE_PLAIN_0_0_4}
    text = await request.app[METRICS].text(request.app[REGISTRY])
    return web.Response(body=text, headers=headers)
