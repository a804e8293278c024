"""Questions whether a process is ready."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import aiohttp
import psycopg
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import Client
from temporalio.service import RPCError

from waybill.stack.spec import NotReady

PROBE_SECONDS = 5.0
"""Time-out of one question."""

Probe = Callable[[], Awaitable[None]]


def http(session: aiohttp.ClientSession, url: str) -> Probe:
    """A probe of ``/readyz``.

    Args:
        session: To ask with.
        url: Base URL of the program.
    """

    async def probe() -> None:
        try:
            async with session.get(f"{url}/readyz", timeout=aiohttp.ClientTimeout(total=PROBE_SECONDS)) as response:
                if response.status != 200:
                    raise NotReady(_reasons(await _json_or_text(response), response.status))
        except aiohttp.ClientConnectionError as error:
            raise NotReady(f"nobody answers at {url}") from error
        except aiohttp.ClientError as error:
            raise NotReady(f"{url}/readyz: {error}") from error

    return probe


def postgres(port: int) -> Probe:
    """A probe of a PostgreSQL server on loopback."""

    async def probe() -> None:
        try:
            async with asyncio.timeout(PROBE_SECONDS):
                address = f"postgresql://postgres@127.0.0.1:{port}/postgres"
                connection = await psycopg.AsyncConnection.connect(address, connect_timeout=int(PROBE_SECONDS))
                await connection.close()
        except psycopg.OperationalError as error:
            raise NotReady((str(error).splitlines() or ["PostgreSQL does not answer"])[-1]) from error

    return probe


def temporal(address: str, namespace: str) -> Probe:
    """A probe of a Temporal server: it answers, and has the namespace."""

    async def probe() -> None:
        try:
            async with asyncio.timeout(PROBE_SECONDS):
                client = await Client.connect(address, namespace=namespace)
                await client.workflow_service.describe_namespace(
                    DescribeNamespaceRequest(namespace=namespace), timeout=timedelta(seconds=PROBE_SECONDS)
                )
        except (RuntimeError, RPCError) as error:
            raise NotReady(f"Temporal does not answer at {address}") from error

    return probe


async def _json_or_text(response: aiohttp.ClientResponse) -> Any:
    if "json" in response.content_type:
        return await response.json(content_type=None)
    return await response.text()


def _reasons(body: Any, status: int) -> str:
    """What a program that is not ready says it waits for."""
    checks = body.get("checks") if isinstance(body, dict) else None
    if isinstance(checks, dict):
        waiting = [f"{name}: {said}" for name, said in checks.items() if said != "ok"]
        if waiting:
            return "not ready: " + ", ".join(waiting)
    return f"/readyz answers {status}: {str(body)[:200]}"
