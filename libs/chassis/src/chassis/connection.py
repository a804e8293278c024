"""The connection to Temporal: found through the standard variables, waited for, and asked for its health."""

import asyncio
import logging
import os
import re
import socket
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import Client
from temporalio.common import Priority, WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.envconfig import ClientConfig, ClientConnectConfig
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.runtime import Runtime
from temporalio.service import RPCError, RPCStatusCode

from chassis.apart import Detach
from chassis.converter import DATA_CONVERTER
from chassis.settings import WrongSettings

if TYPE_CHECKING:
    from chassis.spans import Tracing

logger = logging.getLogger(__name__)

DEFAULT_ADDRESS = "localhost:7233"
FIRST_PAUSE = 0.2
LONGEST_PAUSE = 5.0
"""Seconds between attempts to connect: from the first, doubling to the longest."""


class TemporalUnavailable(Exception):  # noqa: N818 - it names a state, as HTTP's 503 does
    """Temporal has not answered yet, or does not answer any more."""


def options() -> ClientConnectConfig:
    """Where Temporal is and how to speak to it, by Temporal's own variables.

    Raises:
        WrongSettings: If they cannot be used.
    """
    try:
        found = ClientConfig.load_client_connect_config()
    except (RuntimeError, OSError, ValueError) as error:  # no such profile, no such key file, no such form
        said = " ".join(str(error).split())
        guilty = [
            name for name, value in os.environ.items() if name.startswith("TEMPORAL_") and value and value in said
        ]
        raise WrongSettings(f"{guilty[0] if guilty else 'TEMPORAL_…'}: {said}") from error
    address = found.setdefault("target_host", DEFAULT_ADDRESS)
    fit = re.fullmatch(r"(?:\[[0-9A-Fa-f:.]+\]|[^\s:/\[\]]+):([0-9]{1,5})", address or "")
    if fit is None or not 1 <= int(fit.group(1)) <= 65535:
        raise WrongSettings("TEMPORAL_ADDRESS: is not of the form host:port")
    return found


class Connection:
    """A client that may not be there yet."""

    def __init__(
        self,
        service: str,
        *,
        runtime: Runtime | None = None,
        health_seconds: float = 5,
        tracing: "Tracing | None" = None,
    ) -> None:
        """Prepare to connect.

        Args:
            service: Name of this service, the first part of the identity that Temporal shows.
            runtime: The SDK's runtime, which carries its metrics.
            health_seconds: Time-out of a health check.
            tracing: Of this process, where it is traced.
        """
        self.identity = f"{service}@{socket.gethostname()}:{os.getpid()}"
        self._runtime = runtime
        self._health = timedelta(seconds=health_seconds)
        self._client: Client | None = None
        self._tracing = tracing

    @property
    def client(self) -> Client:
        """The client.

        Raises:
            TemporalUnavailable: While there is none.
        """
        if self._client is None:
            raise TemporalUnavailable("Temporal has not answered yet")
        return self._client

    def use(self, client: Client) -> None:
        """Take a client that is connected already, as tests do."""
        self._client = client

    async def connect(self) -> Client:
        """Connect, for as long as it takes.

        Address, namespace, keys and certificates come from Temporal's own variables (``TEMPORAL_ADDRESS``,
        ``TEMPORAL_NAMESPACE``, ``TEMPORAL_API_KEY``, ``TEMPORAL_TLS_…``, ``TEMPORAL_PROFILE``).

        Returns:
            A client whose namespace exists.

        Raises:
            WrongSettings: If the variables cannot be used.
        """
        pause = FIRST_PAUSE
        while True:
            try:
                self._client = await self.attempt()
            except (RuntimeError, RPCError) as error:
                logger.warning("Temporal is not there yet: %s", error)
                await asyncio.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE)
            else:
                return self._client

    async def attempt(self) -> Client:
        """Try to connect, once.

        Returns:
            A client whose namespace exists.

        Raises:
            RuntimeError: If Temporal does not answer.
            temporalio.service.RPCError: If it has no such namespace, or refuses us.
            WrongSettings: If the variables cannot be used.
        """
        try:
            client = await Client.connect(
                **options(),
                identity=self.identity,
                data_converter=DATA_CONVERTER,
                runtime=self._runtime,
                interceptors=[] if self._tracing is None else [Detach()],
                plugins=[] if self._tracing is None else [self._tracing.plugin()],
            )
        except ValueError as error:  # such as half a pair of certificate and key
            raise WrongSettings(f"TEMPORAL_…: {error}") from error
        await client.workflow_service.describe_namespace(
            DescribeNamespaceRequest(namespace=client.namespace), timeout=self._health
        )
        return client

    async def start_once(
        self,
        workflow: str | Callable[..., Awaitable[Any]],
        argument: object,
        *,
        id: str,
        task_queue: str,
        patience: timedelta,
        priority: Priority = Priority.default,
    ) -> bool:
        """Start a workflow for something that is written down once for ever, however often this is asked.

        Args:
            workflow: Its ``run``, or its name.
            argument: Of the workflow.
            id: Of the workflow. What stands under it is its own.
            task_queue: Of the workflow.
            patience: How long to wait for Temporal.
            priority: Of the workflow, and by inheritance of what it starts.

        Returns:
            Whether it is known to be started, or over. If not it can be asked again.
        """
        try:
            # The time-out of the call is that of one attempt, and the client makes several.
            async with asyncio.timeout(patience.total_seconds()):
                await self.client.start_workflow(
                    cast(str, workflow),
                    argument,
                    id=id,
                    task_queue=task_queue,
                    id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                    id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
                    priority=priority,
                    rpc_timeout=patience,
                )
        except WorkflowAlreadyStartedError:
            logger.info("%s ended already", id)
        except (TemporalUnavailable, TimeoutError):
            return False
        except RPCError as error:
            # It is written down and waits, also where somebody has to mend the namespace or the certificates.
            level = logging.WARNING if is_away(error) else logging.ERROR
            logger.log(level, "Temporal takes nothing, %s waits: %s", id, error)
            return False
        return True

    async def check(self) -> None:
        """Ask Temporal for a sign of life.

        Raises:
            TemporalUnavailable: If it gives none.
        """
        client = self.client
        try:
            await client.service_client.check_health(timeout=self._health)
        except RPCError as error:
            raise TemporalUnavailable(str(error)) from error


def is_away(error: RPCError) -> bool:
    """Whether a call failed because Temporal is away, rather than because of what was asked.

    A call that timed out may still have taken effect.
    """
    return error.status in (
        RPCStatusCode.UNAVAILABLE,
        RPCStatusCode.DEADLINE_EXCEEDED,
        RPCStatusCode.CANCELLED,
        RPCStatusCode.RESOURCE_EXHAUSTED,
        RPCStatusCode.UNKNOWN,
        RPCStatusCode.INTERNAL,
    )
