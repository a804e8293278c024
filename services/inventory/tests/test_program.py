import asyncio
import os
import signal
import sys
import uuid
from collections.abc import Awaitable, Callable

import aiohttp
from temporalio.testing import WorkflowEnvironment

from chassis.database import Database
from chassis.testing.ports import free_ports
from chassis.testing.waiting import eventually
from inventory import contract
from inventory.contract import Line, ReserveRequest

Stocked = Callable[..., Awaitable[str]]


async def test_the_program_serves_an_order_and_drains(
    dev_server: WorkflowEnvironment, database: Database, stocked: Stocked
) -> None:
    sku = await stocked(east=1)
    [port] = free_ports(1)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "inventory",
        env={
            **os.environ,
            "INVENTORY_PORT": str(port),
            "INVENTORY_DATABASE_URL": database.engine.url.render_as_string(hide_password=False),
            "INVENTORY_OPERATOR_TOKEN": "operator-token",
            "TEMPORAL_ADDRESS": dev_server.client.service_client.config.target_host,
        },
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as http:

            async def ready() -> bool:
                try:
                    return (await http.get("/readyz")).status == 200
                except aiohttp.ClientConnectionError:
                    return False

            await eventually(ready)
            request = ReserveRequest(f"A-{uuid.uuid4().hex}", "EUR", (Line(sku, 1),))
            reservation = await dev_server.client.execute_workflow(
                contract.ReserveStock.run,
                request,
                id=contract.reserve_id(request.order_id),
                task_queue=contract.TASK_QUEUE,
            )
            assert reservation.total == 250
            assert "temporal_workflow_completed_total" in await (await http.get("/metrics")).text()
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        await dev_server.client.get_schedule_handle("release-expired-holds").delete()
