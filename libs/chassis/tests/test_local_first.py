"""Whether a short transaction is done at once, and who tries again."""

import asyncio
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from temporalio import activity, workflow
from temporalio.client import Client, WorkflowFailureError, WorkflowHandle
from temporalio.common import RetryPolicy
from temporalio.exceptions import ApplicationError, is_cancelled_exception
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker
from temporalio.workflow import ActivityCancellationType

from chassis import local_first as module
from chassis.local_first import local_first

OPTIONS = workflow.ActivityConfig(
    start_to_close_timeout=timedelta(seconds=30),
    retry_policy=RetryPolicy(initial_interval=timedelta(milliseconds=50), non_retryable_error_types=["Refused"]),
    cancellation_type=ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
)


class Work:
    """An activity that goes as a test says."""

    def __init__(self, *, failures: int = 0, kind: str = "Away", slow: int = 0, then: str = "") -> None:
        self.failures, self.kind, self.slow, self.then = failures, kind, slow, then
        self.tries, self.local, self.under_way, self.begun = 0, 0, 0, asyncio.Event()

    @activity.defn(name="work")
    async def do(self, number: int) -> int:
        self.tries += 1
        self.local += activity.info().is_local
        self.under_way += 1
        self.begun.set()
        try:
            return await self._do(number)
        finally:
            self.under_way -= 1

    async def _do(self, number: int) -> int:
        if self.tries <= self.slow:
            await asyncio.Event().wait()
        if self.tries <= self.failures:
            raise ApplicationError("not now", type=self.kind)
        if self.then:
            raise ApplicationError("not at all", type=self.then)
        return number + 1


@workflow.defn(sandboxed=False)
class Once:
    @workflow.run
    async def run(self, number: int) -> int:
        return await local_first(Work.do, number, OPTIONS)


@asynccontextmanager
async def started(client: Client, work: Work) -> AsyncIterator[WorkflowHandle[Any, int]]:
    queue = f"local-first-{uuid.uuid4()}"
    async with Worker(client, task_queue=queue, workflows=[Once], activities=[work.do]):
        yield await client.start_workflow(Once.run, 1, id=queue, task_queue=queue)


async def kinds(handle: WorkflowHandle[Any, Any]) -> Counter[str]:
    events = (await handle.fetch_history()).events
    return Counter(str(event.WhichOneof("attributes")).removesuffix("_event_attributes") for event in events)


async def test_what_goes_well_takes_one_event_and_no_task_of_its_own(dev_server: WorkflowEnvironment) -> None:
    async with started(dev_server.client, work := Work()) as handle:
        assert await handle.result() == 2
    assert (work.tries, work.local) == (1, 1)
    seen = await kinds(handle)
    assert (seen["marker_recorded"], seen["activity_task_scheduled"], seen["workflow_task_started"]) == (1, 0, 1)


async def test_what_does_not_go_at_once_is_the_servers_to_try_again(dev_server: WorkflowEnvironment) -> None:
    async with started(dev_server.client, work := Work(failures=5)) as handle:
        assert await handle.result() == 2
    assert (work.tries, work.local) == (6, 1)
    seen = await kinds(handle)
    # However often it is tried: no marker, no timer and no workflow task more.
    assert (seen["marker_recorded"], seen["activity_task_scheduled"], seen["timer_started"]) == (1, 1, 0)
    assert seen["workflow_task_started"] == 2


async def test_a_refusal_is_final(dev_server: WorkflowEnvironment) -> None:
    async with started(dev_server.client, work := Work(failures=9, kind="Refused")) as handle:
        with pytest.raises(WorkflowFailureError) as failed:
            await handle.result()
    assert isinstance(failed.value.cause, ApplicationError)
    assert (failed.value.cause.type, work.tries) == ("Refused", 1)


async def test_a_refusal_looks_the_same_after_the_server_took_over(dev_server: WorkflowEnvironment) -> None:
    async with started(dev_server.client, work := Work(failures=2, then="Refused")) as handle:
        with pytest.raises(WorkflowFailureError) as failed:
            await handle.result()
    assert isinstance(failed.value.cause, ApplicationError)
    assert (failed.value.cause.type, work.tries, work.local) == ("Refused", 3, 1)


async def test_what_takes_too_long_for_a_workflow_task_is_begun_again_by_the_server(
    dev_server: WorkflowEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOMENT", timedelta(milliseconds=200))
    async with started(dev_server.client, work := Work(slow=1)) as handle:
        assert await handle.result() == 2
    assert (work.tries, work.local) == (2, 1)


async def test_a_cancellation_that_comes_behind_it_ends_the_workflow_and_the_server_begins_nothing(
    dev_server: WorkflowEnvironment,
) -> None:
    work, queue = Work(), f"local-first-{uuid.uuid4()}"
    handle = await dev_server.client.start_workflow(Once.run, 1, id=queue, task_queue=queue)
    await handle.cancel()
    async with Worker(dev_server.client, task_queue=queue, workflows=[Once], activities=[work.do]):
        with pytest.raises(WorkflowFailureError) as failed:
            await handle.result()
    assert is_cancelled_exception(failed.value.cause)
    assert (await kinds(handle))["activity_task_scheduled"] == 0


async def test_a_cancellation_that_comes_meanwhile_waits_for_what_is_under_way(
    dev_server: WorkflowEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOMENT", timedelta(seconds=1))
    async with started(dev_server.client, work := Work(slow=1)) as handle:
        await work.begun.wait()
        await handle.cancel()
        # Whether it is done in the end or not: nothing runs any more.
        await asyncio.gather(handle.result(), return_exceptions=True)
        assert work.under_way == 0
