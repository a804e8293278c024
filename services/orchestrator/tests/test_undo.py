"""Undos that do not succeed at once: none is given up, and none keeps another from its turn."""

import uuid
from collections import Counter
from collections.abc import AsyncIterator
from datetime import timedelta
from itertools import islice
from typing import Any

import pytest_asyncio
from temporalio.client import Client
from temporalio.runtime import MetricBuffer, Runtime, TelemetryConfig
from temporalio.testing import WorkflowEnvironment

from chassis.converter import DATA_CONVERTER
from chassis.testing.waiting import eventually
from orchestrator.contract import Status
from orchestrator.metrics import COMPENSATIONS, UNDOS
from orchestrator.workflows.saga import FIRST_PAUSE, LONGEST_PAUSE, pauses

from .conftest import FINAL, Shop, open_shop
from .table import UNDONE, undos


def an_id() -> str:
    return f"o-{uuid.uuid4().hex[:12]}"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def metrics() -> MetricBuffer:
    return MetricBuffer(10_000)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def measured_shop(dev_server: WorkflowEnvironment, metrics: MetricBuffer) -> AsyncIterator[Shop]:
    config = dev_server.client.service_client.config
    client = await Client.connect(
        config.target_host, data_converter=DATA_CONVERTER, runtime=Runtime(telemetry=TelemetryConfig(metrics=metrics))
    )
    async with open_shop(client) as shop:
        yield shop


async def test_an_undo_that_refuses_for_good_is_asked_again_and_counted(
    measured_shop: Shop, metrics: MetricBuffer
) -> None:
    shop, order_id = measured_shop, an_id()
    shop.world.refuse(order_id, "commit", "hold_expired")
    shop.world.refuse(order_id, "reverse", FINAL, times=2)
    outcome = await (await shop.order(order_id=order_id)).result()
    assert (outcome.status, outcome.reason) == (Status.REJECTED, "hold_expired")
    assert undos(shop.world, order_id).count("reverse") == 3
    assert shop.world.books[order_id] == set()
    assert [message.template for message in shop.world.messages[order_id]] == ["rejected"]
    counted: Counter[tuple[Any, Any]] = Counter()
    for update in metrics.retrieve_updates():
        if update.metric.name == COMPENSATIONS:
            counted[update.attributes["step"], update.attributes["result"]] += int(update.value)
    assert counted == {
        ("ReversePayment", "failed"): 2,
        ("ReversePayment", "done"): 1,
        ("ReleaseStock", "done"): 1,
        ("CancelShipment", "done"): 1,
    }
    assert {step for step, _ in counted} == set(UNDOS)


async def test_an_undo_that_keeps_failing_keeps_no_other_from_its_turn(patient_shop: Any) -> None:
    shop, order_id = patient_shop, an_id()
    shop.world.refuse(order_id, "commit", "hold_expired")
    shop.world.refuse(order_id, "cancel_shipment", FINAL, times=8)
    outcome = await (await shop.order(order_id=order_id)).result()
    assert outcome.status is Status.REJECTED
    begun = undos(shop.world, order_id)
    assert begun.count("cancel_shipment") == 9
    assert max(begun.index("reverse"), begun.index("release")) < 8


async def test_an_undo_that_hangs_keeps_no_other_from_its_turn(measured_shop: Shop) -> None:
    shop, order_id = measured_shop, an_id()
    shop.world.refuse(order_id, "commit", "hold_expired")
    held = shop.world.hold(order_id, "cancel_shipment")
    handle = await shop.order(order_id=order_id)
    await held.begun.wait()
    await eventually(lambda: {"reverse end", "release end"} <= set(shop.world.log[order_id]), timeout=60)
    assert undos(shop.world, order_id) == UNDONE["commit"]
    held.let_go()
    assert (await handle.result()).status is Status.REJECTED


def test_pauses_double_up_to_the_longest() -> None:
    first = list(islice(pauses(), 12))
    assert first[:3] == [FIRST_PAUSE, FIRST_PAUSE * 2, FIRST_PAUSE * 4]
    assert first[-1] == LONGEST_PAUSE == timedelta(minutes=15)
