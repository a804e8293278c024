"""The mailbox: takes messages to customers, and shows them."""

import time
import uuid
from typing import Annotated, Any

from aiohttp import web
from pydantic import Field, StringConstraints

from chassis.problems import Problem, read_json
from sandbox.ledger import count_request, record_effect
from sandbox.state import State
from sandbox.wire import Answer, Body, Pauses, Text, digest, idempotency_key, key_reused, moment

PROVIDER = "mailbox"

Email = Annotated[str, StringConstraints(max_length=320, pattern=r"^[^@\x00-\x20\x7f]+@[^@\x00-\x20\x7f]+$")]


class MessageBody(Body):
    """One message."""

    reference: Text
    """The order's id."""
    template: Text
    to: Email
    subject: Text
    body: str = Field(max_length=100_000)


class Mailbox:
    """All messages."""

    def __init__(self, state: State, pauses: Pauses) -> None:
        """The mailbox in a database.

        Args:
            state: The database.
            pauses: How answers are sent.
        """
        self._state = state
        self._pauses = pauses

    def routes(self) -> list[web.RouteDef]:
        """Everything under ``/mailbox/v1``."""
        return [
            web.post("/mailbox/v1/messages", self._post_message),
            web.get("/mailbox/v1/messages", self._get_messages),
        ]

    def send(self, key: str, body: MessageBody) -> Answer:
        """Take a message. A repeat gets the first answer."""
        with self._state.transaction() as transaction:
            count_request(transaction, PROVIDER, "message", key)
            known = transaction.execute("SELECT id, digest FROM messages WHERE key = ?", (key,)).fetchone()
            if known is not None:
                return Answer(201, {"id": known["id"]}) if known["digest"] == digest(body) else key_reused()
            message_id = f"msg_{uuid.uuid4().hex}"
            transaction.execute(
                """
                INSERT INTO messages (key, id, digest, reference, template, recipient, subject, body, at)
                VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
                """,
                (
                    *(key, message_id, digest(body), body.reference),
                    *(body.template, body.to, body.subject, body.body, time.time()),
                ),
            )
            record_effect(transaction, PROVIDER, "message", key, order_id=body.reference)
        return Answer(201, {"id": message_id})

    def messages(self, reference: str) -> list[dict[str, Any]]:
        """An order's messages, oldest first."""
        with self._state.transaction() as transaction:
            rows = transaction.execute("SELECT * FROM messages WHERE reference = ? ORDER BY number", (reference,))
            return [
                {"id": row["id"], "key": row["key"], "reference": row["reference"], "template": row["template"]}
                | {"to": row["recipient"], "subject": row["subject"], "body": row["body"], "at": moment(row["at"])}
                for row in rows
            ]

    async def _post_message(self, request: web.Request) -> web.Response:
        key = idempotency_key(request)
        return await self._pauses.send(self.send(key, await read_json(request, MessageBody)))

    async def _get_messages(self, request: web.Request) -> web.Response:
        reference = request.query.get("reference", "")
        if not reference:
            detail = "reference is required."
            raise Problem(400, "Missing Parameter", detail, field="reference", error="missing_parameter")
        return web.json_response({"messages": self.messages(reference)})
