"""What is not there: the programs that need it say so, wait, and go on when it has come."""

import asyncio

import pytest

from orchestrator.contract import fulfil_id
from payments.contract import authorise_id, reverse_id
from waybill.stack import SERVICES

from .world import World

FULFILLED = ("fulfilled", None)


async def test_an_order_is_taken_while_temporal_is_away_and_fulfilled_when_it_is_back(world: World) -> None:
    sku = await world.product(north=5)
    await world.stack.stop("temporal")
    body = world.body(sku)
    answer = await world.ask("POST", "orchestrator", "/orders", body)
    assert (answer.status, answer.headers["Location"]) == (202, f"/orders/{body['order_id']}")
    assert (await world.order(body["order_id"]))["status"] == "accepted"
    for checks in await asyncio.gather(*(world.readiness(service) for service in SERVICES)):
        assert [name for name, said in checks.items() if said != "ok"] == ["temporal"]
    cancelled = await world.ask("POST", "orchestrator", f"/orders/{body['order_id']}/cancellation", {})
    assert cancelled.status == 503  # nobody knows what came of it, so the customer is not told that it is done
    await world.stack.start("temporal")
    assert await world.ended(body["order_id"]) == FULFILLED
    assert await world.ended(await world.place(sku)) == FULFILLED


@pytest.mark.parametrize(
    ("absent", "services"), [("temporal", ["orchestrator", "payments"]), ("postgres", ["orchestrator", "inventory"])]
)
async def test_a_service_that_starts_before_what_it_needs_says_so_and_waits(
    world: World, absent: str, services: list[str]
) -> None:
    await asyncio.gather(*(world.stack.stop(service) for service in services))
    await world.stack.stop(absent)
    starts = [asyncio.create_task(world.stack.start(service)) for service in services]
    try:
        for service in services:
            assert (await world.insist("GET", service, "/livez")).status == 200
            checks = await world.readiness(service)
            name = {"temporal": "temporal", "postgres": "database"}[absent]
            assert checks[name] != "ok"
            assert checks["worker"] == "not polling yet"
        sku_later = world.body("E2E-NONE")
        answer = await world.ask("POST", "orchestrator", "/orders", sku_later)
        if absent == "postgres":
            assert answer.status == 503  # it is written nowhere, so it is not taken
            world.placed.remove(sku_later["order_id"])
        else:
            assert answer.status == 202
        await world.stack.start(absent)
        await asyncio.gather(*starts)
    finally:
        for start in starts:
            start.cancel()
        await asyncio.gather(*starts, return_exceptions=True)
    if absent == "temporal":
        assert await world.ended(sku_later["order_id"]) == ("rejected", "unknown_sku")
    assert await world.ended(await world.place()) == FULFILLED


async def test_services_start_without_the_world_outside_say_so_and_their_work_waits_for_it(world: World) -> None:
    waiting = await world.place(card="tok_timeout_after_charge")
    await world.busy(authorise_id(waiting))
    await world.reached(waiting, "authorising")
    assert (await world.cancel(waiting)).status == 202
    await world.stack.stop("sandbox")
    await asyncio.gather(world.stack.restart("payments"), world.stack.restart("shipping"))
    for service, provider in {"payments": "gateway", "shipping": "carriers", "orchestrator": "mailbox"}.items():
        answer = await world.ask("GET", service, "/readyz")
        assert answer.status == 200  # its work waits and is tried again; nothing is won by taking it out of service
        assert answer.document["providers"][provider] != "ok"
    await world.tried_twice(reverse_id(waiting))
    await world.stack.start("sandbox")
    assert await world.ended(waiting) == ("cancelled", "by_customer")
    for service in ("payments", "shipping", "orchestrator"):
        answer = await world.ask("GET", service, "/readyz")
        assert set(answer.document["providers"].values()) == {"ok"}
    order_id = await world.place()
    assert await world.ended(order_id) == FULFILLED
    await world.closed(fulfil_id(order_id))
