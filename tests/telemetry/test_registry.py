"""``docs/telemetry.md`` against what the services' composition roots and a real worker expose."""

import asyncio
import re
import shutil
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import hdrs
from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr
from temporalio import activity, workflow
from temporalio.client import Client, WorkflowFailureError
from temporalio.common import RetryPolicy
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

import inventory.metrics
import inventory.settings
import inventory.worker
import orchestrator.contract
import orchestrator.metrics
import orchestrator.settings
import orchestrator.worker
import payments.metrics
import payments.model
import payments.settings
import payments.worker
import shipping.metrics
import shipping.picking
import shipping.settings
import shipping.worker
from chassis import database_metrics, queues, telemetry, tracing
from chassis.access import UNMATCHED
from chassis.connection import Connection
from chassis.metrics import OTHER, OTHER_METHOD, ServiceCollector
from chassis.service import Service
from chassis.testing.waiting import eventually
from waybill.audit.metrics import AuditMetrics
from waybill.audit.rules import RULES, Violation
from waybill.audit.run import Report

from .registry import ROOT, SDK, SERVICES, Row, rows

NOWHERE: Mapping[str, Any] = {
    "database_url": "postgresql://nobody@127.0.0.1:1/nothing",
    "operator_token": SecretStr("operator-token"),
}
HTTP = "http://127.0.0.1:1"
MADE: Mapping[str, Callable[[Connection], Service]] = {
    "orchestrator": lambda connection: orchestrator.worker.compose(
        orchestrator.settings.Settings(**NOWHERE, mailbox_url=HTTP), connection
    ),
    "inventory": lambda connection: inventory.worker.compose(inventory.settings.Settings(**NOWHERE), connection),
    "payments": lambda connection: payments.worker.compose(
        payments.settings.Settings(**NOWHERE, gateway_url=HTTP), connection
    ),
    "shipping": lambda connection: shipping.worker.compose(
        shipping.settings.Settings(**NOWHERE, carriers_url=HTTP, webhook_secret=SecretStr("webhook-secret")),
        connection,
    ),
}
"""The services as they are put together; nothing connects."""

BY_WORKFLOWS = "compensations_total"
"""Our own, and counted through the SDK: it is no part of a service's registry."""

STATUSES = {str(status) for status in orchestrator.metrics.UNFINISHED}
FINALS = {str(status) for status in orchestrator.contract.FINISHED}
CARRIERS = {OTHER}
"""Others come from the settings."""
EVENTS = {str(event) for event in shipping.metrics.EVENTS}
QUEUE = {"task_queue": set(SERVICES), "task_type": set(queues.TYPES)}
GENERATION = {"generation": {"0", "1", "2"}}
VALUES: Mapping[str, Mapping[str, set[str]]] = {
    "http_server_request_duration_seconds": {
        "http_request_method": {*hdrs.METH_ALL, OTHER_METHOD},
        "http_route": {UNMATCHED},
        "http_response_status_code": set(),
    },
    "db_client_operation_duration_seconds": {
        "db_operation_name": {*database_metrics.OPERATIONS, database_metrics.OTHER_OPERATION}
    },
    "db_client_connections": {"state": {"used", "idle"}},
    "task_queue_backlog_tasks": QUEUE,
    "task_queue_backlog_age_seconds": QUEUE,
    "task_queue_pollers": QUEUE,
    "telemetry_spans_dropped_total": {"reason": set(tracing.Tally().dropped)},
    "orders_accepted_total": {"channel": {orchestrator.metrics.API, orchestrator.metrics.IMPORT}},
    "orders_finished_total": {"outcome": FINALS, "reason": {*orchestrator.metrics.REASONS, OTHER}},
    "order_duration_seconds": {"outcome": FINALS},
    "order_state_duration_seconds": {
        "status": {*STATUSES, OTHER},
        "result": {orchestrator.metrics.DONE, orchestrator.metrics.STOPPED},
    },
    BY_WORKFLOWS: {
        "step": set(orchestrator.metrics.UNDOS),
        "result": {orchestrator.metrics.DONE, orchestrator.metrics.FAILED},
    },
    "orders_in_progress": {"status": STATUSES},
    "messages_sent_total": {"result": set(orchestrator.metrics.MESSAGES)},
    "import_orders_total": {"result": set(orchestrator.metrics.IMPORTED)},
    "stock_units": {"state": {"on_hand", "held"}},
    "stock_moved_units_total": {"movement": set(inventory.metrics.MOVEMENTS)},
    "reservations_total": {"result": set(inventory.metrics.RESERVATIONS)},
    "import_rows_total": {"result": {inventory.metrics.DONE, inventory.metrics.FAILED}},
    "payments_total": {
        "operation": set(payments.metrics.RESULTS),
        "result": {result for results in payments.metrics.RESULTS.values() for result in results},
    },
    "account_bookings_total": {
        "kind": {str(kind) for kind in payments.metrics.ACCOUNT_KINDS},
        "result": {payments.metrics.DONE, payments.metrics.REFUSED},
    },
    "settlements_total": {"result": {payments.metrics.DONE, payments.metrics.FAILED}},
    "carrier_quotes_total": {
        "carrier": CARRIERS,
        "result": {shipping.metrics.OFFERED, shipping.metrics.NONE, shipping.metrics.FAILED},
    },
    "shipments_total": {
        "carrier": CARRIERS,
        "result": {shipping.metrics.BOOKED, shipping.metrics.REFUSED, shipping.metrics.CANCELLED},
    },
    "carrier_events_total": {"carrier": {*CARRIERS, shipping.metrics.OURS}, "event": {*EVENTS, OTHER}},
    "picks_total": {"result": {str(outcome) for outcome in shipping.picking.Outcome}},
    "audit_violations": {"rule": set(RULES)},
    "python_info": {"implementation": set(), "major": set(), "minor": set(), "patchlevel": set(), "version": set()},
    "python_gc_collections_total": GENERATION,
    "python_gc_objects_collected_total": GENERATION,
    "python_gc_objects_uncollectable_total": GENERATION,
}
"""Labels and their values by the code. Sets that are not the code's to list are the registry's italics."""


