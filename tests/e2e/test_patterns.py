"""The worker is killed in the middle of each long piece of work, and the result is what it would have been."""

import asyncio
import json
import uuid
from pathlib import Path
from typing import Any

import pytest

from chassis.testing.waiting import eventually
from waybill.demo.jobs import OVER
from waybill.imports import Imports, State

from .world import PATIENCE_SECONDS, World

ROWS = 30_000
PARCELS = 6
ORDERS = 12
DEPOSITS = 20


@pytest.fixture
def imports(world: World) -> Imports:
    return Imports(world.session, world.stack.urls, world.stack.operator_token)


def new_name() -> str:
    return f"e2e-{uuid.uuid4().hex[:12]}"


async def in_the_middle(imports: Imports, import_id: str) -> None:
    """Wait until some of an import is done, and some is not."""

    async def there() -> bool:
        now = await imports.state(import_id)
        assert not now.ended, now
        return now.progress is not None and now.progress.done > 0

    await eventually(there, timeout=PATIENCE_SECONDS)


async def end_of(imports: Imports, import_id: str) -> State:
    async with asyncio.timeout(PATIENCE_SECONDS):
        async for now in imports.follow(import_id):
            state = now
    return state


async def over(world: World, service: str, path: str) -> dict[str, Any]:
    """Wait until a job has ended. Returns its document."""

    async def ended() -> dict[str, Any] | None:
        document = (await world.insist("GET", service, path)).document
        return document if document["status"] in OVER else None

    document: dict[str, Any] | None = await eventually(ended, timeout=PATIENCE_SECONDS)
    assert document is not None
    return document


async def test_inventory_is_killed_in_the_middle_of_a_catalogue_import(
    world: World, imports: Imports, tmp_path: Path
) -> None:
    name = new_name()
    rows = [f"{name}-{number},250,EUR,1250,{name},40" for number in range(ROWS)]
    path = tmp_path / "list.csv"
    path.write_text("\n".join(["sku,weight,currency,price,warehouse,quantity", *rows, f"{name}-bad,1,EUR,1,w,-1", ""]))
    await imports.send("catalogue", path, name)
    await in_the_middle(imports, name)
    await world.stack.kill("inventory")
    end = await end_of(imports, name)
    assert end.status == "completed"
    assert end.result is not None
    assert (end.result["rows"], end.result["applied"], end.result["rejected"]) == (ROWS + 1, ROWS, 1)
    assert [item["line"] for item in await imports.rejections("catalogue", name, 10)] == [ROWS + 2]
    for number in (0, ROWS - 1):
        stock = (await world.insist("GET", "inventory", f"/stock/{name}-{number}")).document
        assert [(each["warehouse"], each["on_hand"]) for each in stock["warehouses"]] == [(name, 40)]


async def test_inventory_is_killed_in_the_middle_of_a_stocktake(world: World) -> None:
    name = new_name()
    skus = [await world.product(**{name: 10}) for _ in range(3)]
    body = {"round_id": name, "warehouses": [name]}
    assert (await world.insist("POST", "inventory", "/stocktakes", body)).status == 202

    async def closed() -> bool:
        document = (await world.insist("GET", "inventory", f"/stocktakes/{name}")).document
        return any(warehouse["closed"] for warehouse in document["warehouses"])

    await eventually(closed, timeout=PATIENCE_SECONDS)
    assert await world.ended(await world.place(skus[0])) == ("rejected", "out_of_stock")
    await world.stack.kill("inventory")
    counts = [{"sku": sku, "quantity": 10 - number} for number, sku in enumerate(skus)]
    sheet = {"counts": counts, "complete": True}
    counted = await world.insist("POST", "inventory", f"/stocktakes/{name}/counts", sheet)
    assert counted.status < 300, counted
    document = await over(world, "inventory", f"/stocktakes/{name}")
    [warehouse] = document["result"]["warehouses"]
    assert (warehouse["counted"], warehouse["corrected"], warehouse["units"]) == (3, 2, -3)
    assert await world.ended(await world.place(skus[0])) == ("fulfilled", None)  # it is open again


async def test_shipping_is_killed_in_the_middle_of_a_pick_wave(world: World) -> None:
    name = new_name()
    sku = await world.product(**{name: PARCELS})
    placed = [await world.place(sku) for _ in range(PARCELS)]
    assert await world.all_ended(placed) == {("fulfilled", None)}
    wave = {"wave_id": name, "warehouse": name, "pickers": 2}
    assert (await world.insist("POST", "shipping", "/pick-waves", wave)).status == 202
    await world.busy(f"picker:{name}:1")
    await world.stack.kill("shipping")
    document = await over(world, "shipping", f"/pick-waves/{name}")
    assert document["status"] == "completed"
    result = document["result"]
    assert (result["total"], result["picked"], result["skipped"]) == (PARCELS, PARCELS, 0)
    assert sum(result["by_picker"].values()) == PARCELS


async def test_the_orchestrator_is_killed_in_the_middle_of_an_import_of_orders(
    world: World, imports: Imports, tmp_path: Path
) -> None:
    name = new_name()
    sku = await world.product(north=ORDERS)
    bodies = [world.body(sku) for _ in range(ORDERS)]
    path = tmp_path / "orders.jsonl"
    path.write_text("".join(json.dumps(body) + "\n" for body in [*bodies, bodies[0]]))
    await imports.send("orders", path, name)
    await in_the_middle(imports, name)
    await world.stack.kill("orchestrator")
    end = await end_of(imports, name)
    assert end.status == "completed"
    assert end.result is not None
    assert end.result["outcomes"] == {"duplicate": 1, "fulfilled": ORDERS}


async def test_payments_is_killed_in_the_middle_of_an_accounts_movements(world: World) -> None:
    name = new_name()
    path = f"/accounts/{name}"

    async def deposit(number: int) -> None:
        move = {"booking_key": f"{name}-{number}", "amount": 100 + number, "currency": "EUR"}
        booked = await world.insist("POST", "payments", f"{path}/deposits", move)
        assert booked.status == 200, booked

    await deposit(0)
    moving = asyncio.gather(*(deposit(number) for number in range(1, DEPOSITS)), deposit(1))
    await world.stack.kill("payments")
    await moving
    account = (await world.insist("GET", "payments", path)).document
    assert account["balance"] == sum(100 + number for number in range(DEPOSITS))
    entries = (await world.insist("GET", "payments", f"{path}/statement?limit=100")).document["items"]
    assert sorted(entry["booking_key"] for entry in entries) == sorted(f"{name}-{each}" for each in range(DEPOSITS))

    # What is left pays for an order, and its undo puts it back.
    order_id = await world.place(price=account["balance"], card="", account_id=name)
    assert await world.ended(order_id) == ("fulfilled", None)
    assert (await world.insist("GET", "payments", path)).document["balance"] == 0
    assert await world.ended(await world.place(price=1, card="", account_id=name)) == ("rejected", "declined")
