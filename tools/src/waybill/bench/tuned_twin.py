"""One of the twin's four workers, with other Worker options: ``python -m waybill.bench.tuned_twin ADDRESS QUEUE``."""

import asyncio
import json
import os
import sys
from collections.abc import Mapping
from typing import Any

from temporalio.client import Client
from temporalio.worker import PollerBehaviorAutoscaling, UnsandboxedWorkflowRunner, Worker

from waybill.bench.twin import Alone, Follow, Fulfil, Step, work
from waybill.bench.twin_variants import Locally, LocalStep, OneByOne

OPTIONS = "WAYBILL_BENCH_WORKER"
"""Variable with the options that differ from the SDK's defaults, as JSON."""
AUTOSCALING, UNSANDBOXED = "autoscaling", "unsandboxed"
"""Options that JSON has no form for: let the SDK choose the number of pollers; run workflows without the sandbox."""


def arguments(options: Mapping[str, Any]) -> dict[str, Any]:
    """What the Worker is given.

    Args:
        options: Its own arguments, as far as JSON has a form for them, and the two above.
    """
    given = dict(options)
    if given.pop(AUTOSCALING, False):
        given["workflow_task_poller_behavior"] = PollerBehaviorAutoscaling()
        given["activity_task_poller_behavior"] = PollerBehaviorAutoscaling()
    if given.pop(UNSANDBOXED, False):
        given["workflow_runner"] = UnsandboxedWorkflowRunner()
    return given


async def main(address: str, queue: str) -> None:
    """Poll one queue until killed."""
    worker = Worker(
        await Client.connect(address),
        task_queue=queue,
        workflows=[Fulfil, Alone, Step, Follow, OneByOne, Locally, LocalStep],
        activities=[work],
        **arguments(json.loads(os.environ[OPTIONS])),
    )
    running = asyncio.create_task(worker.run())
    sys.stdout.write("polling\n")
    sys.stdout.flush()
    await running


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
