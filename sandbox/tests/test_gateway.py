import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

import pytest

from chassis.testing.waiting import eventually
from sandbox.testing import Client, Reply


def new_key() -> str:
    return f"payment:{uuid4().hex}:authorise"


async def one_effect(sandbox: Client, key: str) -> bool:
    return await sandbox.effects(key) == 1


async def lost(sandbox: Client, request: Awaitable[Reply], happened: Callable[[], Awaitable[bool]]) -> None:
    """The request does what it does, and is given up by its caller before it is answered."""
    waiting = asyncio.ensure_future(request)
    await eventually(happened)
    assert not waiting.done()
    waiting.cancel()


async def test_an_authorised_amount_can_be_captured_and_refunded(sandbox: Client) -> None:
    key = new_key()
    authorised = await sandbox.authorise(key)
    assert authorised.status == 201
    assert authorised.body == {
        "id": authorised.body["id"],
        "key": key,
        "kind": "authorisation",
        "status": "authorised",
        "amount": 1250,
        "currency": "EUR",
    }
    captured = await sandbox.capture(f"{key}:capture", key)
    assert (captured.status, captured.body["status"], captured.body["amount"]) == (201, "captured", 1250)
    refunded = await sandbox.refund(f"{key}:refund", f"{key}:capture")
    assert (refunded.status, refunded.body["status"], refunded.body["currency"]) == (201, "refunded", "EUR")


async def test_a_key_can_be_looked_up(sandbox: Client) -> None:
    key = new_key()
    operation = f"/gateway/v1/operations/{key}"
    unknown = await sandbox.get(operation)
    assert (unknown.status, unknown.body["error"]) == (404, "unknown_key")
    await sandbox.authorise(key)
    assert (await sandbox.get(operation)).body["status"] == "authorised"
    await sandbox.capture(f"{key}:capture", key)
    assert (await sandbox.get(operation)).body["status"] == "captured"
    await sandbox.refund(f"{key}:refund", f"{key}:capture")
    found = await sandbox.get(f"{operation}:capture")
    assert found.body | {"id": ""} == {
        "id": "",
        "key": f"{key}:capture",
        "kind": "capture",
        "status": "refunded",
        "amount": 1250,
        "currency": "EUR",
        "reason": None,
    }


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        ("tok_declined", "do_not_honour"),
        ("tok_insufficient", "insufficient_funds"),
        ("tok_of_nobody", "unknown_card"),
    ],
)
async def test_a_card_that_cannot_pay_is_declined_each_time_without_effect(
    sandbox: Client, token: str, reason: str
) -> None:
    key = new_key()
    for _ in range(2):
        declined = await sandbox.authorise(key, token)
        assert (declined.status, declined.body["error"], declined.body["reason"]) == (402, "declined", reason)
    assert declined.content_type == "application/problem+json"
    found = await sandbox.get(f"/gateway/v1/operations/{key}")
    assert (found.body["status"], found.body["reason"]) == ("declined", reason)
    assert await sandbox.effects(key) == 0


async def test_a_charge_whose_answer_is_lost_is_found_again(sandbox: Client) -> None:
    key = new_key()
    await lost(sandbox, sandbox.authorise(key, "tok_timeout_after_charge"), lambda: one_effect(sandbox, key))
    assert (await sandbox.get(f"/gateway/v1/operations/{key}")).body["status"] == "authorised"
    assert (await sandbox.authorise(key, "tok_timeout_after_charge")).status == 201
    assert (await sandbox.get(f"/effects?key={key}")).body["requests"] == 2
    assert await sandbox.effects(key) == 1


async def test_a_capture_whose_answer_is_lost_is_found_again(sandbox: Client) -> None:
    key, capture = new_key(), new_key()
    await sandbox.authorise(key, "tok_timeout_after_capture")
    await lost(sandbox, sandbox.capture(capture, key), lambda: one_effect(sandbox, capture))
    assert (await sandbox.capture(capture, key)).status == 201
    assert await sandbox.effects(capture) == 1


async def test_a_request_that_hangs_before_the_charge_has_no_effect_until_it_is_repeated(sandbox: Client) -> None:
    key = new_key()

    async def asked() -> bool:
        return bool((await sandbox.get(f"/effects?key={key}")).body["requests"])

    await lost(sandbox, sandbox.authorise(key, "tok_timeout_before_charge"), asked)
    assert (await sandbox.get(f"/gateway/v1/operations/{key}")).status == 404
    assert await sandbox.effects(key) == 0
    assert (await sandbox.authorise(key, "tok_timeout_before_charge")).status == 201
    assert await sandbox.effects(key) == 1


