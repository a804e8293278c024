from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web
from pydantic import SecretStr

from chassis.problems import problem_middleware
from chassis.testing.serving import serve_app
from payments import api
from payments.contract import CaptureRequest

from .conftest import World, new_order, request_for, undo

OPERATOR = {"Authorization": "Bearer operator-token"}


@pytest_asyncio.fixture
async def client(world: World) -> AsyncIterator[aiohttp.ClientSession]:
    app = web.Application(middlewares=[problem_middleware])
    app.add_routes(api.routes(world.store, SecretStr("operator-token")))
    async with serve_app(app) as url, aiohttp.ClientSession(url) as session:
        yield session


async def _get(client: aiohttp.ClientSession, path: str, headers: dict[str, str] | None = None) -> tuple[int, Any]:
    async with client.get(path, headers=OPERATOR if headers is None else headers) as response:
        return response.status, await response.json()


async def test_a_payment_is_shown_with_its_books(world: World, client: aiohttp.ClientSession) -> None:
    order_id = new_order()
    await world.activities.authorise(request_for(order_id))
    await world.activities.capture(CaptureRequest(order_id))
    status, body = await _get(client, f"/payments/{order_id}")
    assert status == 200
    assert body.pop("created_at") <= body.pop("updated_at")
    assert body == {
        "order_id": order_id,
        "state": "captured",
        "method": "card",
        "amount": 1250,
        "currency": "EUR",
        "captured": 1250,
        "refunded": 0,
        "account_id": None,
        "voided": 0,
        "ledger": {"gateway": 1250, "sales": -1250},
        "balanced": True,
        "authorisation_id": f"authorisation-of-payment:{order_id}:authorise",
        "capture_id": f"capture-of-payment:{order_id}:capture",
        "refund_id": None,
        "decline_reason": None,
        "reverse_reason": None,
    }


async def test_the_audit_pages_through_every_payment(world: World, client: aiohttp.ClientSession) -> None:
    ids = sorted(new_order() for _ in range(5))
    for order_id in ids:
        await world.activities.authorise(request_for(order_id))
    await undo(world.activities, ids[0])
    status, first = await _get(client, "/audit?limit=3")
    assert status == 200
    assert first["next"] == ids[2]
    assert first["items"][0] == {
        "order_id": ids[0],
        "state": "reversed",
        "method": "card",
        "amount": 1250,
        "currency": "EUR",
        "captured": 0,
        "refunded": 0,
        "ledger": {},
        "balanced": True,
    }
    _, second = await _get(client, f"/audit?limit=3&after={first['next']}")
    assert second["next"] is None
    assert [item["order_id"] for item in first["items"] + second["items"]] == ids


@pytest.mark.parametrize("path", ["/audit", "/payments/x"])
@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": "operator-token"}])
async def test_only_operators_may_look(client: aiohttp.ClientSession, path: str, headers: dict[str, str]) -> None:
    status, problem = await _get(client, path, headers)
    assert (status, problem["status"]) == (401, 401)


@pytest.mark.parametrize(
    ("path", "status", "field"),
    [
        ("/audit?limit=0", 400, "limit"),
        ("/audit?limit=1001", 400, "limit"),
        ("/audit?limit=many", 400, "limit"),
        ("/audit?after=%00", 400, "after"),
        ("/payments/%00", 400, "order_id"),
        (f"/payments/{'x' * 201}", 400, "order_id"),
        ("/payments/nobody", 404, None),
    ],
)
async def test_nonsense_is_answered_with_a_problem(
    client: aiohttp.ClientSession, path: str, status: int, field: str | None
) -> None:
    async with client.get(path, headers=OPERATOR) as response:
        assert response.content_type == "application/problem+json"
        problem = await response.json()
    assert (response.status, problem["status"], problem.get("field")) == (status, status, field)


async def test_nothing_can_be_changed_over_http(client: aiohttp.ClientSession) -> None:
    async with client.post("/payments/x", headers=OPERATOR, json={}) as response:
        assert response.status == 405
        assert response.headers["Allow"] == "GET,HEAD"
