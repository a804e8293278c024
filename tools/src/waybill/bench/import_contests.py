"""How fast inventory imports a supplier's list."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import aiohttp
from temporalio.client import Client

from waybill.bench.harness import BenchError, Contest, Figure, Group
from waybill.bench.process import worker
from waybill.bench.rows import DATABASE_URL, RowByRow, Rows
from waybill.imports import Imports
from waybill.stack import Stack
from waybill.stack.plan import NAMESPACE

SMALL = 10_000
LARGE = 100_000
LOOK_SECONDS = 0.05
"""Between two looks whether an import has ended: little beside what it takes."""
BY_ROW = 1_000
"""Rows that are imported one by one: enough to measure a rate."""
HEADER = "sku,weight,currency,price,warehouse,quantity\n"
NAMES = ("import_linear", "import_vs_activity_per_row")


@asynccontextmanager
async def setting() -> AsyncIterator[Sequence[Contest]]:
    """A stack of ours, and beside it a worker that imports one by one."""
    with TemporaryDirectory(prefix="waybill-bench-") as folder:
        async with Stack(Path(folder) / "stack") as stack, aiohttp.ClientSession() as session:
            imports = Imports(session, stack.urls, stack.operator_token)
            client = await Client.connect(stack.urls["temporal"], namespace=NAMESPACE)
            database = stack.plan.service("inventory", stack.ports["inventory"], {}).environment
            own = {DATABASE_URL: database["INVENTORY_DATABASE_URL"]}
            async with worker("waybill.bench.rows", stack.urls["temporal"], own) as polling:
                yield _contests(imports, Path(folder), client, polling.queue)


def write_list(path: Path, prefix: str, rows: int) -> None:
    """Write a supplier's list of SKUs that begin alike."""
    with path.open("w") as file:
        file.write(HEADER)
        file.writelines(f"{prefix}-{number},250,EUR,1250,north,40\n" for number in range(rows))


def _contests(imports: Imports, folder: Path, client: Client, queue: str) -> Sequence[Contest]:
    def seconds(rows: int) -> Figure:
        """From the first byte that is sent to the end of the import."""

        async def measure() -> float:
            name = uuid.uuid4().hex
            path = folder / f"{name}.csv"
            await asyncio.to_thread(write_list, path, name, rows)
            began = time.perf_counter()
            await imports.send("catalogue", path, name)
            async for now in imports.follow(name, look_seconds=LOOK_SECONDS):
                state = now
            took = time.perf_counter() - began
            if state.status != "completed" or (state.result or {}).get("applied") != rows:
                raise BenchError(f"the import of {rows} rows ended as {state}")
            return took

        return measure

    async def ours() -> float:
        return SMALL / await seconds(SMALL)()

    async def one_by_one() -> float:
        began = time.perf_counter()
        rows = Rows(uuid.uuid4().hex, BY_ROW)
        await client.execute_workflow(RowByRow.run, rows, id=f"bench:{rows.prefix}", task_queue=queue)
        return BY_ROW / (time.perf_counter() - began)

    return [
        Contest(
            NAMES[0], "s", seconds(LARGE), seconds(SMALL), f"{LARGE:,} rows against {SMALL:,}; wanted: 11.5 or less"
        ),
        Contest(NAMES[1], "rows/s", ours, one_by_one, "against one activity and transaction a row; wanted: 20 or more"),
    ]


GROUP = Group(NAMES, setting)
