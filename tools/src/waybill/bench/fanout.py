"""Four ways for a workflow to do something to many items; ``python -m waybill.bench.fanout`` runs them.

The activity does nothing, so what is measured is what Temporal and the SDK cost.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta

from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.worker import Worker

WINDOW = 50
"""Activities in flight at most, where a window is kept."""
PARTITION = 500
"""Items of one child."""
CHILDREN = 8
"""Children in flight at most."""
CHUNK = 100
"""Items of one activity, where it takes several."""
ACTIVITY_SECONDS = 30
SLOTS = 100
"""Activities that the worker runs at once."""


@dataclass(frozen=True)
class Items:
    """Numbers from ``first`` to before ``last``."""

    first: int
    last: int
    chunk: int = 1
    """Items of one activity."""


@activity.defn(name="bench.touch")
async def touch(items: Items) -> int:
    """Do nothing to some items, and say how many they were."""
    return items.last - items.first


def _touch(items: Items) -> Awaitable[int]:
    return workflow.execute_activity(touch, items, start_to_close_timeout=timedelta(seconds=ACTIVITY_SECONDS))


def _split(items: Items, size: int) -> list[Items]:
    starts = range(items.first, items.last, size)
    return [Items(first, min(first + size, items.last), items.chunk) for first in starts]


async def _window(parts: list[Items], most: int, work: Callable[[Items], Awaitable[int]]) -> int:
    """Work on all parts, on a number at a time."""
    waiting = iter(parts)

    async def one_after_the_other() -> int:
        done = 0
        for part in waiting:
            done += await work(part)
        return done

    return sum(await asyncio.gather(*(one_after_the_other() for _ in range(min(most, len(parts))))))


@workflow.defn(name="bench.Sequential")
class Sequential:
    """One activity after the other."""

    @workflow.run
    async def run(self, items: Items) -> int:
        done = 0
        for part in _split(items, items.chunk):
            done += await _touch(part)
        return done


@workflow.defn(name="bench.Gathered")
class Gathered:
    """All activities at once. The server takes no more than 2,000."""

    @workflow.run
    async def run(self, items: Items) -> int:
        return sum(await asyncio.gather(*(_touch(part) for part in _split(items, items.chunk))))


@workflow.defn(name="bench.Windowed")
class Windowed:
    """A number of activities at a time."""

    @workflow.run
    async def run(self, items: Items) -> int:
        return await _window(_split(items, items.chunk), WINDOW, _touch)


@workflow.defn(name="bench.Partitioned")
class Partitioned:
    """Children, a number at a time, each with a history of its own and a window of activities."""

    @workflow.run
    async def run(self, items: Items) -> int:
        parent = workflow.info().workflow_id

        def child(part: Items) -> Awaitable[int]:
            return workflow.execute_child_workflow(Windowed.run, part, id=f"{parent}:{part.first}")

        return await _window(_split(items, PARTITION * items.chunk), CHILDREN, child)


Way = Sequential | Gathered | Windowed | Partitioned
WORKFLOWS: dict[str, type[Way]] = {
    "sequential": Sequential,
    "gathered": Gathered,
    "windowed": Windowed,
    "partitioned": Partitioned,
}


async def serve(address: str, queue: str) -> None:
    """Work until the process is ended.

    Args:
        address: Of Temporal.
        queue: To poll.
    """
    client = await Client.connect(address)
    worker = Worker(
        client,
        task_queue=queue,
        workflows=[*WORKFLOWS.values()],
        activities=[touch],
        max_concurrent_activities=SLOTS,
    )
    sys.stdout.write("polling\n")
    sys.stdout.flush()
    await worker.run()


if __name__ == "__main__":
    asyncio.run(serve(*sys.argv[1:]))
