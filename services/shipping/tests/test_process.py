"""The service as the process that it is."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import aiohttp
from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment

from chassis.testing.ports import free_ports
from shipping import contract

from .world import World, new_order, plan_request, until


def environment(world: World, **other: str) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "SHIPPING_DATABASE_URL": world.database.engine.url.render_as_string(hide_password=False),
        "SHIPPING_OPERATOR_TOKEN": "operator-token",
        "SHIPPING_WEBHOOK_SECRET": "webhook-secret",
        "SHIPPING_CARRIERS_URL": world.carriers._base,
        **other,
    }


async def start(env: dict[str, str], log: Path) -> asyncio.subprocess.Process:
    with log.open("wb") as output:
        return await asyncio.create_subprocess_exec(
            sys.executable, "-m", "shipping", env=env, stdout=output, stderr=output
        )


async def test_the_process_serves_and_drains(dev_server: WorkflowEnvironment, world: World, tmp_path: Path) -> None:
    client: Client = dev_server.client
    (port,) = free_ports(1)
    env = environment(world, SHIPPING_PORT=str(port), TEMPORAL_ADDRESS=client.service_client.config.target_host)
    process = await start(env, tmp_path / "log")

    async def ready() -> bool:
        try:
            async with session.get(f"http://127.0.0.1:{port}/readyz") as response:
                return response.status == 200
        except aiohttp.ClientConnectionError:
            return False

    try:
        async with aiohttp.ClientSession() as session:
            await until(ready)
        request = plan_request(new_order())
        made = await client.execute_workflow(
            contract.PlanShipment.run,
            request,
            id=contract.plan_id(request.order_id),
            task_queue=contract.TASK_QUEUE,
        )
        assert made.parcels[0].carrier == "budget"
    finally:
        process.send_signal(signal.SIGTERM)
        code = await process.wait()
    assert code == 0, (tmp_path / "log").read_text()


async def test_wrong_settings_stop_the_process_with_a_code_of_their_own(world: World, tmp_path: Path) -> None:
    process = await start(environment(world, SHIPPING_QUOTE_SECONDS="soon"), tmp_path / "log")
    assert await process.wait() == 2
    assert (tmp_path / "log").read_text().startswith("SHIPPING_QUOTE_SECONDS: ")
