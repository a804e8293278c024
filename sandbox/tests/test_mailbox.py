import asyncio
from typing import Any
from uuid import uuid4

import pytest

from sandbox.testing import Client


def new_key() -> str:
    return f"message:{uuid4().hex}:fulfilled"


async def test_a_message_is_taken_once_and_shown(sandbox: Client) -> None:
    key, order = new_key(), uuid4().hex
    replies = await asyncio.gather(*(sandbox.message(key, order) for _ in range(20)))
    assert {reply.status for reply in replies} == {201}
    assert len({reply.body["id"] for reply in replies}) == 1
    messages = (await sandbox.get(f"/mailbox/v1/messages?reference={order}")).body["messages"]
    assert [message | {"at": ""} for message in messages] == [
        {
            "id": replies[0].body["id"],
            "key": key,
            "reference": order,
            "template": "fulfilled",
            "to": "ada@example.org",
            "subject": "Your order",
            "body": "…",
            "at": "",
        }
    ]
    counted = (await sandbox.get(f"/effects?key={key}")).body
    assert (counted["effects"], counted["requests"]) == (1, 20)


async def test_an_order_s_messages_are_shown_oldest_first_and_nobody_else_s(sandbox: Client) -> None:
    order, other = uuid4().hex, uuid4().hex
    for number in range(3):
        await sandbox.message(new_key(), order, subject=str(number))
    await sandbox.message(new_key(), other)
    messages = (await sandbox.get(f"/mailbox/v1/messages?reference={order}")).body["messages"]
    assert [message["subject"] for message in messages] == ["0", "1", "2"]
    assert (await sandbox.get(f"/mailbox/v1/messages?reference={uuid4().hex}")).body == {"messages": []}


async def test_a_key_with_another_message_is_refused(sandbox: Client) -> None:
    key = new_key()
    await sandbox.message(key)
    refused = await sandbox.message(key, subject="Another")
    assert (refused.status, refused.body["error"]) == (422, "key_reused")


async def test_messages_of_nobody_cannot_be_asked_for(sandbox: Client) -> None:
    refused = await sandbox.get("/mailbox/v1/messages")
    assert (refused.status, refused.body["field"]) == (400, "reference")


@pytest.mark.parametrize(
    ("field", "value"),
    [("to", "nobody"), ("to", "a@b\r\nBcc: c@d"), ("subject", "two\nlines"), ("body", 1), ("template", "")],
)
async def test_a_wrong_message_is_refused_by_field(sandbox: Client, field: str, value: Any) -> None:
    body = {"reference": "order", "template": "fulfilled", "to": "ada@example.org", "subject": "s", "body": "b"}
    refused = await sandbox.post("/mailbox/v1/messages", body | {field: value}, new_key())
    assert (refused.status, refused.body["field"]) == (422, field)
