"""What is counted, and that it is counted once."""

import asyncio
import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families
from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment

from chassis.connection import Connection
from chassis.http import HttpClient
from chassis.telemetry import Metrics
from chassis.testing.fixtures import FreshDatabase
from chassis.testing.serving import serve_app
from chassis.testing.waiting import eventually
from orchestrator import contract
from orchestrator.activities import Activities, Message
from orchestrator.contract import FINISHED, Status
from orchestrator.import_store import ImportStore
from orchestrator.metrics import IMPORTED, REASONS, UNDOS, OrchestratorMetrics
from orchestrator.sampling import Sampling
from orchestrator.states import Passed, State
from orchestrator.store import Store
from orchestrator.uploads import UploadStore
from orchestrator.workflows import endings

from .test_store import a_request

BEGIN = datetime(2026, 3, 1, tzinfo=UTC)


def value(metrics: OrchestratorMetrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


def at(order_id: str, second: int, status: Status, reason: str | None = None) -> State:
    moment = BEGIN + timedelta(seconds=second)
    return State(order_id, second, status, moment, "EUR", (("TEA-250", 2),), reason=reason)


async def a_store(fresh_database: FreshDatabase) -> tuple[Store, OrchestratorMetrics]:
    metrics = OrchestratorMetrics()
    return Store((await fresh_database("orchestrator.migrations")).engine, metrics), metrics


async def test_an_order_is_accepted_once_however_often_it_is_sent(fresh_database: FreshDatabase) -> None:
    store, metrics = await a_store(fresh_database)
    await asyncio.gather(*(store.accept("a", "d", a_request("a"), "k") for _ in range(10)))
    assert value(metrics, "orders_accepted_total", channel="api") == 1
    assert value(metrics, "orders_accepted_total", channel="import") == 0


async def test_an_order_finishes_once_though_its_states_are_written_twice_and_late(
    fresh_database: FreshDatabase,
) -> None:
    store, metrics = await a_store(fresh_database)
    states = [at("a", 10, Status.RESERVING), at("a", 12, Status.AUTHORISING), at("a", 15, Status.FULFILLED)]
    for state in (*states, *states):
        await store.record(state)
    assert value(metrics, "orders_finished_total", outcome="fulfilled", reason="none") == 1
    assert value(metrics, "order_duration_seconds_sum", outcome="fulfilled") == 5  # its row came with its first state
    left = {"reserving": 2, "authorising": 3}
    for status, seconds in left.items():
        labels = {"status": status, "result": "done"}
        assert value(metrics, "order_state_duration_seconds_count", **labels) == 1
        assert value(metrics, "order_state_duration_seconds_sum", **labels) == seconds


async def test_a_state_that_was_passed_counts_as_one_that_was_written(fresh_database: FreshDatabase) -> None:
    store, metrics = await a_store(fresh_database)
    row = (await store.accept("a", "d", a_request("a"))).row
    await store.mark_started("a")
    begun = row["created_at"] + timedelta(seconds=1)
    reserving = Passed(1, Status.RESERVING, begun)
    authorising = replace(at("a", 2, Status.AUTHORISING), at=begun + timedelta(seconds=2), passed=(reserving,))
    for _ in range(2):
        await store.record(authorising)
    committing = Passed(3, Status.COMMITTING, begun + timedelta(seconds=5))
    capturing = replace(at("a", 4, Status.CAPTURING), at=begun + timedelta(seconds=9), passed=(committing,))
    await store.record(capturing)
    for status, seconds in {"accepted": 1, "reserving": 2, "authorising": 3, "committing": 4}.items():
        labels = {"status": status, "result": "done"}
        assert value(metrics, "order_state_duration_seconds_count", **labels) == 1
        assert value(metrics, "order_state_duration_seconds_sum", **labels) == seconds


async def test_a_state_that_is_noted_again_is_left_once_and_counts_from_its_beginning(
    fresh_database: FreshDatabase,
) -> None:
    store, metrics = await a_store(fresh_database)
    for second, status in (
        (10, Status.AWAITING_APPROVAL),
        (20, Status.AWAITING_APPROVAL),  # as an approver is reminded
        (70, Status.AUTHORISING),
    ):
        await store.record(at("a", second, status))
    labels = {"status": "awaiting_approval", "result": "done"}
    assert value(metrics, "order_state_duration_seconds_count", **labels) == 1
    assert value(metrics, "order_state_duration_seconds_sum", **labels) == 60


async def test_the_state_in_which_an_order_is_stopped_says_so(fresh_database: FreshDatabase) -> None:
    store, metrics = await a_store(fresh_database)
    for second, status in ((1, Status.BOOKING), (2, Status.COMPENSATING), (4, Status.REJECTED)):
        await store.record(at("a", second, status, "no_carrier"))
    assert value(metrics, "order_state_duration_seconds_count", status="booking", result="stopped") == 1
    assert value(metrics, "order_state_duration_seconds_count", status="compensating", result="done") == 1
    assert value(metrics, "orders_finished_total", outcome="rejected", reason="no_carrier") == 1


async def test_an_order_that_ends_with_its_first_state_counts_too(fresh_database: FreshDatabase) -> None:
    store, metrics = await a_store(fresh_database)
    await store.record(at("a", 1, Status.REJECTED, "unknown_sku"))
    assert value(metrics, "orders_finished_total", outcome="rejected", reason="unknown_sku") == 1


async def test_an_order_that_is_failed_from_outside_counts_once(fresh_database: FreshDatabase) -> None:
    store, metrics = await a_store(fresh_database)
    await store.accept("a", "d", a_request("a"))
    assert [await store.fail("a", "unreadable", "It is none.") for _ in range(2)] == [True, False]
    assert value(metrics, "orders_finished_total", outcome="failed", reason="unreadable") == 1


async def test_a_reason_that_is_not_on_the_list_is_other(fresh_database: FreshDatabase) -> None:
    store, metrics = await a_store(fresh_database)
    await store.record(at("a", 1, Status.FAILED, f"order {uuid.uuid4()} is strange"))
    assert value(metrics, "orders_finished_total", outcome="failed", reason="other") == 1


def test_every_word_for_what_stops_an_order_is_on_the_list() -> None:
    words = {*endings.REJECTIONS, endings.BY_CUSTOMER, endings.BY_OPERATOR, endings.UNFORESEEN}
    assert words <= REASONS


def test_what_is_looked_at_is_there_before_anything_happened() -> None:
    metrics = OrchestratorMetrics()
    assert value(metrics, "orders_finished_total", outcome="fulfilled", reason="none") == 0
    assert value(metrics, "orders_finished_total", outcome="rejected", reason="declined") == 0
    assert value(metrics, "orders_finished_total", outcome="rejected", reason="by_customer") is None
    assert value(metrics, "messages_sent_total", result="refused") == 0
    for outcome in FINISHED:
        assert value(metrics, "order_duration_seconds_count", outcome=outcome) == 0


async def test_the_orders_under_way_are_shown_by_state_and_the_oldest_that_waits_for_no_approver(
    fresh_database: FreshDatabase,
) -> None:
    engine, metrics = (await fresh_database("orchestrator.migrations")).engine, OrchestratorMetrics()
    store, sampling = Store(engine, metrics), Sampling(engine, metrics)
    for order_id in ("a", "b"):
        await store.accept(order_id, "d", a_request(order_id))
    await store.record(at("c", 1, Status.AWAITING_APPROVAL))  # much older
    await store.record(at("d", 1, Status.FULFILLED))
    await sampling.look()
    assert value(metrics, "orders_in_progress", status="accepted") == 2
    assert value(metrics, "orders_in_progress", status="awaiting_approval") == 1
    assert value(metrics, "orders_in_progress", status="booking") == 0
    assert value(metrics, "orders_in_progress", status="fulfilled") is None
    oldest = value(metrics, "orders_oldest_in_progress_seconds")
    assert oldest is not None
    assert 0 < oldest < 600
    for order_id in ("a", "b"):
        await store.fail(order_id, "unreadable", "")
    await sampling.look()
    assert value(metrics, "orders_oldest_in_progress_seconds") == 0


async def test_rows_of_an_import_are_counted_once_by_what_became_of_them(fresh_database: FreshDatabase) -> None:
    engine, metrics = (await fresh_database("orchestrator.migrations")).engine, OrchestratorMetrics()
    store, uploads, imports = Store(engine, metrics), UploadStore(engine, metrics), ImportStore(engine, metrics)
    await store.accept("there", "d", a_request("there"))
    rows = [
        {"line": line, "order_id": order_id, "request": a_request(order_id), "digest": "d", "detail": None}
        for line, order_id in ((1, "good"), (2, "there"), (3, "bad"), (4, "gone"))
    ]
    upload_id = await uploads.begin_upload()
    malformed = {"line": 5, "order_id": None, "request": None, "digest": None, "detail": "It is none."}
    await uploads.stage(upload_id, [*rows, malformed])
    for upload in (upload_id, await uploads.begin_upload()):  # the second is the same file again
        await uploads.accept("i", upload, "digest", 5)
        await imports.take("i", 0, 10)
        await imports.lose("i", ["gone"])
        await store.record(at("good", 1, Status.FULFILLED))
        await store.record(at("bad", 1, Status.REJECTED, "declined"))
    assert value(metrics, "orders_accepted_total", channel="import") == 3
    counted = {result: value(metrics, "import_orders_total", result=result) for result in IMPORTED}
    assert counted == dict.fromkeys(IMPORTED, 1)


async def test_messages_are_counted_by_what_the_provider_says(fresh_database: FreshDatabase) -> None:
    store, metrics = await a_store(fresh_database)
    http, answers = HttpClient(timeout_seconds=5), [422, 503, 201]

    async def take(_: web.Request) -> web.Response:
        return web.json_response({}, status=answers.pop(0))

    app = web.Application()
    app.add_routes([web.post("/v1/messages", take)])
    async with serve_app(app) as url:
        activities = Activities(store, http, url, {}, metrics)
        message = Message("a", "fulfilled", "a@example.org", "s", "b")
        await activities.send_message(message)
        with pytest.raises(Exception, match="503"):
            await activities.send_message(message)
        await activities.send_message(message)
    await http.close()
    assert [value(metrics, "messages_sent_total", result=result) for result in ("sent", "refused")] == [1, 1]


async def test_the_counter_of_undos_is_there_at_0_under_the_labels_that_workflows_give_it(
    fresh_database: FreshDatabase, dev_server: WorkflowEnvironment
) -> None:
    engine = (await fresh_database("orchestrator.migrations")).engine
    sdk = Metrics("orchestrator")
    connection = Connection("orchestrator")
    target = dev_server.client.service_client.config.target_host
    connection.use(await Client.connect(target, runtime=sdk.runtime))
    sampling = asyncio.create_task(Sampling(engine, OrchestratorMetrics()).run(connection))

    async def undos() -> list[dict[str, Any]]:
        text = (await sdk.text(CollectorRegistry())).decode()
        return [
            {**sample.labels, "value": sample.value}
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == "compensations_total"
        ]

    found = await eventually(undos)
    sampling.cancel()
    await asyncio.gather(sampling, return_exceptions=True)
    assert {(one["step"], one["result"]) for one in found} == {(u, r) for u in UNDOS for r in ("done", "failed")}
    for one in found:
        assert one["value"] == 0
        assert one["workflow_type"] == "orchestrator.FulfilOrder"
        assert one["task_queue"] == contract.TASK_QUEUE
        assert one["service"] == "orchestrator"
