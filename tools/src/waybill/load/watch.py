"""Looks at a deployment once a second while it is under load."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
from temporalio.api.enums.v1 import TaskQueueKind, TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import Client
from temporalio.service import RPCError

from waybill.load.machine import Machine
from waybill.load.scrape import WRITES, Memory, Scrape, parse
from waybill.load.targets import Target
from waybill.stack import SERVICES

EVERY_SECONDS = 1.0
SCRAPE_EVERY = 2
"""Services are asked for their metrics in each so-manieth sample: their answer costs them some milliseconds."""
ASK_SECONDS = 5.0
WAIT_SECONDS = 0.5
"""How long a sample waits for answers; what comes later stands in the next."""
KINDS = {"workflow": TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW, "activity": TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY}
WORKERS = {"activity": "ActivityWorker", "workflow": "WorkflowWorker"}


@dataclass
class Sample:
    """What was seen at a moment.

    Attributes:
        at: Seconds since 1970, on our clock.
        values: By a name with slashes, such as ``backlog/shipping/activity``.
    """

    at: float
    values: dict[str, float]


@dataclass
class Mark:
    """All counters at a moment, for the difference to those of another.

    Attributes:
        at: Seconds since 1970, on our clock.
        values: As in ``Sample``.
        services: What each service's replicas told, added up; none of one that does not tell.
    """

    at: float
    values: dict[str, float]
    services: dict[str, Scrape] = field(default_factory=dict)


class Watcher:
    """Takes samples of a target, and remembers them."""

    def __init__(
        self,
        target: Target,
        session: aiohttp.ClientSession,
        client: Client | None,
        clock: Callable[[], float],
        own: Callable[[], dict[str, float]] = dict,
    ) -> None:
        """Prepare.

        Args:
            target: To look at.
            session: To ask with.
            client: Of Temporal, where it is known; else services tell of their queues.
            clock: Seconds since 1970.
            own: Figures of the generator, to stand in each sample.
        """
        self.samples: list[Sample] = []
        self.failures = 0
        self.changed: Callable[[Sample], None] = lambda _: None
        self.own = own
        self._target = target
        self._session = session
        self._client = client
        self._clock = clock
        self._machine = Machine()
        self._memory = Memory(clock())
        self._count = 0
        self._asking: dict[str, asyncio.Task[None]] = {}
        """Questions that are not answered yet, by process."""

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Take samples while the block runs."""
        task = asyncio.create_task(self._run())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            for asking in self._asking.values():
                asking.cancel()
            await asyncio.gather(*self._asking.values(), return_exceptions=True)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            await self.sample(scrape=self._count % SCRAPE_EVERY == 0)
            self._count += 1
            # After a pause of ours no samples are made up for.
            due = max(due + EVERY_SECONDS, loop.time())
            await asyncio.sleep(due - loop.time())

    async def sample(self, *, scrape: bool = True) -> Sample:
        """Look once."""
        queues, _ = await asyncio.gather(self._queues(), self._scrape() if scrape else asyncio.sleep(0))
        values = queues | self._machine.sample(self._target.pids()) | self.own()
        if scrape:
            values |= self._told()
        sample = Sample(self._clock(), values)
        self.samples.append(sample)
        self.changed(sample)
        return sample

    async def mark(self) -> Mark:
        """Look once, at everything."""
        sample = await self.sample()
        services = {service: self._memory.service(service) for service in SERVICES}
        return Mark(sample.at, sample.values, {name: scrape for name, scrape in services.items() if scrape.values})

    async def _scrape(self) -> None:
        """Ask all processes. One that is slow to answer, since it is just starting say, holds up nobody."""
        targets = self._target.metrics()
        self._memory.alive(targets)
        for name, url in targets.items():
            if name not in self._asking:
                self._asking[name] = asyncio.create_task(self._ask(name, url))
        if self._asking:
            await asyncio.wait(self._asking.values(), timeout=WAIT_SECONDS)
        for name in [name for name, task in self._asking.items() if task.done()]:
            self._asking.pop(name).result()

    async def _ask(self, process: str, url: str) -> None:
        try:
            timeout = aiohttp.ClientTimeout(total=ASK_SECONDS)
            async with self._session.get(f"{url}/metrics", timeout=timeout) as answer:
                answer.raise_for_status()
                told = parse(await answer.text())
            if process in self._target.metrics():  # it may have ended meanwhile
                self._memory.saw(process, told)
        except (aiohttp.ClientError, TimeoutError, ValueError):
            # It may be down, on purpose too. Its last figures stand until it answers.
            self.failures += 1

    def _told(self) -> dict[str, float]:
        values: dict[str, float] = {}
        for process, scrape in self._memory.now.items():
            if not self._target.pids():
                counted = self._memory.service(process)
                values[f"cpu_seconds/{process}"] = counted.total("process_cpu_seconds_total")
                values[f"memory_bytes/{process}"] = scrape.total("process_resident_memory_bytes")
            for kind, worker in WORKERS.items():
                used = scrape.total("temporal_worker_task_slots_used", worker_type=worker)
                free = scrape.total("temporal_worker_task_slots_available", worker_type=worker)
                if used + free > 0:
                    values[f"slots_used/{process}/{kind}"] = used
                    values[f"slots/{process}/{kind}"] = used + free
        for service in SERVICES:
            scrape = self._memory.service(service)
            if not scrape.values:
                continue
            values[f"db_writes/{service}"] = writes(scrape)
            values[f"activities/{service}"] = scrape.total(
                "temporal_activity_execution_latency_seconds_count", task_queue=service
            )
            values[f"activities_failed/{service}"] = scrape.total("temporal_activity_execution_failed_total")
        return values

    async def _queues(self) -> dict[str, float]:
        if self._client is None:
            return self._queues_as_told()
        asked = [(service, kind) for service in SERVICES for kind in KINDS]
        try:
            async with asyncio.timeout(ASK_SECONDS):
                answers = await asyncio.gather(*(_describe(self._client, *each) for each in asked))
        except (RPCError, TimeoutError):
            self.failures += 1
            return {}
        return {name: value for answer in answers for name, value in answer.items()}

    def _queues_as_told(self) -> dict[str, float]:
        """By the orchestrator, which knows of all queues; some seconds old."""
        scrape = self._memory.service("orchestrator")
        values: dict[str, float] = {}
        for name, ours in (("task_queue_backlog_tasks", "backlog"), ("task_queue_backlog_age_seconds", "age")):
            for labels, value in scrape.find(name):
                key = f"{ours}/{labels['task_queue']}/{labels['task_type']}"
                values[key] = max(value, values.get(key, 0.0))
        return values


def writes(scrape: Scrape) -> float:
    """Statements that changed a database."""
    return sum(scrape.total("db_client_operation_duration_seconds_count", db_operation_name=verb) for verb in WRITES)


async def _describe(client: Client, queue: str, kind: str) -> dict[str, float]:
    answer = await client.workflow_service.describe_task_queue(
        DescribeTaskQueueRequest(
            namespace=client.namespace,
            task_queue=TaskQueue(name=queue, kind=TaskQueueKind.TASK_QUEUE_KIND_NORMAL),
            task_queue_type=KINDS[kind],
            report_stats=True,
        )
    )
    stats = answer.stats
    return {
        f"backlog/{queue}/{kind}": float(stats.approximate_backlog_count),
        f"age/{queue}/{kind}": stats.approximate_backlog_age.ToTimedelta().total_seconds(),
    }
