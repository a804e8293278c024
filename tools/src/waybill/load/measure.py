"""From what was watched to figures of a stretch of time."""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from waybill.load.latency import Latencies
from waybill.load.machine import GENERATOR
from waybill.load.orders import Entry
from waybill.load.scrape import Scrape, spread
from waybill.load.watch import KINDS, Mark, Sample, writes
from waybill.stack import SERVICES

SCHEDULE_TO_START = {
    "workflow": "temporal_workflow_task_schedule_to_start_latency_seconds",
    "activity": "temporal_activity_schedule_to_start_latency_seconds",
}
STATES = "order_state_duration_seconds"
WORK = (
    "temporal_workflow_task_execution_latency_seconds",
    "temporal_activity_execution_latency_seconds",
    "temporal_local_activity_execution_latency_seconds",
)
Json = dict[str, object]


@dataclass(frozen=True)
class Window:
    """A stretch of time between two marks.

    Attributes:
        begin: Its first mark.
        end: Its last.
        samples: Those between.
        entries: Orders that ended in it.
    """

    begin: Mark
    end: Mark
    samples: Sequence[Sample] = ()
    entries: Sequence[Entry] = field(default_factory=tuple)

    @property
    def seconds(self) -> float:
        """How long it is."""
        return self.end.at - self.begin.at

    @property
    def ended(self) -> int:
        """How many orders ended in it."""
        return len(self.entries)

    def grown(self, name: str) -> float:
        """By how much a counter grew."""
        return self.end.values.get(name, 0.0) - self.begin.values.get(name, 0.0)

    def services(self) -> dict[str, Scrape]:
        """What each service counted in it."""
        return {name: scrape - self.begin.services.get(name, Scrape()) for name, scrape in self.end.services.items()}

    def cores(self) -> dict[str, float]:
        """CPU seconds a second, of each process that was there at some time in it, under whatever process id.

        One that came in the middle counts from 0, and one that went until it was last seen: see ``Machine``.
        """
        if self.seconds <= 0:
            return {}
        names = (name.removeprefix("cpu_seconds/") for name in self.end.values if name.startswith("cpu_seconds/"))
        used = {name: self.grown(f"cpu_seconds/{name}") / self.seconds for name in names}
        # A name that nobody had in it keeps its figure from before.
        return {name: each for name, each in used.items() if each or f"memory_bytes/{name}" in self.end.values}

    def machine(self) -> float | None:
        """Share of the machine's CPU that was busy, whoever used it; None where the deployment is elsewhere."""
        everything = self.grown("all_seconds")
        return self.grown("busy_seconds") / everything if everything > 0 else None

    def strangers(self) -> float | None:
        """Cores that were used by what is neither the deployment nor the generator."""
        if self.machine() is None or self.seconds <= 0:
            return None
        return max(self.grown("busy_seconds") / self.seconds - sum(self.cores().values()), 0.0)

    def line(self, name: str) -> list[float]:
        """A figure in all samples that have it."""
        return [each.values[name] for each in self.samples if name in each.values]

    def slots(self, service: str, kind: str) -> tuple[float, float] | None:
        """Slots of all replicas together that were in use, and how many there were, both as means; None if unknown."""
        pairs = [pair for sample in self.samples if (pair := slots_of(sample, service, kind)) is not None]
        return (statistics.fmean(used for used, _ in pairs), statistics.fmean(of for _, of in pairs)) if pairs else None

    def waiting(self, service: str, kind: str) -> float:
        """Tasks that waited in the middle of all samples: a peak is no backlog."""
        line = self.line(f"backlog/{service}/{kind}")
        return statistics.median(line) if line else 0.0


def slots_of(sample: Sample, service: str, kind: str) -> tuple[float, float] | None:
    """Slots of all replicas that were in use at a moment, and how many there were; None if no replica told."""
    pairs = [
        (value, sample.values[name.replace("slots_used/", "slots/")])
        for name, value in sample.values.items()
        if name.startswith("slots_used/") and name.endswith(f"/{kind}") and _service(name) == service
    ]
    return (sum(used for used, _ in pairs), sum(of for _, of in pairs)) if pairs else None


def lives(sample: Sample, service: str) -> bool | None:
    """Whether a service had a process at a moment; None where the deployment is not on this machine."""
    if "busy_seconds" not in sample.values:
        return None
    return any(name.startswith("memory_bytes/") and _service(name) == service for name in sample.values)


def _service(name: str) -> str:
    return name.split("/")[1].partition("-")[0]