async def test_answers_that_were_lost_come_late(start: Callable[..., Awaitable[Client]]) -> None:
    sandbox = await start(hang_seconds=0.01)
    assert (await sandbox.authorise(new_key(), "tok_timeout_after_charge")).status == 201
    assert (await sandbox.authorise(new_key(), "tok_timeout_before_charge")).status == 504


async def test_an_error_without_effect_is_gone_at_the_second_try(sandbox: Client) -> None:
    key = new_key()
    assert (await sandbox.authorise(key, "tok_error_once")).status == 500
    assert await sandbox.effects(key) == 0
    assert (await sandbox.authorise(key, "tok_error_once")).status == 201


async def test_a_lapsed_authorisation_cannot_be_captured_but_voided(sandbox: Client) -> None:
    key, capture = new_key(), new_key()
    assert (await sandbox.authorise(key, "tok_lapsed")).status == 201
    for _ in range(2):
        declined = await sandbox.capture(capture, key)
        assert (declined.status, declined.body["reason"]) == (402, "authorisation_lapsed")
    assert await sandbox.effects(capture) == 0
    assert (await sandbox.refund(new_key(), capture)).body["error"] == "unknown_capture"
    assert (await sandbox.void(key)).body == {"status": "voided", "amount": 1250}


async def test_a_repeat_gets_the_first_answer_whatever_happened_since(sandbox: Client) -> None:
    key = new_key()
    first = await sandbox.authorise(key)
    assert await sandbox.authorise(key) == first
    captured = await sandbox.capture(f"{key}:capture", key)
    assert await sandbox.authorise(key) == first
    refunded = await sandbox.refund(f"{key}:refund", f"{key}:capture")
    assert await sandbox.capture(f"{key}:capture", key) == captured
    assert await sandbox.refund(f"{key}:refund", f"{key}:capture") == refunded


async def test_twenty_requests_at_once_with_one_key_are_one_effect(sandbox: Client) -> None:
    key, capture, refund = new_key(), new_key(), new_key()
    requests: dict[str, Callable[[], Awaitable[Reply]]] = {
        key: lambda: sandbox.authorise(key),
        capture: lambda: sandbox.capture(capture, key),
        refund: lambda: sandbox.refund(refund, capture),
    }
    for effect, request in requests.items():
        replies = await asyncio.gather(*(request() for _ in range(20)))
        assert {reply.status for reply in replies} == {201}
        assert len({reply.body["id"] for reply in replies}) == 1
        counted = (await sandbox.get(f"/effects?key={effect}")).body
        assert (counted["effects"], counted["requests"]) == (1, 20)


async def test_two_keys_are_two_effects_of_the_order(sandbox: Client) -> None:
    order = uuid4().hex
    first, second = new_key(), new_key()
    await sandbox.authorise(first, order=order)
    await sandbox.authorise(second, order=order)
    audit = await sandbox.call("GET", "/audit", Authorization="Bearer operators!")
    assert [effect["key"] for effect in audit.body["items"][0]["effects"]] == [first, second]


async def test_a_key_with_another_body_is_refused(sandbox: Client) -> None:
    key = new_key()
    await sandbox.authorise(key)
    for reply in (
        await sandbox.authorise(key, amount=1251),
        await sandbox.authorise(key, "tok_declined"),
        await sandbox.capture(key, key),
        await sandbox.refund(key, key),
    ):
        assert (reply.status, reply.body["error"]) == (422, "key_reused")
    assert await sandbox.effects(key) == 1


async def test_a_void_sets_the_amount_free_once_and_burns_the_key(sandbox: Client) -> None:
    key = new_key()
    await sandbox.authorise(key)
    for _ in range(2):
        voided = await sandbox.void(key)
        assert (voided.status, voided.body) == (200, {"status": "voided", "amount": 1250})
    assert (await sandbox.authorise(key)).body["error"] == "key_burned"
    late = await sandbox.capture(new_key(), key)
    assert (late.status, late.body["error"]) == (409, "voided")
    counted = (await sandbox.get(f"/effects?key={key}")).body
    assert (counted["effects"], counted["undos"], counted["kinds"]["void"]) == (1, 1, {"effects": 1, "requests": 2})


