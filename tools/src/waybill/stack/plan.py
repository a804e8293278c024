"""What the stack consists of: the command line and the environment of each process."""

import os
import secrets
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chassis.testing import postgres
from chassis.testing.programs import program
from chassis.testing.tether import UNCHANGED
from waybill.stack.directory import POSTGRES, SPANS
from waybill.stack.spec import WRONG_SETTINGS

SPACE = "service.namespace=waybill"
COLLECTOR = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
"""Who sets one of them has a collector."""

SERVICES = ("orchestrator", "inventory", "payments", "shipping")
"""In the order in which they are listed. Each is ``python -m NAME``, with a database of its own."""

INFRASTRUCTURE = ("postgres", "temporal", "sandbox")
"""In the order in which they are started; they are stopped, after the services, in the reverse order."""

NAMESPACE = "default"

USUAL_PORTS = {
    "temporal": 7233,
    "temporal-ui": 8233,
    "postgres": 5433,
    "sandbox": 9000,
    "orchestrator": 8001,
    "inventory": 8002,
    "payments": 8003,
    "shipping": 8004,
}
"""Where people expect them. PostgreSQL's own 5432 is left to whoever has one installed."""

PORTS = (*USUAL_PORTS, "temporal-http", "temporal-metrics")

TEMPORAL_SETTINGS = {
    # Without it the dev server lets about 20 history tasks a second through, and each dispatch waits for a 50 ms tick.
    "history.transferProcessorMaxPollRPS": "2000",
    # The backlog gauge lags a minute by default.
    "matching.backlogMetricsEmitInterval": '"5s"',
    # So do the figures of DescribeTaskQueue, by some seconds.
    "matching.taskQueueInfoByBuildIdTTL": '"200ms"',
    # It would keep every workflow of the last hour in memory, as many as 128,000: in so many bytes, rather.
    "history.cacheSizeBasedLimit": "true",
    "history.hostLevelCacheMaxSizeBytes": str(24 * 1024 * 1024),
}
TEMPORAL_PRAGMAS = {
    # More than twice the orders a second of SQLite's defaults. A killed server loses nothing; a power cut may.
    "journal_mode": "WAL",
    "synchronous": "OFF",
}
TEMPORAL_RUNTIME = {
    # Go's collector runs a quarter as often, until the memory that it looks after has this size: from there on as often
    # as it takes, which after some hundred orders cost more than the default did with a limit of 400 MiB. SQLite's
    # memory, some tens of MiB, comes on top.
    "GOGC": "400",
    "GOMEMLIMIT": "1GiB",
}

DRAIN_MARGIN = 5.0
"""Seconds a service may take to stop beyond its drain."""
DRAIN_SECONDS = 40.0
"""A service's own default."""