def figures(window: Window) -> Json:
    """All figures of a window, for a machine."""
    ended = window.ended
    latencies = Latencies(each.latency for each in window.entries if each.latency is not None)
    cores = window.cores()
    told = window.services()
    return {
        "seconds": window.seconds,
        "orders_ended": ended,
        "orders_per_second": ended / window.seconds if window.seconds > 0 else 0.0,
        "latency_seconds": latencies.summary(),
        "latency_histogram": latencies.encoded(),
        "machine_busy_share": window.machine(),
        "strangers_cores": window.strangers(),
        "cores": cores,
        "cpu_seconds_per_order": _per_order(cores, window),
        "memory_bytes": {
            name.removeprefix("memory_bytes/"): value
            for name, value in window.end.values.items()
            if name.startswith("memory_bytes/")
        },
        "temporal_share": temporal_share(cores),
        "queues": {f"{queue}/{kind}": _queue(window, told, queue, kind) for queue in SERVICES for kind in KINDS},
        "db_writes_per_order": {
            name: writes(scrape) / ended for name, scrape in told.items() if ended and scrape.values
        },
        "states_seconds_per_order": states(told.get("orchestrator", Scrape()), ended),
        "service_seconds_per_order": shares(told, ended),
    }


def _per_order(cores: dict[str, float], window: Window) -> dict[str, float]:
    if not window.ended:
        return {}
    return {name: each * window.seconds / window.ended for name, each in cores.items()}


def temporal_share(cores: dict[str, float]) -> float | None:
    """Temporal's share of the deployment's CPU, where it is known."""
    everything = sum(each for name, each in cores.items() if name != GENERATOR)
    return cores["temporal"] / everything if "temporal" in cores and everything > 0 else None


def _queue(window: Window, told: dict[str, Scrape], queue: str, kind: str) -> Json:
    waited = spread(told.get(queue, Scrape()), SCHEDULE_TO_START[kind], task_queue=queue)
    slots = window.slots(queue, kind)
    backlog, age = window.line(f"backlog/{queue}/{kind}"), window.line(f"age/{queue}/{kind}")
    return {
        "backlog_median": window.waiting(queue, kind),
        "backlog_mean": statistics.fmean(backlog) if backlog else None,
        "backlog_max": max(backlog, default=None),
        "age_max_seconds": max(age, default=None),
        "slots_used_mean": slots[0] if slots else None,
        "slots_mean": slots[1] if slots else None,
        "tasks": waited.count,
        "schedule_to_start_mean_seconds": waited.mean,
        "schedule_to_start_p50_seconds": waited.quantile(0.5),
        "schedule_to_start_p99_seconds": waited.quantile(0.99),
    }


def states(orchestrator: Scrape, ended: int) -> dict[str, float]:
    """Seconds that an order spends in each state, by the orchestrator's own clock."""
    sums: dict[str, float] = {}
    for labels, value in orchestrator.find(f"{STATES}_sum"):
        if value > 0:
            sums[labels["status"]] = sums.get(labels["status"], 0.0) + value
    return {name: value / ended for name, value in sums.items()} if ended else {}


def shares(told: dict[str, Scrape], ended: int) -> dict[str, dict[str, float]]:
    """Seconds of an order per service: waiting in its queue, and at work. What goes on side by side counts twice."""
    if not ended:
        return {}
    result: dict[str, dict[str, float]] = {}
    for service, scrape in told.items():
        waited = sum(scrape.total(f"{name}_sum", task_queue=service) for name in SCHEDULE_TO_START.values())
        worked = sum(scrape.total(f"{name}_sum", task_queue=service) for name in WORK)
        result[service] = {"waiting": waited / ended, "working": worked / ended}
    return result


def slope(times: Sequence[float]) -> float | None:
    """Events a second, as the line of least squares through their count over time.

    What comes in batches, as work of a fixed length on full slots does, would make a plain count of a window depend on
    where in a batch it begins and ends.
    """
    if len(times) < 3 or times[-1] <= times[0]:
        return None
    return statistics.linear_regression(times, range(len(times))).slope


def between(entries: Iterable[Entry], begin: float, end: float) -> list[Entry]:
    """Orders that ended in a stretch of time."""
    return [each for each in entries if each.ended is not None and begin <= each.ended < end]


def drained(line: Sequence[tuple[float, float]], since: float, level: float) -> float | None:
    """Seconds until a backlog is down, and stays there.

    Args:
        line: Moments and tasks.
        since: From when to count.
        level: What counts as down.

    Returns:
        From ``since`` to the first moment after which it is never above the level; None if it ends above it.
    """
    after = [(at, value) for at, value in line if at >= since]
    above = [number for number, (_, value) in enumerate(after) if value > level]
    if not above:
        return 0.0 if after else None
    return after[above[-1] + 1][0] - since if above[-1] + 1 < len(after) else None
