import io
import uuid
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest
from yarl import URL

from inventory.contract import Line, ReserveRequest
from inventory.store import Store

Stocked = Callable[..., Awaitable[str]]
OPERATOR = {"Authorization": "Bearer operator-token"}


def new() -> str:
    return uuid.uuid4().hex


def receipt(sku: str, **changes: Any) -> dict[str, Any]:
    return {"receipt_id": new(), "sku": sku, "warehouse": "east", "quantity": 4, **changes}


async def problem(response: aiohttp.ClientResponse, status: int) -> dict[str, Any]:
    assert response.status == status
    assert response.content_type == "application/problem+json"
    body: dict[str, Any] = await response.json()
    assert body["status"] == status
    return body


async def test_a_product_is_made_then_replaced(http: aiohttp.ClientSession) -> None:
    sku = new()
    made = await http.put(f"/catalogue/{sku}", json={"weight": 250, "prices": {"EUR": 1250, "USD": 1400}})
    assert (made.status, await made.json()) == (
        201,
        {"sku": sku, "weight": 250, "prices": {"EUR": 1250, "USD": 1400}},
    )
    replaced = await http.put(f"/catalogue/{sku}", json={"weight": 300, "prices": {"EUR": 1300}})
    assert replaced.status == 200
    read = await http.get(f"/stock/{sku}")
    assert await read.json() == {"sku": sku, "weight": 300, "prices": {"EUR": 1300}, "warehouses": []}


async def test_a_sku_may_hold_any_visible_character(http: aiohttp.ClientSession) -> None:
    sku = f"tea/green é 100% {new()}"
    made = await http.put(
        URL(f"/catalogue/{quote(sku, safe='')}", encoded=True), json={"weight": 1, "prices": {"EUR": 1}}
    )
    assert (made.status, (await made.json())["sku"]) == (201, sku)
    read = await http.get(URL(f"/stock/{quote(sku, safe='')}", encoded=True))
    assert (await read.json())["sku"] == sku


async def test_a_receipt_is_stock_and_counts_once(http: aiohttp.ClientSession, stocked: Stocked) -> None:
    sku = await stocked()
    body = receipt(sku)
    assert [(await http.post("/receipts", json=body)).status for _ in range(2)] == [201, 200]
    read = await http.get(f"/stock/{sku}")
    assert (await read.json())["warehouses"] == [{"warehouse": "east", "on_hand": 4, "held": 0, "free": 4}]
    other = await problem(await http.post("/receipts", json={**body, "quantity": 5}), 409)
    assert other["field"] == "receipt_id"


async def test_a_receipt_of_an_unknown_sku_is_refused(http: aiohttp.ClientSession) -> None:
    refused = await problem(await http.post("/receipts", json=receipt("NO-SUCH-THING")), 422)
    assert refused["field"] == "sku"
    await problem(await http.get("/stock/NO-SUCH-THING"), 404)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"quantity": 0}, "quantity"),
        ({"quantity": -1}, "quantity"),
        ({"quantity": 1.5}, "quantity"),
        ({"quantity": True}, "quantity"),
        ({"quantity": "4"}, "quantity"),
        ({"quantity": 10**9}, "quantity"),
        ({"quantity": None}, "quantity"),
        ({"receipt_id": ""}, "receipt_id"),
        ({"receipt_id": "a\nb"}, "receipt_id"),
        ({"warehouse": "w" * 201}, "warehouse"),
        ({"warehouse": "\0"}, "warehouse"),
        ({"colour": "red"}, "colour"),
    ],
)
async def test_a_wrong_receipt_names_the_field_and_writes_nothing(
    changes: dict[str, Any], field: str, http: aiohttp.ClientSession, stocked: Stocked
) -> None:
    sku = await stocked()
    refused = await problem(await http.post("/receipts", json=receipt(sku, **changes)), 422)
    assert refused["field"] == field
    assert (await (await http.get(f"/stock/{sku}")).json())["warehouses"] == []


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"weight": 0, "prices": {"EUR": 1}}, "weight"),
        ({"weight": 1.5, "prices": {"EUR": 1}}, "weight"),
        ({"weight": 1, "prices": {}}, "prices"),
        ({"weight": 1, "prices": {"EUR": 0}}, "prices.EUR"),
        ({"weight": 1, "prices": {"EUR": True}}, "prices.EUR"),
        ({"weight": 1, "prices": {"euro": 1}}, "prices.euro"),
        ({"weight": 1}, "prices"),
        ([], "body"),
    ],
)
async def test_a_wrong_product_names_the_field_and_is_not_made(
    body: Any, field: str, http: aiohttp.ClientSession
) -> None:
    sku = new()
    refused = await problem(await http.put(f"/catalogue/{sku}", json=body), 422)
    assert str(refused["field"]).startswith(field)
    await problem(await http.get(f"/stock/{sku}"), 404)


async def test_a_body_that_is_no_json_or_too_large_and_a_wrong_method_are_problems(http: aiohttp.ClientSession) -> None:
    json_type = {"Content-Type": "application/json"}
    await problem(await http.post("/receipts", data=b"{", headers=json_type), 400)
    await problem(await http.post("/receipts", data=io.BytesIO(b"[" * 5_000_000), headers=json_type), 413)
    await problem(await http.post("/receipts", data=b"sku=1"), 415)
    await problem(await http.delete("/receipts"), 405)
    await problem(await http.get("/nowhere"), 404)
    await problem(await http.get("/stock/a%00b"), 400)
    await problem(await http.get(f"/stock/{'s' * 201}"), 400)


@pytest.mark.parametrize(
    ("method", "path"),
    [("PUT", "/catalogue/tea"), ("POST", "/receipts"), ("GET", "/audit"), ("GET", "/audit/stock")],
)
@pytest.mark.parametrize("authorization", ["", "Bearer wrong", "Basic operator-token"])
async def test_only_operators_write_and_audit(
    method: str, path: str, authorization: str, http: aiohttp.ClientSession
) -> None:
    response = await http.request(method, path, json={}, headers={"Authorization": authorization})
    await problem(response, 401)
    assert response.headers["WWW-Authenticate"] == "Bearer"


async def test_the_audit_shows_every_order_once_in_pages(
    http: aiohttp.ClientSession, store: Store, stocked: Stocked
) -> None:
    sku = await stocked(east=9)
    names = [f"{prefix}-{new()}" for prefix in ("B", "a", "Z", "é")]
    for name in names:
        await store.reserve(ReserveRequest(name, "EUR", (Line(sku, 2),)))
    await store.commit(names[1])
    await store.release(names[2], "undo")
    items: list[dict[str, Any]] = []
    after: str | None = ""
    while after is not None:
        page = await (await http.get("/audit", params={"after": after, "limit": "2"})).json()
        items += page["items"]
        after = page["next"]
    assert [item["order_id"] for item in items] == sorted(names)
    by_id = {item.pop("order_id"): item for item in items}
    assert by_id[names[0]] == {"state": "held", "held": 2, "out": 0}
    assert by_id[names[1]] == {"state": "committed", "held": 0, "out": 2}
    assert by_id[names[2]] == {"state": "released", "held": 0, "out": 0}
    assert await (await http.get("/audit/stock")).json() == {"discrepancies": []}


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "limit=x", "limit=1.5", "limit=-1", "after=%00"])
async def test_a_wrong_page_is_a_problem(query: str, http: aiohttp.ClientSession) -> None:
    refused = await problem(await http.get(f"/audit?{query}"), 400)
    assert refused["field"] == query.split("=", maxsplit=1)[0]