@dataclass(frozen=True)
class Command:
    """How one process is run; what ``Spec`` has beyond it is the same for all."""

    command: list[str]
    environment: dict[str, str]
    folder: Path | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    stop_seconds: float = 10.0
    user: int = UNCHANGED
    group: int = UNCHANGED
    final_codes: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Plan:
    """What all commands have in common.

    Attributes:
        directory: For state and logs.
        ports: By name, see ``PORTS``.
        ui: Whether Temporal serves its web interface.
        spans: Whether services and sandbox keep their spans in files, for ``waybill trace``.
        operator_token: Opens what only operators may do, in all services and the sandbox.
        webhook_secret: With which carriers sign.
        passwords: Of the services' database roles.
    """

    directory: Path
    ports: Mapping[str, int]
    ui: bool
    spans: bool = False
    operator_token: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    webhook_secret: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    passwords: dict[str, str] = field(default_factory=lambda: {name: secrets.token_urlsafe(18) for name in SERVICES})

    @property
    def temporal_address(self) -> str:
        """Host and port of Temporal's front end."""
        return f"127.0.0.1:{self.ports['temporal']}"

    def url(self, name: str) -> str:
        """Base URL of a service, the sandbox, or Temporal's web interface."""
        return f"http://127.0.0.1:{self.ports[name]}"

    @property
    def postgres_data(self) -> Path:
        """PostgreSQL's folder."""
        return self.directory / POSTGRES

    def postgres(self) -> Command:
        """The database server. SIGINT is its fast shutdown: it does not wait for clients to go."""
        options: dict[str, Any] = postgres.popen_options()
        return Command(
            postgres.command(self.postgres_data, self.ports["postgres"]),
            base_environment(),
            folder=postgres.data_directory(self.postgres_data),
            stop_signal=signal.SIGINT,
            stop_seconds=20,
            user=options.get("user", UNCHANGED),
            group=options.get("group", UNCHANGED),
        )

    def temporal(self) -> Command:
        """The Temporal dev server, with its database in a file."""
        command = [program("temporal"), "server", "start-dev", "--ip", "127.0.0.1", "--log-level", "warn"]
        command += ["--port", str(self.ports["temporal"]), "--http-port", str(self.ports["temporal-http"])]
        command += ["--metrics-port", str(self.ports["temporal-metrics"])]
        command += ["--db-filename", str(self.directory / "temporal.db")]
        interface = ["--ui-port", str(self.ports["temporal-ui"]), "--ui-disable-news-fetch"]
        command += interface if self.ui else ["--headless"]
        for key, value in TEMPORAL_SETTINGS.items():
            command += ["--dynamic-config-value", f"{key}={value}"]
        for key, value in TEMPORAL_PRAGMAS.items():
            command += ["--sqlite-pragma", f"{key}={value}"]
        return Command(command, {**base_environment(), **TEMPORAL_RUNTIME})

    def tracing(self, process: str) -> dict[str, str]:
        """Variables that let a process keep its spans in a file of its own; none where nobody asked.

        Who names a collector in our own environment has them sent there instead.
        """
        if not self.spans:
            return {}
        ours = {name: value for name, value in os.environ.items() if name.startswith("OTEL_")}
        if any(name in ours for name in COLLECTOR):
            return {"OTEL_RESOURCE_ATTRIBUTES": SPACE, **ours}
        return {
            "OTEL_TRACES_EXPORTER": "file",
            "WAYBILL_SPANS_FILE": str(self.directory / SPANS / f"{process}.jsonl"),
            "OTEL_RESOURCE_ATTRIBUTES": SPACE,
            # Spans are in the file while one still looks at the order, not five seconds later.
            "OTEL_BSP_SCHEDULE_DELAY": "500",
        }

    def sandbox(self, overrides: Mapping[str, str]) -> Command:
        """The world outside."""
        environment = {
            "SANDBOX_HOST": "127.0.0.1",
            "SANDBOX_PORT": str(self.ports["sandbox"]),
            "SANDBOX_OPERATOR_TOKEN": self.operator_token,
            "SANDBOX_DATABASE": str(self.directory / "sandbox.db"),
            "SANDBOX_WEBHOOK_URL": self.url("shipping"),
            "SANDBOX_WEBHOOK_SECRET": self.webhook_secret,
        }
        return Command(
            [sys.executable, "-m", "sandbox"],
            {**base_environment(), **self.tracing("sandbox"), **environment, **overrides},
            final_codes=frozenset({WRONG_SETTINGS}),
        )

    def service(self, name: str, port: int, overrides: Mapping[str, str], process: str | None = None) -> Command:
        """One replica of a service.

        Args:
            name: Of the service.
            port: Of the replica.
            overrides: Variables that differ from the demo's.
            process: Name of the replica; by default the service's.
        """
        prefix = name.upper()
        sandbox = self.url("sandbox")
        database = f"postgresql://{name}:{self.passwords[name]}@127.0.0.1:{self.ports['postgres']}/{name}"
        environment = {
            "TEMPORAL_ADDRESS": self.temporal_address,
            "TEMPORAL_NAMESPACE": NAMESPACE,
            f"{prefix}_HOST": "127.0.0.1",
            f"{prefix}_PORT": str(port),
            f"{prefix}_DATABASE_URL": database,
            f"{prefix}_OPERATOR_TOKEN": self.operator_token,
        }
        match name:
            case "orchestrator":
                environment["ORCHESTRATOR_MAILBOX_URL"] = f"{sandbox}/mailbox"
            case "payments":
                environment["PAYMENTS_GATEWAY_URL"] = f"{sandbox}/gateway"
            case "shipping":
                environment["SHIPPING_CARRIERS_URL"] = f"{sandbox}/carriers"
                environment["SHIPPING_WEBHOOK_SECRET"] = self.webhook_secret
        environment |= overrides
        drain = float(environment.get(f"{prefix}_DRAIN_SECONDS", DRAIN_SECONDS))
        return Command(
            [sys.executable, "-m", name],
            {**base_environment(), **self.tracing(process or name), **environment},
            stop_seconds=drain + DRAIN_MARGIN,
            final_codes=frozenset({WRONG_SETTINGS}),
        )


def base_environment() -> dict[str, str]:
    """Our own environment without what would change the stack: it is the same on every machine."""
    prefixes = ("PG", "OTEL_", "WAYBILL_", *(f"{name.upper()}_" for name in (*SERVICES, "sandbox", "temporal")))
    environment = {name: value for name, value in os.environ.items() if not name.startswith(prefixes)}
    environment["PYTHONUNBUFFERED"] = "1"  # a log is read while the process runs
    # The workflow sandbox imports modules for every run, and would compile them each time if nothing was kept.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    return environment
