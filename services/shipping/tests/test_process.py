"""The service as the process that it is."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
from sqlalchemy import select
from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment

from chassis.testing.ports import free_ports
from chassis.testing.waiting import eventually
from shipping import contract
from shipping.tables import pick_tasks

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


async def test_a_process_that_is_killed_in_the_middle_of_a_wave_changes_no_result(
    dev_server: WorkflowEnvironment, world: World, tmp_path: Path
) -> None:
    rows = [await world.booked(new_order()) for _ in range(12)]
    address = dev_server.client.service_client.config.target_host
    wave_id = f"wave-{new_order()}"
    asked = {"wave_id": wave_id, "warehouse": "north", "pickers": 3}
    operator = {"Authorization": "Bearer operator-token"}

    async def until_wave(port: int, done: Callable[[dict[str, Any]], bool]) -> None:
        async def check() -> bool:
            try:
                async with session.get(f"http://127.0.0.1:{port}/pick-waves/{wave_id}") as response:
                    return done(await response.json())
            except aiohttp.ClientConnectionError:
                return False

        await eventually(check, timeout=90)

    async def accepted(port: int) -> bool:
        try:
            async with session.post(f"http://127.0.0.1:{port}/pick-waves", json=asked) as response:
                return response.status == 202
        except aiohttp.ClientConnectionError:
            return False

    ports = free_ports(2)
    processes = []
    try:
        async with aiohttp.ClientSession(headers=operator) as session:
            for port in ports:
                env = environment(world, SHIPPING_PORT=str(port), SHIPPING_PICK_SECONDS="0.5", TEMPORAL_ADDRESS=address)
                processes.append(await start(env, tmp_path / f"log-{port}"))
                if len(processes) == 1:
                    await until(lambda: accepted(port))  # noqa: B023 - awaited at once
                    await until_wave(port, lambda wave: bool(wave["progress"] and wave["progress"]["done"] >= 2))
                    # Three hands are in the middle of a pick.
                    processes[0].kill()
                    await processes[0].wait()
            await until_wave(ports[1], lambda wave: wave["status"] == "completed")
    finally:
        for process in processes:
            if process.returncode is None:
                process.send_signal(signal.SIGTERM)
            await process.wait()
    assert processes[1].returncode == 0, (tmp_path / f"log-{ports[1]}").read_text()
    async with world.database.engine.connect() as connection:
        picks = await connection.execute(select(pick_tasks.c.order_id, pick_tasks.c.picks))
        assert {row.order_id: row.picks for row in picks} == {row.order_id: 1 for row in rows}


async def test_wrong_settings_stop_the_process_with_a_code_of_their_own(world: World, tmp_path: Path) -> None:
    process = await start(environment(world, SHIPPING_QUOTE_SECONDS="soon"), tmp_path / "log")
    assert await process.wait() == 2
    assert (tmp_path / "log").read_text().startswith("SHIPPING_QUOTE_SECONDS: ")