def exposed_name(metric: Metric) -> str:
    return f"{metric.name}_total" if metric.type == "counter" else metric.name


def labels_of(registry: CollectorRegistry, metric: Metric) -> set[str]:
    """Also of a metric without series, unless its collector reads what somebody else counted."""
    collector = registry._names_to_collectors.get(metric.name)
    declared: Iterable[str] | None = getattr(collector, "_labelnames", None)
    if declared is None:
        declared = {name for sample in metric.samples for name in sample.labels}
    return set(declared)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def registries() -> AsyncIterator[Mapping[str, CollectorRegistry]]:
    """By service, as a process fills them."""
    services = [make(Connection(name)) for name, make in MADE.items()]
    for service in services:
        service.registry.register(tracing.SpanCounts(tracing.Tally()))
    audit = AuditMetrics()
    audit.show(Report(0, 0, (Violation("a", "stuck", ""),)))
    yield {**{service.name: service.registry for service in services}, "audit": audit.registry}
    for service in services:
        for client in service.clients:
            await client.close()
        await service.database.close()


def listed(service: str) -> dict[str, Row]:
    """What the registry says that a service has in its own registry, or as a process."""
    return {
        row.name: row
        for row in rows()
        if service in row.services and not row.name.startswith(SDK) and row.name != BY_WORKFLOWS
    }


def on_this_machine(name: str) -> bool:
    """Figures of the process are read where Linux keeps them."""
    return sys.platform == "linux" or not name.startswith("process_")


@pytest.mark.parametrize("service", [*SERVICES, "audit"])
def test_a_service_has_the_metrics_of_the_registry_and_no_others(
    registries: Mapping[str, CollectorRegistry], service: str
) -> None:
    found = {exposed_name(metric): metric.type for metric in ServiceCollector(service, registries[service]).collect()}
    wanted = {name: row.type for name, row in listed(service).items() if on_this_machine(name)}
    assert found == wanted


@pytest.mark.parametrize("service", [*SERVICES, "audit"])
def test_a_metric_has_the_labels_of_the_registry_and_no_others(
    registries: Mapping[str, CollectorRegistry], service: str
) -> None:
    registry, said = registries[service], listed(service)
    for metric in registry.collect():
        name = exposed_name(metric)
        assert labels_of(registry, metric) == set(said[name].labels), name


@pytest.mark.parametrize("service", [*SERVICES, "audit"])
def test_every_series_that_is_there_has_values_of_the_registry(
    registries: Mapping[str, CollectorRegistry], service: str
) -> None:
    said = listed(service)
    for metric in ServiceCollector(service, registries[service]).collect():
        row = said[exposed_name(metric)]
        for sample in metric.samples:
            for label, value in sample.labels.items():
                known = label in {"service", "le"} or label in row.open or value in row.labels[label]
                assert known, f"{sample.name}: {label}={value}"


def test_the_values_of_the_registry_are_the_codes() -> None:
    said = {
        row.name: {label: set(values) for label, values in row.labels.items()}
        for row in rows()
        if not row.name.startswith(SDK) and row.labels
    }
    assert said == {name: dict(labels) for name, labels in VALUES.items()}


def test_each_metric_stands_in_the_registry_once_with_its_meaning_and_its_unit() -> None:
    found = rows()
    names = [row.name for row in found]
    assert len(names) == len(set(names))
    for row in found:
        assert row.meaning, row.name
        assert row.unit or row.name == "python_info", row.name
        assert row.type in {"counter", "gauge", "histogram"}, row.name
        assert row.services <= {*SERVICES, "audit"}, row.name
        assert row.services, row.name
        assert row.name.endswith("_total") == (row.type == "counter"), row.name


