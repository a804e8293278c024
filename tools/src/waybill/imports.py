"""Sends a file to a service, and follows what becomes of it."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from chassis.progress import Progress

CONTENT_TYPES = {".csv": "text/csv", ".jsonl": "application/x-ndjson", ".ndjson": "application/x-ndjson"}
"""By the end of a file's name."""
OWNERS = {"catalogue": "inventory", "orders": "orchestrator"}
"""Which service takes what."""
ENDED = frozenset({"completed", "cancelled", "failed"})
CHUNK = 1 << 16
LOOK_SECONDS = 0.5
"""Between two looks at an import."""
PAUSE_SECONDS = 1.0
"""Before a request is repeated."""
PATIENCE_SECONDS = 120.0
"""How long one is repeated."""


class ImportsError(Exception):
    """An import cannot be sent or followed; the message is for the person who asked."""


@dataclass(frozen=True)
class State:
    """What is known of an import at a moment.

    Attributes:
        import_id: Of the import.
        kind: catalogue or orders.
        status: accepted, running, paused, completed, cancelled or failed.
        progress: How far it is, once it has begun.
        result: What became of it, once it has ended.
    """

    import_id: str
    kind: str
    status: str
    progress: Progress | None
    result: Mapping[str, Any] | None

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen."""
        return self.status in ENDED


def new_id(path: Path) -> str:
    """An id for the import of a file, unique, and readable for those who know the file."""
    stem = "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in path.stem.lower())
    return f"{time.strftime('%Y%m%d-%H%M%S')}-{stem[:24].strip('-') or 'file'}-{secrets.token_hex(3)}"


def content_type(path: Path) -> str:
    """What a file is.

    Raises:
        ImportsError: If its name does not say.
    """
    try:
        return CONTENT_TYPES[path.suffix.lower()]
    except KeyError:
        raise ImportsError(f"{path}: the name must end with one of {', '.join(CONTENT_TYPES)}") from None


class Imports:
    """Imports by the services' HTTP surfaces."""

    def __init__(self, session: aiohttp.ClientSession, urls: Mapping[str, str], operator_token: str) -> None:
        """Prepare.

        Args:
            session: To ask with.
            urls: Base URL of each service.
            operator_token: The operators' bearer token.
        """
        self._session = session
        self._urls = urls
        self._operator = {"Authorization": f"Bearer {operator_token}"}

    async def send(
        self,
        kind: str,
        path: Path,
        import_id: str,
        sent: Callable[[int], None] = lambda _: None,
        query: Mapping[str, str] | None = None,
    ) -> int:
        """Send a file. May be repeated with the same id: a repeat of the same file is the same import.

        Args:
            kind: catalogue or orders.
            path: A CSV or JSON Lines file.
            import_id: Of the import.
            sent: Told how many bytes of the present attempt are gone.
            query: What else the service can be told.

        Returns:
            How many rows arrived.

        Raises:
            ImportsError: If the service does not take it, or does not answer for a long time.
            OSError: If the file cannot be read.
        """
        headers = {**self._operator, "Content-Type": content_type(path), "Idempotency-Key": import_id}

        async def attempt() -> tuple[int, Any]:
            async with self._session.post(
                f"{self._urls[OWNERS[kind]]}/imports",
                data=_pieces(path, sent),
                params=query,
                headers=headers,
                # No end for the whole: a file may be long. A silence is one.
                timeout=aiohttp.ClientTimeout(total=None, sock_read=PATIENCE_SECONDS, sock_connect=15),
            ) as response:
                return response.status, await response.json(content_type=None)

        status, answer = await self._insist(OWNERS[kind], attempt)
        if status not in {200, 202}:
            raise ImportsError(f"{OWNERS[kind]} does not take {path}: {_told(answer)}")
        return int(answer["rows"])

    async def state(self, import_id: str) -> State:
        """What is known of an import, whichever service has it.

        Raises:
            ImportsError: If none has it, or does not answer for a long time.
        """
        for service in OWNERS.values():
            status, answer = await self._get(service, f"/imports/{import_id}")
            if status == 200:
                return _state(answer)
            if status != 404:
                raise ImportsError(f"{service} does not tell of {import_id}: {_told(answer)}")
        raise ImportsError(f"nobody knows an import {import_id!r}")

    async def follow(self, import_id: str, look_seconds: float | None = None) -> AsyncIterator[State]:
        """The import's states, until it has ended.

        Args:
            import_id: Of the import.
            look_seconds: Between two looks.
        """
        while True:
            state = await self.state(import_id)
            yield state
            if state.ended:
                return
            await asyncio.sleep(LOOK_SECONDS if look_seconds is None else look_seconds)

    async def rejections(self, kind: str, import_id: str, limit: int) -> list[Mapping[str, Any]]:
        """The first rows that were not taken, with line and reason.

        Args:
            kind: Of the import.
            import_id: Of the import.
            limit: How many at most.

        Raises:
            ImportsError: If the service does not tell.
        """
        service = OWNERS[kind]
        status, answer = await self._get(service, f"/imports/{import_id}/rejections?limit={limit}")
        if status != 200:
            raise ImportsError(f"{service} does not list what it rejected: {_told(answer)}")
        items: list[Mapping[str, Any]] = answer["items"]
        return items

    async def act(self, import_id: str, action: str) -> None:
        """Pause, resume or cancel.

        Args:
            import_id: Of the import.
            action: pause, resume or cancel.

        Raises:
            ImportsError: If that cannot be done.
        """
        service = OWNERS[(await self.state(import_id)).kind]

        async def attempt() -> tuple[int, Any]:
            url = f"{self._urls[service]}/imports/{import_id}/{action}"
            async with self._session.post(url, json={}, headers=self._operator) as response:
                return response.status, await response.json(content_type=None)

        status, answer = await self._insist(service, attempt)
        if status >= 400:
            raise ImportsError(f"{service} does not {action} {import_id}: {_told(answer)}")

    async def _get(self, service: str, path: str) -> tuple[int, Any]:
        async def attempt() -> tuple[int, Any]:
            async with self._session.get(f"{self._urls[service]}{path}", headers=self._operator) as response:
                return response.status, await response.json(content_type=None)

        return await self._insist(service, attempt)

    async def _insist(self, service: str, attempt: Callable[[], Any]) -> tuple[int, Any]:
        """Ask again while the service is away: every request here may be repeated."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                status, answer = await attempt()
                if status < 500:
                    return status, answer
                said = _told(answer)
            except (aiohttp.ClientError, TimeoutError, ValueError) as error:
                said = str(error) or type(error).__name__
            if time.monotonic() > deadline:
                raise ImportsError(f"{service} does not answer: {said}")
            await asyncio.sleep(PAUSE_SECONDS)


async def _pieces(path: Path, sent: Callable[[int], None]) -> AsyncIterator[bytes]:
    gone = 0
    with path.open("rb") as file:
        while piece := file.read(CHUNK):
            yield piece
            gone += len(piece)
            sent(gone)


def _told(answer: Any) -> str:
    """What a problem document says."""
    if not isinstance(answer, Mapping):
        return str(answer)
    field = f"{answer['field']}: " if answer.get("field") else ""
    return f"{field}{answer.get('detail') or answer.get('title') or answer}"


def _state(answer: Mapping[str, Any]) -> State:
    told = answer.get("progress")
    return State(
        import_id=answer["import_id"],
        kind=answer["kind"],
        status=answer["status"],
        progress=None if told is None else Progress(**told),
        result=answer.get("result"),
    )
