import io
import json
from typing import Any
from uuid import uuid4

import pytest

from sandbox.testing import Client, Reply


async def audit(sandbox: Client, query: str = "", token: str = "operators!") -> Reply:
    return await sandbox.call("GET", f"/audit{query}", Authorization=f"Bearer {token}")


async def test_the_audit_shows_every_effect_of_an_order_in_turn(sandbox: Client) -> None:
    order = uuid4().hex
    await sandbox.authorise("a", order=order)
    await sandbox.authorise("a", order=order)
    await sandbox.book("steady", "b", order=order)
    await sandbox.capture("c", "a")
    await sandbox.message("m", order)
    await sandbox.cancel("steady", "b")
    await sandbox.refund("r", "c")
    await sandbox.authorise("v", order=order)
    await sandbox.void("v")
    page = await audit(sandbox)
    assert page.body == {
        "items": [
            {
                "order_id": order,
                "effects": [
                    {"provider": provider, "kind": kind, "key": key, "amount": amount, "requests": requests}
                    for provider, kind, key, amount, requests in [
                        ("gateway", "authorisation", "a", 1250, 2),
                        ("steady", "booking", "b", None, 1),
                        ("gateway", "capture", "c", 1250, 1),
                        ("mailbox", "message", "m", None, 1),
                        ("steady", "cancellation", "b", None, 1),
                        ("gateway", "refund", "r", 1250, 1),
                        ("gateway", "authorisation", "v", 1250, 1),
                        ("gateway", "void", "v", 1250, 1),
                    ]
                ],
            }
        ],
        "next": None,
    }


async def test_what_had_no_effect_is_not_in_the_audit(sandbox: Client) -> None:
    await sandbox.authorise("declined", "tok_declined")
    await sandbox.void("burned")
    await sandbox.cancel("steady", "burned")
    await sandbox.book("steady", "refused", "REFUSED")
    assert (await audit(sandbox)).body == {"items": [], "next": None}


async def test_the_audit_comes_in_pages_that_hold_each_order_once(sandbox: Client) -> None:
    orders = [f"{letter}{uuid4().hex}" for letter in "aBcDeéz"]
    for order in orders:
        await sandbox.authorise(f"{order}:1", order=order)
        await sandbox.message(f"{order}:2", order)
    seen: list[str] = []
    after: str | None = ""
    while after is not None:
        page = (await audit(sandbox, f"?limit=2&after={after}")).body
        seen += [item["order_id"] for item in page["items"]]
        assert all(len(item["effects"]) == 2 for item in page["items"])
        after = page["next"]
    assert seen == sorted(orders, key=str.encode)


async def test_the_audit_is_for_operators(sandbox: Client) -> None:
    refused = await audit(sandbox, token="someone else")
    assert (refused.status, refused.content_type) == (401, "application/problem+json")
    assert (await sandbox.get("/audit")).status == 401


@pytest.mark.parametrize("query", ["?limit=0", "?limit=1001", "?limit=ten", "?after=%00"])
async def test_a_wrong_page_is_refused(sandbox: Client, query: str) -> None:
    assert (await audit(sandbox, query)).status == 400


async def test_a_key_that_nobody_used_had_no_effect(sandbox: Client) -> None:
    assert (await sandbox.get("/effects?key=unused")).body == {
        "key": "unused",
        "effects": 0,
        "requests": 0,
        "undos": 0,
        "kinds": {},
    }
    assert (await sandbox.get("/effects")).status == 400


async def test_keys_with_awkward_characters_are_found(sandbox: Client) -> None:
    await sandbox.authorise("a/b c&d?e", order="o")
    found = await sandbox.get("/gateway/v1/operations/a%2Fb%20c%26d%3Fe")
    assert found.body["key"] == "a/b c&d?e"
    await sandbox.book("steady", "a/b", order="o")
    assert (await sandbox.get("/carriers/steady/v1/bookings/a%2Fb")).body["key"] == "a/b"


@pytest.mark.parametrize(
    ("content", "content_type", "status"),
    [
        ("{", "application/json", 400),
        ("", "application/json", 400),
        ('{"amount": NaN}', "application/json", 400),
        ("amount=1", "application/x-www-form-urlencoded", 415),
        (json.dumps({"card_token": "x" * 5_000_000}), "application/json", 413),
        ("[" * 100_000, "application/json", 400),
    ],
)
async def test_a_body_that_is_none_is_refused(sandbox: Client, content: str, content_type: str, status: int) -> None:
    headers = {"Content-Type": content_type, "Idempotency-Key": "k"}
    async with sandbox.session.post(
        "/gateway/v1/authorisations", data=io.BytesIO(content.encode()), headers=headers
    ) as answer:
        problem: dict[str, Any] = await answer.json(content_type="application/problem+json")
    assert (answer.status, problem["status"]) == (status, status)


async def test_wrong_addresses_and_methods_are_problems(sandbox: Client) -> None:
    missing = await sandbox.get("/gateway/v2/operations/x")
    assert (missing.status, missing.content_type) == (404, "application/problem+json")
    wrong = await sandbox.call("DELETE", "/gateway/v1/voids")
    assert (wrong.status, wrong.content_type) == (405, "application/problem+json")


async def test_the_sandbox_says_that_it_lives_and_is_ready(sandbox: Client) -> None:
    assert (await sandbox.get("/livez")).status == 200
    assert (await sandbox.get("/readyz")).body == {"ready": True, "problems": {}}
