"""A bare worker: one workflow, one activity, default options. ``python -m waybill.bench.bare ADDRESS QUEUE``.

What it takes to start and to idle is the SDK's; what a service takes beyond it is what Waybill brings.
"""

import asyncio
import sys
from datetime import timedelta

from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.worker import Worker

POLLING = "polling"
"""What stands in the line that a worker, this one or a service's, writes when it polls."""


@activity.defn(name="bare.work")
async def work(name: str) -> str:
    """Return what was given."""
    return name


@workflow.defn(name="bare.Work")
class Work:
    """One activity."""

    @workflow.run
    async def run(self, name: str) -> str:
        """Do it."""
        return await workflow.execute_activity(work, name, start_to_close_timeout=timedelta(seconds=10))


async def main(address: str, queue: str) -> None:
    """Poll a queue until killed."""
    client = await Client.connect(address)
    running = asyncio.create_task(Worker(client, task_queue=queue, workflows=[Work], activities=[work]).run())
    sys.stdout.write(f"{POLLING}\n")
    sys.stdout.flush()
    await running


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
