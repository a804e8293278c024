import asyncio
import uuid
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from temporalio import activity
from temporalio.client import Client, WorkflowFailureError, WorkflowHandle, WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from chassis.guard import ArgumentGuard

from .programs.tiny.flows import Errand, Listen, Run

BACKSTOP = timedelta(seconds=20)
"""A workflow that hangs ends with this, and its test fails."""


@activity.defn(name="tiny.write")
async def write(errand: Errand) -> None:
    assert isinstance(errand, Errand)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def queue(dev_server: WorkflowEnvironment) -> AsyncIterator[str]:
    """A guarded worker's. It is one for the whole module: whatever is sent to it, it lives."""
    name = f"q-{uuid.uuid4()}"
    # The sandbox is part of the tests with real processes.
    runner = UnsandboxedWorkflowRunner()
    options: dict[str, Any] = {"interceptors": [ArgumentGuard()], "workflow_runner": runner}
    async with Worker(dev_server.client, task_queue=name, workflows=[Run, Listen], activities=[write], **options):
        yield name


async def start(client: Client, queue: str, workflow: str, *arguments: Any) -> WorkflowHandle[Any, Any]:
    return await client.start_workflow(
        workflow, args=arguments, id=f"run:{uuid.uuid4()}", task_queue=queue, execution_timeout=BACKSTOP
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "expected 1 arguments, got 0"),
        ((Errand("path"), Errand("path")), "expected 1 arguments, got 2"),
        ((None,), "Cannot convert to dataclass"),
        (("path",), "Cannot convert to dataclass"),
        (({"times": 1},), "missing 1 required positional argument: 'path'"),
        (({"path": "path", "times": 1.5},), "expected int, got float"),
    ],
)
async def test_a_workflow_with_wrong_arguments_fails_clearly_and_its_worker_lives(
    dev_server: WorkflowEnvironment, queue: str, arguments: tuple[Any, ...], said: str
) -> None:
    handle = await start(dev_server.client, queue, "tiny.Run", *arguments)
    with pytest.raises(WorkflowFailureError) as failed:
        await handle.result()
    cause = failed.value.cause
    assert isinstance(cause, ApplicationError), cause
    assert cause.type == "InvalidInput"
    assert cause.non_retryable
    assert said in cause.message

    right = await start(dev_server.client, queue, "tiny.Run", Errand(str(Path("path")), 3))
    assert await right.result() == 3


@pytest.mark.parametrize("arguments", [(), ("one", "two"), (1.5,)])
async def test_a_signal_with_wrong_arguments_is_dropped_and_its_workflow_lives(
    dev_server: WorkflowEnvironment, queue: str, arguments: tuple[Any, ...]
) -> None:
    handle = await start(dev_server.client, queue, "tiny.Listen")
    await handle.signal("hear", args=arguments)
    assert await handle.execute_update("weigh", 5) == 5  # a task after the signal went through
    await handle.signal("hear", "a word")
    assert await handle.result() == "a word"


@pytest.mark.parametrize("update", ["weigh", "check"])
@pytest.mark.parametrize("arguments", [(), (1, 2), ("heavy",), (True,)])
async def test_an_update_with_wrong_arguments_fails_and_its_workflow_lives(
    dev_server: WorkflowEnvironment, queue: str, update: str, arguments: tuple[Any, ...]
) -> None:
    handle = await start(dev_server.client, queue, "tiny.Listen")
    with pytest.raises(WorkflowUpdateFailedError) as failed:
        async with asyncio.timeout(30):
            await handle.execute_update(update, args=arguments)
    assert isinstance(failed.value.cause, ApplicationError)
    assert failed.value.cause.type == "InvalidInput"
    assert await handle.execute_update(update, 5) == 5
    await handle.signal("hear", "done")
    assert await handle.result() == "done"


@pytest.mark.parametrize(("arguments", "heard"), [((), "hush"), (("a word",), "a word")])
async def test_an_argument_with_a_default_may_be_left_out(
    dev_server: WorkflowEnvironment, queue: str, arguments: tuple[Any, ...], heard: str
) -> None:
    handle = await start(dev_server.client, queue, "tiny.Listen")
    await handle.signal("hush", args=arguments)
    assert await handle.result() == heard
