import asyncio
import logging
import uuid

import pytest
from prometheus_client import CollectorRegistry
from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from chassis.connection import Connection
from chassis.queues import QueueMetrics
from chassis.testing.waiting import eventually

from .conftest import address_of
from .programs.tiny.flows import Listen

SECONDS = 0.05


def value(registry: CollectorRegistry, name: str, queue: str, kind: str = "workflow") -> float | None:
    return registry.get_sample_value(f"task_queue_{name}", {"task_queue": queue, "task_type": kind})


async def connected(dev_server: WorkflowEnvironment) -> Connection:
    connection = Connection("demo")
    connection.use(await Client.connect(address_of(dev_server)))
    return connection


async def test_a_backlog_without_pollers_grows_older_and_is_worked_off_when_one_comes(
    dev_server: WorkflowEnvironment,
) -> None:
    connection, registry, queue = await connected(dev_server), CollectorRegistry(), f"q-{uuid.uuid4()}"
    client = connection.client
    for _ in range(3):
        await client.start_workflow(
            Listen.run, id=str(uuid.uuid4()), task_queue=queue, start_signal="hear", start_signal_args=["a word"]
        )
    sampling = asyncio.create_task(QueueMetrics(registry, [queue], every_seconds=SECONDS).run(connection))
    await eventually(lambda: value(registry, "backlog_tasks", queue) == 3)
    await eventually(lambda: (value(registry, "backlog_age_seconds", queue) or 0) > 0)
    assert value(registry, "pollers", queue) == 0
    assert value(registry, "backlog_tasks", queue, "activity") == 0
    async with Worker(client, task_queue=queue, workflows=[Listen], workflow_runner=UnsandboxedWorkflowRunner()):
        await eventually(lambda: value(registry, "backlog_tasks", queue) == 0)
        assert value(registry, "backlog_age_seconds", queue) == 0
        await eventually(lambda: value(registry, "pollers", queue) == 1)
        assert value(registry, "pollers", queue, "activity") == 0  # the worker has no activities
    sampling.cancel()
    await asyncio.gather(sampling, return_exceptions=True)


async def test_what_temporal_does_not_tell_is_absent_and_said_once(
    dev_server: WorkflowEnvironment, caplog: pytest.LogCaptureFixture
) -> None:
    connection, registry, queue = await connected(dev_server), CollectorRegistry(), f"q-{uuid.uuid4()}"
    metrics = QueueMetrics(registry, [queue], every_seconds=SECONDS)
    await metrics.sample(connection)
    assert value(registry, "pollers", queue) == 0
    elsewhere = Connection("demo")
    elsewhere.use(await Client.connect(address_of(dev_server), namespace="there-is-none"))
    with caplog.at_level(logging.WARNING, "chassis.queues"):
        sampling = asyncio.create_task(metrics.run(elsewhere))
        await eventually(lambda: value(registry, "pollers", queue) is None)
        sampling.cancel()
        await asyncio.gather(sampling, return_exceptions=True)
    assert [record.message.split(":")[0] for record in caplog.records] == ["Temporal does not tell of its queues"]