async def test_a_void_that_overtakes_its_authorisation_burns_the_key(sandbox: Client) -> None:
    key = new_key()
    for _ in range(2):
        assert (await sandbox.void(key)).body == {"status": "burned", "amount": 0}
    late = await sandbox.authorise(key)
    assert (late.status, late.body["error"]) == (409, "key_burned")
    found = (await sandbox.get(f"/gateway/v1/operations/{key}")).body
    assert (found["status"], found["amount"]) == ("burned", 0)
    assert (await sandbox.capture(new_key(), key)).status == 404
    assert (await sandbox.get(f"/effects?key={key}")).body["undos"] == 0


async def test_a_void_of_a_declined_key_burns_it(sandbox: Client) -> None:
    key = new_key()
    await sandbox.authorise(key, "tok_declined")
    assert (await sandbox.void(key)).body == {"status": "burned", "amount": 0}
    assert (await sandbox.authorise(key, "tok_declined")).body["error"] == "key_burned"


async def test_a_void_between_an_error_and_its_repeat_burns_the_key(sandbox: Client) -> None:
    key = new_key()
    await sandbox.authorise(key, "tok_error_once")
    assert (await sandbox.void(key)).body["status"] == "burned"
    assert (await sandbox.authorise(key, "tok_error_once")).status == 409
    assert await sandbox.effects(key) == 0


async def test_what_was_captured_cannot_be_voided(sandbox: Client) -> None:
    key, capture = new_key(), new_key()
    await sandbox.authorise(key)
    await sandbox.capture(capture, key)
    refused = await sandbox.void(key)
    assert (refused.status, refused.body["error"]) == (409, "captured")
    assert (await sandbox.void(capture)).body["error"] == "not_an_authorisation"


async def test_nothing_is_captured_or_refunded_twice_under_other_keys(sandbox: Client) -> None:
    key, capture = new_key(), new_key()
    await sandbox.authorise(key)
    await sandbox.capture(capture, key)
    assert (await sandbox.capture(new_key(), key)).body["error"] == "captured"
    await sandbox.refund(new_key(), capture)
    assert (await sandbox.refund(new_key(), capture)).body["error"] == "refunded"


async def test_what_is_unknown_is_neither_captured_nor_refunded(sandbox: Client) -> None:
    assert (await sandbox.capture(new_key(), new_key())).body["error"] == "unknown_authorisation"
    assert (await sandbox.refund(new_key(), new_key())).body["error"] == "unknown_capture"


@pytest.mark.parametrize(
    "number", ["4111111111111111", "4111 1111 1111 1111", "4111-1111-1111-1111", "4" * 13, "4" * 19]
)
async def test_a_card_number_is_refused_and_not_repeated(sandbox: Client, number: str) -> None:
    key = new_key()
    refused = await sandbox.authorise(key, number)
    assert (refused.status, refused.body["field"]) == (422, "card_token")
    assert number not in json.dumps(refused.body)
    assert (await sandbox.get(f"/gateway/v1/operations/{key}")).status == 404


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("amount", 0),
        ("amount", -1),
        ("amount", 12.5),
        ("amount", True),
        ("amount", "1250"),
        ("amount", 10**11 + 1),
        ("currency", "euro"),
        ("currency", None),
        ("card_token", ""),
        ("reference", "a\x00b"),
        ("reference", "x" * 201),
        ("surprise", 1),
    ],
)
async def test_a_wrong_authorisation_is_refused_by_field(sandbox: Client, field: str, value: Any) -> None:
    body = {"amount": 1250, "currency": "EUR", "card_token": "tok_ok", "reference": "order"} | {field: value}
    key = new_key()
    refused = await sandbox.post("/gateway/v1/authorisations", body, key)
    assert (refused.status, refused.body["field"], refused.body["error"]) == (422, field, "invalid_request")
    assert refused.content_type == "application/problem+json"
    assert await sandbox.effects(key) == 0


@pytest.mark.parametrize("key", [None, "", "k" * 256])
async def test_an_effect_without_a_fit_key_is_refused(sandbox: Client, key: str | None) -> None:
    body = {"amount": 1250, "currency": "EUR", "card_token": "tok_ok", "reference": "order"}
    refused = await sandbox.post("/gateway/v1/authorisations", body, key)
    assert (refused.status, refused.body["field"]) == (400, "Idempotency-Key")
