"""What the providers have in common on the wire: answers, keys, the texts of a body, and answers that come late."""

import asyncio
import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, Any

from aiohttp import web
from pydantic import BaseModel, ConfigDict, StringConstraints

from chassis.problems import CONTENT_TYPE, Problem

MAX_KEY = 255
"""Most characters of an idempotency key."""

Text = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
"""One line of text without control characters."""
Key = Annotated[str, StringConstraints(min_length=1, max_length=MAX_KEY, pattern=r"^[^\x00-\x1f\x7f]+$")]
"""An idempotency key in a body."""
Currency = Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")]
"""ISO 4217 code."""


class Body(BaseModel):
    """A request's body. Members that nobody knows are refused: a typing mistake shall not look like success."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a provider decided to answer, after its transaction."""

    status: int
    """HTTP status."""
    body: dict[str, Any]
    lost: bool = False
    """The caller never gets it in time."""

    def response(self) -> web.Response:
        """The answer as aiohttp sends it."""
        failed = self.status >= HTTPStatus.BAD_REQUEST
        return web.json_response(
            self.body, status=self.status, content_type=CONTENT_TYPE if failed else "application/json"
        )


def refusal(status: int, error: str, detail: str, *, lost: bool = False, **members: Any) -> Answer:
    """An answer that refuses, as a problem document.

    Args:
        status: HTTP status, 400 to 599.
        error: Code for programs, such as ``key_burned``.
        detail: The same for people.
        lost: The caller never gets it in time.
        members: Further members of the document.
    """
    title = HTTPStatus(status).phrase
    body = {"type": "about:blank", "title": title, "status": status, "detail": detail, "error": error, **members}
    return Answer(status, body, lost)


def key_reused() -> Answer:
    """The refusal of a known key with another body."""
    return refusal(422, "key_reused", "The idempotency key came before, with another request.")


def key_burned() -> Answer:
    """The refusal of a key under which nothing may happen any more."""
    return refusal(409, "key_burned", "The idempotency key was cancelled: nothing happens under it any more.")


def idempotency_key(request: web.Request) -> str:
    """The key under which a request asks for an effect.

    Raises:
        Problem: 400 if there is none, or it is no line of at most ``MAX_KEY`` characters.
    """
    key = request.headers.get("Idempotency-Key", "")
    if not key or len(key) > MAX_KEY or not key.isprintable():
        detail = f"The header Idempotency-Key must have 1 to {MAX_KEY} printable characters."
        raise Problem(400, "Idempotency Key", detail, field="Idempotency-Key", error="idempotency_key")
    return key


def digest(body: BaseModel) -> str:
    """What tells a repeat from another request under the same key. Equal bodies, equal digests."""
    return hashlib.sha256(body.model_dump_json().encode()).hexdigest()


def moment(timestamp: float) -> str:
    """Seconds since 1970 as ISO 8601 text, UTC."""
    return datetime.fromtimestamp(timestamp, UTC).isoformat()


class Pauses:
    """Waiting on purpose, in a way that a stopping program need not wait for."""

    def __init__(self, hang_seconds: float) -> None:
        """Nothing waits yet.

        Args:
            hang_seconds: How long a lost answer takes.
        """
        self._hang_seconds = hang_seconds
        self._stopping = asyncio.Event()

    async def pause(self, seconds: float) -> None:
        """Wait.

        Raises:
            Problem: 503 if the program stops meanwhile.
        """
        try:
            await asyncio.wait_for(self._stopping.wait(), seconds)
        except TimeoutError:
            return
        raise Problem(503, "Service Unavailable", "The sandbox stops.", error="stopping")

    async def send(self, answer: Answer) -> web.Response:
        """Send an answer: at once, or too late if it is lost.

        Raises:
            Problem: 503 if the program stops before a lost answer is sent.
        """
        if answer.lost:
            await self.pause(self._hang_seconds)
        return answer.response()

    def stop(self) -> None:
        """End all waiting, now and later."""
        self._stopping.set()
