import shutil
import socket
import subprocess
import uuid
from collections.abc import AsyncIterator
from datetime import timedelta

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web
from prometheus_client import CollectorRegistry, Counter
from prometheus_client.parser import text_string_to_metric_families
from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from chassis import telemetry
from chassis.metrics import HttpMetrics
from chassis.testing.serving import serve_app
from chassis.testing.waiting import eventually

from .conftest import address_of
from .programs.tiny.flows import Listen


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def scraped(dev_server: WorkflowEnvironment) -> AsyncIterator[str]:
    """The text of ``/metrics`` after a workflow ran."""
    metrics = telemetry.Metrics("demo")
    client = await Client.connect(address_of(dev_server), runtime=metrics.runtime)
    queue = f"q-{uuid.uuid4()}"
    runner = UnsandboxedWorkflowRunner()
    registry = CollectorRegistry()
    Counter("things", "Counted by these tests.", ["kind"], registry=registry).labels("a kind").inc()
    app = web.Application(middlewares=[HttpMetrics(registry).middleware])
    app[telemetry.METRICS], app[telemetry.REGISTRY] = metrics, registry
    app.add_routes([web.get("/metrics", telemetry.metrics_handler)])
    async with (
        Worker(client, task_queue=queue, workflows=[Listen], workflow_runner=runner),
        serve_app(app) as url,
        aiohttp.ClientSession(url) as session,
    ):
        handle = await client.start_workflow(
            Listen.run, id=str(uuid.uuid4()), task_queue=queue, execution_timeout=timedelta(minutes=1)
        )
        await handle.signal(Listen.hear, "a word")
        await handle.result()

        async def text() -> str:
            async with session.get("/metrics") as response:
                assert response.status == 200
                assert response.content_type == "text/plain"
                body = await response.text()
            return body if "temporal_workflow_completed_total{" in body else ""

        yield await eventually(text)


def samples(text: str) -> list[tuple[str, dict[str, str]]]:
    families = text_string_to_metric_families(text)
    return [(sample.name, sample.labels) for family in families for sample in family.samples]


def test_the_sdks_and_our_own_series_stand_in_one_text(scraped: str) -> None:
    names = {name for name, _ in samples(scraped)}
    assert "things_total" in names
    assert "process_cpu_seconds_total" in names
    assert "temporal_workflow_completed_total" in names
    assert "temporal_workflow_task_schedule_to_start_latency_seconds_bucket" in names


def test_no_series_and_no_description_stands_twice(scraped: str) -> None:
    series = [(name, *sorted(labels.items())) for name, labels in samples(scraped)]
    assert len(series) == len(set(series))
    for word in ("# TYPE ", "# HELP "):
        described = [line.split()[2] for line in scraped.splitlines() if line.startswith(word)]
        assert len(described) == len(set(described))


def test_every_series_names_the_service(scraped: str) -> None:
    assert [(name, labels) for name, labels in samples(scraped) if labels.get("service") != "demo"] == []


def test_no_series_tells_when_another_began(scraped: str) -> None:
    assert [name for name, _ in samples(scraped) if name.endswith("_created")] == []


def test_the_sdks_series_begin_below_a_hundredth(scraped: str) -> None:
    sdk = [(name, labels) for name, labels in samples(scraped) if name.startswith("temporal_")]
    assert not [labels for _, labels in sdk if "service_name" in labels]
    for name in telemetry.BUCKETS_SECONDS:
        bounds = {float(labels["le"]) for found, labels in sdk if found == f"{name}_seconds_bucket"}
        assert not bounds or min(bounds) == 0.001


def test_promtool_finds_nothing_wrong(scraped: str) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed: apt-get install prometheus")
    done = subprocess.run([promtool, "check", "metrics"], input=scraped, capture_output=True, text=True, check=False)
    # Exit code 3 is for style, on which the SDK has its own mind; an error of form is 1.
    assert done.returncode in (0, 3), done.stderr
    assert [line for line in done.stderr.splitlines() if not line.startswith(("temporal_", "python_"))] == []


def test_a_port_that_someone_else_took_meanwhile_is_not_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    free = telemetry._free_port
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        ports = iter([taken.getsockname()[1], free()])
        monkeypatch.setattr(telemetry, "_free_port", lambda: next(ports))
        telemetry.Metrics("demo")
    assert next(ports, None) is None


def test_no_port_at_all_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        monkeypatch.setattr(telemetry, "_free_port", lambda: port)
        with pytest.raises((ValueError, RuntimeError)):
            telemetry.Metrics("demo")


async def test_a_scrape_fails_when_the_sdk_does_not_answer() -> None:
    metrics = telemetry.Metrics("demo")
    metrics._url = f"http://127.0.0.1:{telemetry._free_port()}/metrics"
    with pytest.raises(aiohttp.ClientError):
        await metrics.text(CollectorRegistry())
