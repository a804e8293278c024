"""The sides of a benchmark of one choice: servers, workers and stacks that differ in it."""

import json
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from waybill.bench import tuned, tuned_twin
from waybill.bench.harness import BenchError
from waybill.bench.process import worker
from waybill.bench.twin import SERVICES as TWINS
from waybill.bench.twin import Fulfil
from waybill.stack import Stack, ports, ready
from waybill.stack.plan import NAMESPACE, PORTS, SERVICES, TEMPORAL_PRAGMAS, TEMPORAL_SETTINGS, Plan
from waybill.stack.process import Process
from waybill.stack.spec import Spec

READY_SECONDS = 60.0
REPEATED = ("--dynamic-config-value", "--sqlite-pragma")


@dataclass(frozen=True)
class Server:
    """How Temporal's server is run; by default as the stack runs it.

    Attributes:
        settings: Its dynamic configuration.
        pragmas: Of its SQLite database.
        file: Whether its database is in a file rather than in memory.
        environment: Further variables.
    """

    settings: Mapping[str, str] = field(default_factory=lambda: TEMPORAL_SETTINGS)
    pragmas: Mapping[str, str] = field(default_factory=lambda: TEMPORAL_PRAGMAS)
    file: bool = True
    environment: Mapping[str, str] = field(default_factory=dict)

    def command(self, shipped: Sequence[str]) -> list[str]:
        """The command line, from that of the stack."""
        dropped = {*REPEATED, *(() if self.file else ("--db-filename",))}
        kept = [part for before, part in pairwise(["", *shipped]) if before not in dropped and part not in dropped]
        for flag, values in zip(REPEATED, (self.settings, self.pragmas), strict=True):
            for name, value in values.items():
                kept += [flag, f"{name}={value}"]
        return kept


@dataclass(frozen=True)
class Alternative:
    """What differs from what is shipped.

    Attributes:
        server: How Temporal runs.
        postgres: Settings of PostgreSQL.
        choice: Of the services, see ``tuned.CHOICES``.
        env: Variables of every service, without the service's prefix.
        worker: Options of the twin's workers, instead of ours.
        kind: What the twin does.
    """

    server: Server = field(default_factory=Server)
    postgres: Mapping[str, str] = field(default_factory=dict)
    choice: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    worker: Mapping[str, Any] | None = None
    kind: type[Fulfil] = Fulfil


class OtherStack(Stack):
    """A stack that differs from what is shipped."""

    def __init__(self, directory: Path, alternative: Alternative) -> None:
        """Prepare; nothing runs yet."""
        env = {name: {f"{name.upper()}_{key}": value for key, value in alternative.env.items()} for name in SERVICES}
        # Parcels that are delivered meanwhile would be other orders' cost.
        env["sandbox"] = {"SANDBOX_DELIVERY_SECONDS": "3600"}
        super().__init__(directory, env=env)
        self._alternative = alternative

    def _spec(self, name: str) -> Spec:
        spec, other = super()._spec(name), self._alternative
        if name == "temporal":
            environment = {**spec.environment, **other.server.environment}
            return replace(spec, command=other.server.command(spec.command), environment=environment)
        if name == "postgres":
            options = [part for key, value in other.postgres.items() for part in ("-c", f"{key}={value}")]
            return replace(spec, command=[*spec.command, *options])
        if name in SERVICES and other.choice:
            command = [sys.executable, "-m", tuned.__name__, name]
            return replace(spec, command=command, environment={**spec.environment, tuned.CHOICE: other.choice})
        return spec


@dataclass(frozen=True)
class Running:
    """A server that answers.

    Attributes:
        address: Host and port.
        pid: Of its process.
    """

    address: str
    pid: int


@asynccontextmanager
async def serving(folder: Path, server: Server) -> AsyncIterator[Running]:
    """Run a Temporal server.

    Args:
        folder: For its database and its log. It is there.
        server: How.

    Raises:
        StackError: If it does not become ready.
        BenchError: If it ends as soon as it is.
    """
    plan = Plan(folder, ports.choose(PORTS, {}, {}), ui=False)
    command, address = plan.temporal(), plan.temporal_address
    process = Process(
        Spec(
            name="temporal",
            command=server.command(command.command),
            environment={**command.environment, **server.environment},
            log=folder / "temporal.log",
            ready=ready.temporal(address, NAMESPACE),
        )
    )
    process.start()
    try:
        await process.wait_ready(READY_SECONDS)
        if process.pid is None:
            raise BenchError("the server ended as soon as it was ready")
        yield Running(address, process.pid)
    finally:
        await process.stop(at_once=True)


@asynccontextmanager
async def polling(address: str, queues: str, options: Mapping[str, Any]) -> AsyncIterator[dict[str, int]]:
    """Run the twin's four workers.

    Args:
        address: Of Temporal.
        queues: Prefix of their queues.
        options: Of each Worker, see ``tuned_twin.arguments``.

    Yields:
        Their process ids.
    """
    environment = {tuned_twin.OPTIONS: json.dumps(options)}
    async with AsyncExitStack() as open_now:
        pids = {}
        for service in TWINS:
            process = worker(tuned_twin.__name__, address, environment, f"{queues}-{service}")
            pids[service] = (await open_now.enter_async_context(process)).pid
        yield pids
