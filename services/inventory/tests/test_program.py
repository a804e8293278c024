import asyncio
import os
import signal
import sys
import uuid
from collections.abc import Awaitable, Callable

import aiohttp
from sqlalchemy import text
from temporalio.testing import WorkflowEnvironment

from chassis.database import Database
from chassis.service import Service
from chassis.testing.ports import free_ports
from chassis.testing.waiting import eventually
from inventory import contract, jobs
from inventory.books import Books
from inventory.contract import Line, ReserveRequest
from inventory.counting import CountingStore
from inventory.imports import ImportStore
from inventory.metrics import InventoryMetrics

Stocked = Callable[..., Awaitable[str]]
OPERATOR = {"Authorization": "Bearer operator-token"}


async def program(dev_server: WorkflowEnvironment, database: Database, port: int) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "inventory",
        env={
            **os.environ,
            "INVENTORY_PORT": str(port),
            "INVENTORY_DATABASE_URL": database.engine.url.render_as_string(hide_password=False),
            "INVENTORY_OPERATOR_TOKEN": "operator-token",
            "INVENTORY_IMPORT_CHUNK_ROWS": "10",
            "INVENTORY_IMPORT_PARTITION_ROWS": "40",
            "TEMPORAL_ADDRESS": dev_server.client.service_client.config.target_host,
        },
        stderr=asyncio.subprocess.DEVNULL,
    )


async def until_ready(http: aiohttp.ClientSession) -> None:
    async def ready() -> bool:
        try:
            return (await http.get("/readyz")).status == 200
        except aiohttp.ClientConnectionError:
            return False

    await eventually(ready)


async def end(process: asyncio.subprocess.Process, dev_server: WorkflowEnvironment, service: Service) -> None:
    if process.returncode is None:
        process.kill()
        await process.wait()
    for schedule in service.schedules:
        await dev_server.client.get_schedule_handle(schedule.id).delete()


async def test_the_program_serves_an_order_and_drains(
    dev_server: WorkflowEnvironment, database: Database, stocked: Stocked, service: Service
) -> None:
    sku = await stocked(east=1)
    [port] = free_ports(1)
    process = await program(dev_server, database, port)
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as http:
            await until_ready(http)
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
        await end(process, dev_server, service)


async def test_a_program_killed_in_the_middle_of_a_chunk_changes_no_result(
    dev_server: WorkflowEnvironment, database: Database, stocked: Stocked, service: Service, books: Books
) -> None:
    blocked = await stocked(east=1)
    skus = [f"SKU-{uuid.uuid4().hex}" for _ in range(100)]
    skus[24] = blocked  # in the third chunk of the first partition
    rows = [f"{sku},100,EUR,{900 + number},east,{number}" for number, sku in enumerate(skus)]
    body = "\n".join(["sku,weight,currency,price,warehouse,quantity", *rows])
    [port] = free_ports(1)
    process = await program(dev_server, database, port)
    try:
        async with (
            aiohttp.ClientSession(f"http://127.0.0.1:{port}", headers=OPERATOR) as http,
            database.engine.connect() as other,
            other.begin() as transaction,
        ):
            await until_ready(http)
            await other.execute(text("SELECT 1 FROM stock WHERE sku = :sku FOR UPDATE"), {"sku": blocked})
            async with http.post("/imports", data=body, headers={"Content-Type": "text/csv"}) as answer:
                import_id = (await answer.json())["import_id"]

            async def waits() -> bool:
                query = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
                async with database.engine.connect() as connection:
                    return bool((await connection.execute(query)).scalar_one() > 0)

            await eventually(waits)
            process.kill()
            await process.wait()
            await transaction.rollback()
    finally:
        await end(process, dev_server, service)
    # Another replica goes on.
    imports = ImportStore(database.engine)
    handle = dev_server.client.get_workflow_handle(jobs.import_id_of(import_id), result_type=jobs.ImportResult)
    async with service.worker(dev_server.client):
        result = await handle.result()
    assert (result.rows, result.applied, result.rejected, result.failed) == (100, 100, 0, 0)
    assert await imports.rejections(import_id, 0, 10) == []
    for number in (0, 20, 24, 60, 99):
        product = await books.product(skus[number])
        assert product is not None
        assert (product["prices"], product["warehouses"][0]["on_hand"]) == ({"EUR": 900 + number}, number)
    query = text("SELECT count(*), count(DISTINCT reference) FROM movements WHERE kind = 'import'")
    async with database.engine.connect() as connection:
        # The list's first row says that there is nothing, which needs no movement.
        assert (await connection.execute(query)).one() == (99, 99)
    assert await books.discrepancies() == []


async def test_a_program_killed_in_the_middle_of_a_count_changes_no_result(
    dev_server: WorkflowEnvironment, database: Database, stocked: Stocked, service: Service, books: Books
) -> None:
    warehouse = f"w-{uuid.uuid4().hex}"
    sku = await stocked(**{warehouse: 9})
    [port] = free_ports(1)
    process = await program(dev_server, database, port)
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}", headers=OPERATOR) as http:
            await until_ready(http)
            async with http.post("/stocktakes", json={"warehouses": [warehouse]}) as answer:
                round_id = (await answer.json())["round_id"]

            async def counts() -> bool:
                body = {"counts": [{"sku": sku, "quantity": 7}]}
                async with http.post(f"/stocktakes/{warehouse}/counts", json=body) as answer:
                    return answer.status == 200

            await eventually(counts)
            process.kill()
            await process.wait()
    finally:
        await end(process, dev_server, service)
    await CountingStore(database.engine, InventoryMetrics()).write(warehouse, {}, complete=True)
    handle = dev_server.client.get_workflow_handle(jobs.round_workflow_id(round_id), result_type=jobs.RoundResult)
    async with service.worker(dev_server.client):
        await dev_server.client.get_workflow_handle(jobs.stocktake_workflow_id(warehouse)).signal(jobs.SHEET_COMPLETE)
        [counted] = (await handle.result()).warehouses
    assert (counted.status, counted.counted, counted.units) == (jobs.CountStatus.COUNTED, 1, -2)
    product = await books.product(sku)
    assert product is not None
    assert product["warehouses"] == [{"warehouse": warehouse, "on_hand": 7, "held": 0, "free": 7}]
    assert await books.discrepancies() == []
