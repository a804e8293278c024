"""How many items a second the four ways of ``fanout`` do."""

import time
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment

from chassis.testing.programs import program
from waybill.bench.fanout import CHUNK, WORKFLOWS, Items
from waybill.bench.harness import BenchError, Contest, Figure, Group
from waybill.bench.process import worker
from waybill.stack.plan import TEMPORAL_PRAGMAS, TEMPORAL_SETTINGS

YARDSTICK = 100
"""Items of the sequential run that each way is compared with: its rate does not depend on how many there are."""

WAYS: tuple[tuple[str, str, int, int], ...] = (
    # name, workflow, items, items of one activity
    ("sequential_1000", "sequential", 1_000, 1),
    ("gathered_100", "gathered", 100, 1),
    ("gathered_1000", "gathered", 1_000, 1),
    ("windowed_100", "windowed", 100, 1),
    ("windowed_1000", "windowed", 1_000, 1),
    ("partitioned_1000", "partitioned", 1_000, 1),
    ("partitioned_10000", "partitioned", 10_000, 1),
    ("chunked_100", "windowed", 100, CHUNK),
    ("chunked_1000", "windowed", 1_000, CHUNK),
    ("chunked_10000", "windowed", 10_000, CHUNK),
    ("chunked_100000", "windowed", 100_000, CHUNK),
)
WINDOW_ITEMS = 1_000
CHILDREN_ITEMS = 10_000
CHILDREN_SECONDS = 60.0
"""What 10,000 items over children may take."""


@asynccontextmanager
async def setting() -> AsyncIterator[Sequence[Contest]]:
    """A Temporal server with the demo's settings, and one worker process."""
    extra = [part for key, value in TEMPORAL_SETTINGS.items() for part in ("--dynamic-config-value", f"{key}={value}")]
    extra += [part for key, value in TEMPORAL_PRAGMAS.items() for part in ("--sqlite-pragma", f"{key}={value}")]
    with TemporaryDirectory(prefix="waybill-bench-") as folder:
        environment = await WorkflowEnvironment.start_local(
            dev_server_existing_path=program("temporal"),
            dev_server_database_filename=str(Path(folder) / "temporal.db"),
            dev_server_log_level="error",
            dev_server_extra_args=extra,
        )
        address = environment.client.service_client.config.target_host
        async with environment, worker("waybill.bench.fanout", address) as polling:
            yield _contests(environment.client, polling.queue)


def _contests(client: Client, queue: str) -> Sequence[Contest]:
    def seconds(way: str, count: int, chunk: int = 1) -> Figure:
        async def measure() -> float:
            began = time.perf_counter()
            done = await client.execute_workflow(
                WORKFLOWS[way].run, Items(0, count, chunk), id=f"bench:{uuid.uuid4()}", task_queue=queue
            )
            if done != count:
                raise BenchError(f"{way} did {done} of {count} items")
            return time.perf_counter() - began

        return measure

    def rate(way: str, count: int, chunk: int = 1) -> Figure:
        async def measure() -> float:
            return count / await seconds(way, count, chunk)()

        return measure

    async def allowed() -> float:
        return CHILDREN_SECONDS

    sequential = rate("sequential", YARDSTICK)
    ways = [
        Contest(
            f"fanout_{name}",
            "items/s",
            rate(way, count, chunk),
            sequential,
            f"{count:,} items, {way}" + (f", {chunk} an activity" if chunk > 1 else "") + ", against one by one",
        )
        for name, way, count, chunk in WAYS
    ]
    window = Contest(
        "fanout_window_vs_gather",
        "items/s",
        rate("windowed", WINDOW_ITEMS),
        rate("gathered", WINDOW_ITEMS),
        f"{WINDOW_ITEMS:,} items, 50 in flight against all at once; wanted: 1.2 or more",
    )
    children = Contest(
        "fanout_children_seconds",
        "s",
        seconds("partitioned", CHILDREN_ITEMS),
        allowed,
        f"{CHILDREN_ITEMS:,} items over children, against the {CHILDREN_SECONDS:g} s that they may take; under 1",
    )
    return [window, children, *ways]


NAMES = ("fanout_window_vs_gather", "fanout_children_seconds", *(f"fanout_{name}" for name, *_ in WAYS))
GROUP = Group(NAMES, setting)
