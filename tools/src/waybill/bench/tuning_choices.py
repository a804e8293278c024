"""The choices whose worth is measured: what is shipped, against what."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from chassis.settings import ServiceSettings
from waybill.bench.sides import Alternative, Server
from waybill.bench.tuned_twin import AUTOSCALING, UNSANDBOXED
from waybill.bench.twin_contests import Run
from waybill.bench.twin_variants import Locally, OneByOne
from waybill.stack.plan import SERVICES, TEMPORAL_SETTINGS


@dataclass(frozen=True)
class Metric:
    """A figure of a run.

    Attributes:
        unit: Of the figure.
        of: Takes it from the run.
    """

    unit: str
    of: Callable[[Run], float]


METRICS: Mapping[str, Metric] = {
    "cpu": Metric("CPU s/order", lambda run: run.all_cpu),
    "workers": Metric("CPU s/order of the workers", lambda run: sum(run.cpu[name] for name in SERVICES)),
    "server": Metric("CPU s/order of the server", lambda run: run.cpu["temporal"]),
    "database": Metric("CPU s/order of PostgreSQL", lambda run: run.cpu["postgres"]),
    "latency": Metric("s alone", lambda run: run.latency),
    "rate": Metric("orders/s", lambda run: run.rate),
}


@dataclass(frozen=True)
class Choice:
    """One thing that can be chosen.

    Attributes:
        name: Of the choice.
        note: What is set, against what.
        other: What it is set against.
        figures: Of ``METRICS``: what the choice is for.
    """

    name: str
    note: str
    other: Alternative
    figures: tuple[str, ...] = ("cpu", "latency")

    def contest(self, figure: str) -> str:
        """Name of the contest about a figure."""
        return f"tuning_{self.name}_{figure}"


def _shipped(name: str) -> int:
    return int(ServiceSettings.model_fields[name].default)


SHIPPED = Alternative(
    worker={
        "max_concurrent_activities": _shipped("activity_slots"),
        "max_concurrent_workflow_tasks": _shipped("workflow_slots"),
        "max_cached_workflows": _shipped("cached_workflows"),
    }
)


def _worker(**options: Any) -> Alternative:
    return Alternative(worker={**(SHIPPED.worker or {}), **options})


def _pollers(number: int) -> Alternative:
    return _worker(max_concurrent_workflow_task_polls=number, max_concurrent_activity_task_polls=number)


def _without(*settings: str) -> Alternative:
    kept = {name: value for name, value in TEMPORAL_SETTINGS.items() if name not in settings}
    return Alternative(server=Server(settings=kept))


ONE_PARTITION = {"matching.numTaskqueueReadPartitions": "1", "matching.numTaskqueueWritePartitions": "1"}


TWINS: tuple[Choice, ...] = (
    Choice(
        "twin_poll_rps",
        "history tasks let through: 2,000 a second, against the dev server's 20",
        _without("history.transferProcessorMaxPollRPS"),
        ("latency", "cpu"),
    ),
    Choice(
        "twin_cache_by_size",
        "the server's cache bounded in bytes, against in workflows",
        _without("history.cacheSizeBasedLimit", "history.hostLevelCacheMaxSizeBytes"),
        ("cpu",),
    ),
    Choice(
        "twin_partitions",
        "four partitions a queue (default), against one",
        Alternative(server=Server(settings={**TEMPORAL_SETTINGS, **ONE_PARTITION})),
        ("server", "cpu", "latency"),
    ),
    Choice(
        "twin_gogc",
        "Go's collector a quarter as often, against as it is",
        Alternative(server=Server(environment={"GOGC": "100", "GOMEMLIMIT": "off"})),
        ("server", "cpu", "latency"),
    ),
    Choice(
        "twin_sqlite_defaults",
        "WAL without waiting for the disk, against SQLite's defaults",
        Alternative(server=Server(pragmas={})),
        ("rate", "latency", "server"),
    ),
    Choice(
        "twin_sqlite_normal",
        "WAL without waiting for the disk, against WAL that waits at checkpoints",
        Alternative(server=Server(pragmas={"journal_mode": "WAL", "synchronous": "NORMAL"})),
        ("rate", "latency", "server"),
    ),
    Choice(
        "twin_sqlite_memory",
        "a database in a file, against one in memory",
        Alternative(server=Server(pragmas={}, file=False)),
        ("rate", "latency", "server"),
    ),
    Choice("twin_sandbox", "workflows in the sandbox, against none", _worker(**{UNSANDBOXED: True}), ("cpu",)),
    Choice("twin_cache_one", "500 cached workflows, against one", _worker(max_cached_workflows=1)),
    Choice("twin_cache_1000", "500 cached workflows, against the SDK's 1,000", _worker(max_cached_workflows=1_000)),
    Choice("twin_slots", "50 activities at a time, against the SDK's 100", _worker(max_concurrent_activities=100)),
    Choice("twin_pollers_2", "5 and 5 pollers (default), against 2 and 2", _pollers(2)),
    Choice("twin_pollers_10", "5 and 5 pollers (default), against 10 and 10", _pollers(10)),
    Choice("twin_pollers_auto", "5 and 5 pollers (default), against autoscaling", _worker(**{AUTOSCALING: True})),
    Choice(
        "twin_eager_activities",
        "activities begun with the workflow task's answer (default), against polled",
        _worker(disable_eager_activity_execution=True),
    ),
    Choice(
        "twin_rate_limit",
        "queues without a limit (default), against 100 activities a second each",
        _worker(max_task_queue_activities_per_second=100),
    ),
    Choice("twin_side_by_side", "two children side by side, against one by one", Alternative(kind=OneByOne)),
    Choice("twin_local_activities", "a child's activity, against a local one", Alternative(kind=Locally)),
)
OF_WORKERS = ("workers", "cpu", "latency")
ORDERS: tuple[Choice, ...] = (
    Choice(
        "order_shared_modules",
        "contracts and chassis shared with the sandbox, against the SDK's runner",
        Alternative(choice="sdk-runner"),
        OF_WORKERS,
    ),
    Choice(
        "order_payload_context",
        "the sandbox is not asked whose each payload is, against the SDK's runner that asks",
        Alternative(choice="asked"),
        OF_WORKERS,
    ),
    Choice(
        "order_sandbox",
        "workflows in the sandbox, against none",
        Alternative(choice="unsandboxed"),
        ("workers", "cpu"),
    ),
    Choice("order_eager_start", "starts as shipped, against eager ones", Alternative(choice="eager-start")),
    Choice(
        "order_gc",
        "Python's garbage collector as it is, against frozen and rarer",
        Alternative(choice="gc-frozen"),
        OF_WORKERS,
    ),
    Choice("order_uvloop", "uvloop, against asyncio's own event loop", Alternative(choice="asyncio"), OF_WORKERS),
    Choice("order_prepared", "prepared statements (default), against none", Alternative(choice="unprepared")),
    Choice("order_pool", "10 connections to a database, against 5", Alternative(env={"DATABASE_POOL": "5"})),
    Choice(
        "order_fsync",
        "commits that wait for the disk (default), against the operating system's",
        Alternative(postgres={"fsync": "off"}),
        ("rate", "latency", "cpu"),
    ),
    Choice(
        "order_synchronous_commit",
        "commits that are written before they are confirmed (default), against later",
        Alternative(postgres={"synchronous_commit": "off"}),
        ("rate", "latency", "database"),
    ),
)
