"""What waits on task queues, for how long, and who polls them."""

import asyncio
import logging
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import NoReturn

from prometheus_client import CollectorRegistry, Gauge
from temporalio.api.enums.v1 import TaskQueueKind, TaskQueueType
from temporalio.api.taskqueue.v1 import PollerInfo, TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest, DescribeTaskQueueResponse
from temporalio.service import RPCError

from chassis.connection import Connection, TemporalUnavailable

logger = logging.getLogger(__name__)

TYPES = {
    "workflow": TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW,
    "activity": TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY,
}
"""Values of the label ``task_type``."""

EVERY_SECONDS = 5.0
"""Pause between samples. Temporal's own figures are a few seconds old already."""
POLL = timedelta(seconds=70)
"""A poller that came within this time is still there: a poll lasts a minute, and Temporal remembers one for five."""
LABELS = ("task_queue", "task_type")


class QueueMetrics:
    """Samples queues. Every replica reports the same figures: they are to be compared, and never added up."""

    def __init__(
        self, registry: CollectorRegistry, queues: Sequence[str], *, every_seconds: float = EVERY_SECONDS
    ) -> None:
        """Make the metrics.

        Args:
            registry: Of the service.
            queues: The service's own, and those that it calls: its own pool could not tell that it is gone.
            every_seconds: Pause between samples.
        """
        self._queues = queues
        self._every = every_seconds
        self._backlog = Gauge(
            "task_queue_backlog_tasks", "Tasks that wait on a queue, about.", LABELS, registry=registry
        )
        self._age = Gauge(
            "task_queue_backlog_age_seconds", "Age of the oldest task that waits on a queue.", LABELS, registry=registry
        )
        self._pollers = Gauge(
            "task_queue_pollers", "Processes that have polled a queue within the last poll.", LABELS, registry=registry
        )
        self._known = True

    async def run(self, connection: Connection) -> NoReturn:
        """Sample, again and again. What Temporal does not tell is absent rather than old."""
        while True:
            try:
                await self.sample(connection)
            except (RPCError, TemporalUnavailable, TimeoutError) as error:
                self._forget()
                if self._known:
                    logger.warning("Temporal does not tell of its queues: %s", error)
                self._known = False
            else:
                self._known = True
            await asyncio.sleep(self._every)

    async def sample(self, connection: Connection) -> None:
        """Ask once.

        Raises:
            temporalio.service.RPCError: If Temporal refuses to tell.
            TemporalUnavailable: While it is away.
            TimeoutError: If it does not tell in time.
        """
        asked = [(queue, kind) for queue in self._queues for kind in TYPES]
        # The time-out of the call is that of one attempt, and the client makes several.
        async with asyncio.timeout(self._every * 2):
            told = await asyncio.gather(*(_describe(connection, *one) for one in asked))
        for labels, answer in zip(asked, told, strict=True):
            stats = answer.stats
            self._backlog.labels(*labels).set(stats.approximate_backlog_count)
            self._age.labels(*labels).set(stats.approximate_backlog_age.ToTimedelta().total_seconds())
            self._pollers.labels(*labels).set(_live(answer.pollers))

    def _forget(self) -> None:
        for gauge in (self._backlog, self._age, self._pollers):
            gauge.clear()


async def _describe(connection: Connection, queue: str, kind: str) -> DescribeTaskQueueResponse:
    client = connection.client
    return await client.workflow_service.describe_task_queue(
        DescribeTaskQueueRequest(
            namespace=client.namespace,
            task_queue=TaskQueue(name=queue, kind=TaskQueueKind.TASK_QUEUE_KIND_NORMAL),
            task_queue_type=TYPES[kind],
            report_stats=True,
        )
    )


def _live(pollers: Sequence[PollerInfo]) -> int:
    now = datetime.now(UTC)
    return len({each.identity for each in pollers if now - each.last_access_time.ToDatetime(UTC) < POLL})