def test_the_registry_lists_what_dashboards_and_rules_ask_the_sdk_for() -> None:
    asked: set[str] = set()
    for path in (ROOT / "deploy" / "observability").rglob("*"):
        if path.suffix in {".yml", ".yaml", ".json"}:
            parts = "workflow|activity|local_activity|worker|num|sticky|request|long_request"
            asked |= set(re.findall(rf"\btemporal_(?:{parts})_[a-z_]+\b", path.read_text()))
    known = {row.name for row in rows()}
    assert {re.sub(r"_(bucket|sum|count)$", "", name) for name in asked} - known == set()


# The SDK's, from a worker that does a little of everything.


@activity.defn
async def second_time_lucky() -> None:
    if activity.info().attempt == 1:
        raise ValueError("not the first time")


@workflow.defn
class Busy:
    """An activity and a local one, each of which fails once; then the workflow fails, or not."""

    @workflow.run
    async def run(self, fail: bool) -> None:
        again = RetryPolicy(initial_interval=timedelta(milliseconds=10))
        soon = timedelta(seconds=10)
        await workflow.execute_activity(second_time_lucky, start_to_close_timeout=soon, retry_policy=again)
        await workflow.execute_local_activity(second_time_lucky, start_to_close_timeout=soon, retry_policy=again)
        if fail:
            raise ApplicationError("as it was asked to")


@workflow.defn
class Clumsy:
    """Its first task fails."""

    clean = False

    @workflow.run
    async def run(self) -> None:
        if not Clumsy.clean:
            Clumsy.clean = True
            raise ValueError("the first task fails")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def worked(dev_server: WorkflowEnvironment) -> str:
    """What the metrics endpoint of the orchestrator says, had it such a worker."""
    sdk = telemetry.Metrics("orchestrator")
    client = await Client.connect(dev_server.client.service_client.config.target_host, runtime=sdk.runtime)
    orchestrator.metrics.prime_compensations(client)
    connection = Connection("orchestrator")
    connection.use(client)
    service = MADE["orchestrator"](connection)
    service.registry.register(tracing.SpanCounts(tracing.Tally()))
    queue, ids = f"q-{uuid.uuid4()}", [f"w-{uuid.uuid4()}" for _ in range(3)]
    async with Worker(
        client,
        task_queue=queue,
        workflows=[Busy, Clumsy],
        activities=[second_time_lucky],
        workflow_runner=UnsandboxedWorkflowRunner(),
    ):
        await client.execute_workflow(Busy.run, False, id=ids[0], task_queue=queue)
        with pytest.raises(WorkflowFailureError):
            await client.execute_workflow(Busy.run, True, id=ids[1], task_queue=queue)
        await client.execute_workflow(Clumsy.run, id=ids[2], task_queue=queue)
        with suppress(RPCError):
            await client.get_workflow_handle("there-is-none").describe()

        async def text() -> str:
            said = (await sdk.text(service.registry)).decode()
            return said if {row.name for row in sdk_rows()} <= set(families(said)) else ""

        said: str = await eventually(text)
    await asyncio.gather(*(each.close() for each in service.clients))
    await service.database.close()
    return said


def sdk_rows() -> list[Row]:
    return [row for row in rows() if row.name.startswith(SDK)]


def families(text: str) -> dict[str, Metric]:
    return {exposed_name(metric): metric for metric in text_string_to_metric_families(text)}


def test_a_worker_has_the_sdks_metrics_of_the_registry_with_their_labels(worked: str) -> None:
    found = families(worked)
    for row in [*sdk_rows(), next(row for row in rows() if row.name == BY_WORKFLOWS)]:
        metric = found[row.name]
        labels = {label for sample in metric.samples for label in sample.labels} - {"le", "service"}
        besides = {"namespace", "task_queue", "workflow_type"} if row.name == BY_WORKFLOWS else set()
        assert (metric.type, labels) == (row.type, {*row.labels, *besides}), row.name


def test_every_series_of_a_worker_names_the_service_and_stands_once(worked: str) -> None:
    samples = [sample for metric in text_string_to_metric_families(worked) for sample in metric.samples]
    assert {sample.labels.get("service") for sample in samples} == {"orchestrator"}
    series = [(sample.name, *sorted(sample.labels.items())) for sample in samples]
    assert len(series) == len(set(series))
    for word in ("# TYPE ", "# HELP "):
        described = [line.split()[2] for line in worked.splitlines() if line.startswith(word)]
        assert len(described) == len(set(described))


def test_promtool_finds_nothing_wrong(worked: str) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed: apt-get install prometheus")
    done = subprocess.run([promtool, "check", "metrics"], input=worked, capture_output=True, text=True, check=False)
    # 3 is for style, on which the SDK has its own mind; an error of form is 1.
    assert done.returncode in (0, 3), done.stderr
    assert [line for line in done.stderr.splitlines() if not line.startswith(SDK)] == []
