"""The bare twin of an order: its shape, and nothing else. ``python -m waybill.bench.twin`` is one of its four workers.

A parent with one activity and seven children on four queues, six of them with one, that returns what it was given: no
database, no HTTP, no telemetry. What it costs is Temporal's and the SDK's; what an order costs beyond it is what
Waybill does.
"""

import asyncio
import sys
import uuid
from dataclasses import dataclass, field
from datetime import timedelta

from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.worker import Worker
from temporalio.workflow import ParentClosePolicy

SERVICES = ("orchestrator", "inventory", "payments", "shipping")
"""Each has a queue and a worker process."""
ACTIVITY_SECONDS = 30


@dataclass(frozen=True)
class Order:
    """About what an order's payloads carry: half a kilobyte.

    Attributes:
        order_id: Unique.
        queues: Prefix of the four task queues.
        address: Where it goes.
        lines: SKU and quantity.
    """

    order_id: str
    queues: str
    address: dict[str, str] = field(
        default_factory=lambda: {
            "name": "Sam Sample",
            "street": "1 Canal Street",
            "city": "Amsterdam",
            "postcode": "1011AB",
            "country": "NL",
        }
    )
    lines: tuple[tuple[str, int], ...] = (("TEA-250", 2), ("LAMP-1", 1))

    def queue(self, service: str) -> str:
        """Task queue of a service."""
        return f"{self.queues}-{service}"


@activity.defn(name="twin.work")
async def work(order: Order) -> Order:
    """Return what was given."""
    return order


async def _act(order: Order) -> Order:
    return await workflow.execute_activity(work, order, start_to_close_timeout=timedelta(seconds=ACTIVITY_SECONDS))


@workflow.defn(name="twin.Step")
class Step:
    """A child of one activity."""

    @workflow.run
    async def run(self, order: Order) -> Order:
        """Do it."""
        return await _act(order)


@workflow.defn(name="twin.Follow")
class Follow:
    """A child that is left behind, and ends at once."""

    @workflow.run
    async def run(self, order: Order) -> None:
        """Nothing is to be done."""


@workflow.defn(name="twin.Fulfil")
class Fulfil:
    """The parent."""

    step: type[Step] = Step

    @workflow.run
    async def run(self, order: Order) -> Order:
        """Take the order's steps: two of them side by side."""
        await _act(order)
        await self._step("reserve", "inventory", order)
        await self._authorise_and_plan(order)
        await self._step("book", "shipping", order)
        await self._step("commit", "inventory", order)
        await self._step("capture", "payments", order)
        await workflow.start_child_workflow(
            Follow.run,
            order,
            id=f"twin-follow:{order.order_id}",
            task_queue=order.queue("orchestrator"),
            parent_close_policy=ParentClosePolicy.ABANDON,
        )
        return order

    async def _authorise_and_plan(self, order: Order) -> None:
        await asyncio.gather(self._step("authorise", "payments", order), self._step("plan", "shipping", order))

    async def _step(self, verb: str, service: str, order: Order) -> Order:
        return await workflow.execute_child_workflow(
            self.step.run, order, id=f"twin-{verb}:{order.order_id}", task_queue=order.queue(service)
        )


@workflow.defn(name="twin.Alone")
class Alone:
    """The same activities in one workflow on one queue: what an order would be without separate services."""

    @workflow.run
    async def run(self, order: Order) -> Order:
        """Take the same steps."""
        await _act(order)
        await _act(order)
        await asyncio.gather(_act(order), _act(order))
        await _act(order)
        await _act(order)
        await _act(order)
        return order


def workflow_ids(order_id: str) -> list[str]:
    """Of all workflows of one order."""
    verbs = ("fulfil", "reserve", "authorise", "plan", "book", "commit", "capture", "follow")
    return [f"twin-{verb}:{order_id}" for verb in verbs]


async def place(client: Client, queues: str, kind: type[Fulfil] | type[Alone] = Fulfil) -> str:
    """Run one order to its end.

    Args:
        client: Of Temporal.
        queues: Prefix of the task queues.
        kind: Over children, or alone.

    Returns:
        Its id.
    """
    order = Order(uuid.uuid4().hex, queues)
    await client.execute_workflow(
        kind.run, order, id=f"twin-fulfil:{order.order_id}", task_queue=order.queue("orchestrator")
    )
    return order.order_id


async def main(address: str, queue: str) -> None:
    """Poll one queue until killed."""
    client = await Client.connect(address)
    worker = Worker(client, task_queue=queue, workflows=[Fulfil, Alone, Step, Follow], activities=[work])
    running = asyncio.create_task(worker.run())
    sys.stdout.write("polling\n")
    sys.stdout.flush()
    await running


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
