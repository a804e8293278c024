"""How long a customer's order takes while hundreds of imported ones wait."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import aiohttp
from temporalio.client import Client, WorkflowHandle, WorkflowQueryRejectedError
from temporalio.common import QueryRejectCondition
from temporalio.service import RPCError, RPCStatusCode

from chassis.testing.waiting import eventually
from waybill.bench.harness import BenchError, Contest, Figure, Group
from waybill.bench.orders import UNITS, order
from waybill.demo.samples import SAMPLES
from waybill.demo.shop import Shop
from waybill.imports import Imports
from waybill.stack import Stack
from waybill.stack.plan import NAMESPACE, SERVICES

IMPORTED = 320
WINDOW = IMPORTED
WAITING = 300
"""Imported orders at least that wait for inventory when its pool comes back and the customers' are placed."""
PATIENCE_SECONDS = 120.0
"""How long it may take until they do."""
SLOTS = 5
"""Of each pool, for either kind of task. Priority orders what waits in a queue, not what a worker has taken already."""
CUSTOMERS = 5
"""Orders of customers, one a second, whether or not the ones before have ended; the slowest counts."""
WARM_UP = 3
LOWEST, NONE = 5, 1
"""Priority of imported orders: below the customers', or theirs."""
NAMES = ("interactive_during_import", "interactive_vs_idle")


@asynccontextmanager
async def setting() -> AsyncIterator[Sequence[Contest]]:
    """Each figure has a stack of its own, since what was imported for one would slow the next."""
    with TemporaryDirectory(prefix="waybill-bench-") as folder:
        yield [
            Contest(
                NAMES[0],
                "s",
                _worst(Path(folder), LOWEST),
                _worst(Path(folder), NONE),
                f"slowest of {CUSTOMERS} orders while {WAITING} imported ones wait, against no priorities; 0.2 or less",
            ),
            Contest(
                NAMES[1],
                "s",
                _worst(Path(folder), LOWEST),
                _worst(Path(folder), None),
                f"slowest of {CUSTOMERS} orders while {WAITING} imported ones wait, against an idle stack",
            ),
        ]


GROUP = Group(NAMES, setting)


def _worst(folder: Path, priority: int | None) -> Figure:
    """The slowest order of some customers, beside an import of a priority, or of none."""

    async def measure() -> float:
        run = uuid.uuid4().hex[:12]
        env = {name: _small(name) for name in SERVICES}
        env["orchestrator"]["ORCHESTRATOR_IMPORT_PRIORITY"] = str(priority or LOWEST)
        async with Stack(folder / run, env=env) as stack, aiohttp.ClientSession() as session:
            shop = Shop(session, stack.urls, stack.operator_token)
            await shop.stock_up(run)
            await shop.stock("TEA-250", "north", UNITS * (IMPORTED + CUSTOMERS + WARM_UP), f"{run}-more")
            for number in range(WARM_UP):
                await order(shop, f"{run}-warm-{number}")
            if priority is not None:
                await stack.stop("inventory")
                await _import(stack, Imports(session, stack.urls, stack.operator_token), folder, run)
                await stack.start("inventory")
            orders = (order(shop, f"{run}-customer-{number}", after=number) for number in range(CUSTOMERS))
            seconds = await asyncio.gather(*orders)
            stack.hurry()  # what is still under way is of no interest
            return max(seconds)

    return measure


async def _import(stack: Stack, imports: Imports, folder: Path, run: str) -> None:
    """Begin an import, and wait until enough of its orders wait.

    Raises:
        BenchError: If they never do.
    """
    path = folder / f"{run}.jsonl"
    bodies = (SAMPLES[0].body(f"{run}-import-{number}") for number in range(IMPORTED))
    await asyncio.to_thread(path.write_text, "".join(json.dumps(body) + "\n" for body in bodies))
    await imports.send("orders", path, run, query={"window": str(WINDOW)})
    client = await Client.connect(stack.urls["temporal"], namespace=NAMESPACE)
    await until_waiting(client.get_workflow_handle(f"import-orders:{run}"))


async def until_waiting(handle: WorkflowHandle[Any, Any]) -> None:
    """Wait until enough orders of an import wait.

    Args:
        handle: Of its workflow, which may not be there yet.

    Raises:
        BenchError: If it ends before, or they do not in time.
    """

    async def enough() -> bool:
        return await _running(handle) >= WAITING

    try:
        await eventually(enough, timeout=PATIENCE_SECONDS)
    except WorkflowQueryRejectedError as error:
        status = "" if error.status is None else f" as {error.status.name.lower()}"
        raise BenchError(f"{handle.id} ended{status} before {WAITING} of its orders waited") from None
    except AssertionError:
        raise BenchError(f"{handle.id}: {WAITING} orders did not wait within {PATIENCE_SECONDS:g} s") from None


async def _running(handle: WorkflowHandle[Any, Any]) -> int:
    """How many orders of an import are under way."""
    try:
        # The pool that answers is alive: of an import that has ended it would tell the same for ever.
        state = await handle.query("state", reject_condition=QueryRejectCondition.NOT_OPEN)
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise
        return 0
    return int(state["running"])


def _small(service: str) -> dict[str, str]:
    """Settings of a pool that takes on little at a time."""
    return {f"{service.upper()}_{kind}_SLOTS": str(SLOTS) for kind in ("WORKFLOW", "ACTIVITY")}
