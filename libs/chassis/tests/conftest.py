"""What several modules of these tests use."""

import asyncio
import json
import os
import sys
import uuid
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest_asyncio
from temporalio.testing import WorkflowEnvironment

from chassis.testing.ports import free_ports
from chassis.testing.postgres import PostgresServer, create_database
from chassis.testing.waiting import eventually

PATIENCE_SECONDS = 90
"""Ten processes that start at once take their time on a machine that does other things too."""
PROGRAMS = Path(__file__).parent / "programs"


def address_of(server: WorkflowEnvironment) -> str:
    return server.client.service_client.config.target_host


@dataclass
class Tiny:
    """A running process of the tiny service."""

    process: Process
    url: str
    log: Path
    queue: str

    async def get(self, path: str) -> tuple[int, Any]:
        """Status and document; status 0 while nobody listens."""
        assert self.process.returncode is None, self.log.read_text()
        try:
            async with aiohttp.ClientSession(self.url) as session, session.get(path) as response:
                text = await response.text()
                return response.status, json.loads(text) if "json" in response.content_type else text
        except aiohttp.ClientConnectionError:
            return 0, None

    async def until(self, status: int, path: str = "/readyz") -> Any:
        async def answered() -> bool:
            return (await self.get(path))[0] == status

        await eventually(answered, timeout=PATIENCE_SECONDS)
        return (await self.get(path))[1]

    async def until_logged(self, word: str) -> None:
        await eventually(lambda: word in self.log.read_text())

    def lines(self) -> list[dict[str, Any]]:
        """The log; raises unless each line is a JSON object."""
        return [dict(json.loads(line)) for line in self.log.read_text().splitlines()]


Launch = Callable[..., Awaitable[Tiny]]


@pytest_asyncio.fixture
async def launch(
    dev_server: WorkflowEnvironment, postgres_server: PostgresServer, tmp_path: Path
) -> AsyncIterator[Launch]:
    """Starts ``python -m tiny``, with variables of the test's choice; all of one test share queue and database."""
    started: list[Tiny] = []
    name = f"t_{uuid.uuid4().hex}"
    url = await asyncio.to_thread(create_database, postgres_server.port, name)

    async def begin(*arguments: str, **variables: str) -> Tiny:
        [port] = free_ports(1)
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(PROGRAMS),
            "TINY_PORT": str(port),
            "TINY_DATABASE_URL": url,
            "TINY_OPERATOR_TOKEN": "operator-token",
            "TINY_TASK_QUEUE": name,
            "TEMPORAL_ADDRESS": address_of(dev_server),
            **variables,
        }
        log = tmp_path / f"{len(started)}.log"
        with log.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "tiny", *arguments, env=environment, stdout=output, stderr=output
            )
        tiny = Tiny(process, f"http://127.0.0.1:{environment['TINY_PORT']}", log, name)
        started.append(tiny)
        return tiny

    yield begin
    for tiny in started:
        if tiny.process.returncode is None:
            tiny.process.kill()
        await tiny.process.wait()
