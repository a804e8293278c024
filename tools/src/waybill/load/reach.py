"""What a load test must be able to reach before it sends anything: services, Temporal, and connections enough."""

import asyncio
import resource
from collections.abc import Mapping
from datetime import timedelta

import aiohttp
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import Client
from temporalio.service import RPCError

from waybill.load.targets import LoadError
from waybill.stack import SERVICES

ASK_SECONDS = 15.0
"""Time-out of one question."""
PROBE_SECONDS = 5.0
"""For so long a service may be silent before it counts as not there."""
MOST_FILES, MOST_FILES_UNSAID = 65_536, 10_240
"""Open files that we ask for; the second where the system says that there is no bound, which is not so on macOS."""


def absent(urls: Mapping[str, str]) -> str:
    """Which services have no URL, in words; nothing if all have one."""
    missing = [name for name in SERVICES if name not in urls]
    return f"no URL for {', '.join(missing)} (--url NAME=URL)" if missing else ""


async def answering(session: aiohttp.ClientSession, urls: Mapping[str, str]) -> None:
    """Ask each service once for any answer: what follows asks for minutes, since services may be down for a while.

    Raises:
        LoadError: If one gives none, or a proxy answers that nobody is there.
    """
    said = await asyncio.gather(*(_silent(session, name, url.rstrip("/")) for name, url in urls.items()))
    if silent := [words for words in said if words]:
        raise LoadError("; ".join(silent) + ". Is it up, and is that its URL (--url NAME=URL)?")


async def _silent(session: aiohttp.ClientSession, name: str, url: str) -> str | None:
    try:
        # Other paths may be closed to us, or leave a line in a log. A 404 is an answer too.
        async with session.get(f"{url}/livez", timeout=aiohttp.ClientTimeout(total=PROBE_SECONDS)) as answer:
            return f"{name} answers {answer.status} at {url}" if answer.status >= 500 else None
    except (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError):
        return f"{name} cannot be asked: {url} is no http:// or https:// URL"
    except TimeoutError:
        return f"{name} does not answer at {url} within {PROBE_SECONDS:g} s"
    except aiohttp.ClientError as error:
        return f"{name} does not answer at {url}: {str(error) or type(error).__name__}"


async def connected(address: str, namespace: str) -> Client:
    """A client of Temporal, whose namespace is there: connecting alone does not find out.

    Raises:
        LoadError: If nobody answers, or the namespace is not there, or not for us.
    """
    try:
        client = await Client.connect(address, namespace=namespace, identity="waybill-load")
    except RuntimeError:
        raise LoadError(f"Temporal does not answer at {address} (--address)") from None
    try:
        await client.workflow_service.describe_namespace(
            DescribeNamespaceRequest(namespace=namespace), timeout=timedelta(seconds=ASK_SECONDS)
        )
    except RPCError as error:
        raise LoadError(f"Temporal at {address} does not open namespace {namespace} (--namespace): {error}") from None
    return client


def allow_files() -> None:
    """Let this process have as many open files as it may: each order that is not answered yet keeps one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MOST_FILES_UNSAID if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    if resource.RLIM_INFINITY != soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
