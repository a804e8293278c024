"""What a load test must be able to reach before it sends anything: Temporal, and connections enough."""

import resource
from datetime import timedelta

from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import Client
from temporalio.service import RPCError

from waybill.load.targets import LoadError

ASK_SECONDS = 15.0
"""Time-out of one question."""
MOST_FILES, MOST_FILES_UNSAID = 65_536, 10_240
"""Open files that we ask for; the second where the system says that there is no bound, which is not so on macOS."""


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
