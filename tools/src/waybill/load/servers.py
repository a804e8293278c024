"""Which servers were measured: figures of one Temporal say little of another."""

from datetime import timedelta

from temporalio.api.workflowservice.v1 import GetSystemInfoRequest
from temporalio.client import Client
from temporalio.service import RPCError

from waybill.load.targets import NOT_KNOWN, Target

ASK = timedelta(seconds=5)


async def versions(target: Target, client: Client | None) -> dict[str, str]:
    """Of Temporal and PostgreSQL; in words, where that is not known: a report without it is better than none."""
    return {"temporal": await _temporal(client), "postgresql": await target.database_version()}


async def _temporal(client: Client | None) -> str:
    if client is None:
        return NOT_KNOWN
    try:
        answer = await client.workflow_service.get_system_info(GetSystemInfoRequest(), timeout=ASK)
    except RPCError as error:
        return f"{NOT_KNOWN}: {error}"
    return str(answer.server_version)
