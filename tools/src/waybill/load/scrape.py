"""Reads what services tell on ``/metrics``: only the lines that a load test needs, for it pays for reading too."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

NAMES = (
    "temporal_worker_task_slots_available",
    "temporal_worker_task_slots_used",
    "temporal_workflow_task_schedule_to_start_latency_seconds",
    "temporal_activity_schedule_to_start_latency_seconds",
    "temporal_workflow_task_execution_latency_seconds",
    "temporal_activity_execution_latency_seconds",
    "temporal_local_activity_execution_latency_seconds",
    "temporal_activity_execution_failed_total",
    "temporal_sticky_cache_size",
    "order_state_duration_seconds",
    "db_client_operation_duration_seconds",
    "task_queue_backlog_tasks",
    "task_queue_backlog_age_seconds",
    "process_cpu_seconds_total",
    "process_resident_memory_bytes",
    "process_start_time_seconds",
)
"""Beginnings of the series that are read."""
WRITES = frozenset({"INSERT", "UPDATE", "DELETE"})
BORN = "process_start_time_seconds"

_LINE = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')

Labels = frozenset[tuple[str, str]]


@dataclass(frozen=True)
class Series:
    """One number, and what it is about."""

    name: str
    labels: Labels


@dataclass
class Scrape:
    """All that a process told at a moment."""

    values: dict[Series, float] = field(default_factory=dict)

    def find(self, name: str, **labels: str) -> Iterator[tuple[Mapping[str, str], float]]:
        """Series of a name that have some labels."""
        wanted = set(labels.items())
        for series, value in self.values.items():
            if series.name == name and wanted <= series.labels:
                yield dict(series.labels), value

    def total(self, name: str, **labels: str) -> float:
        """Their sum; 0 where there is none."""
        return sum(value for _, value in self.find(name, **labels))

    def __add__(self, other: "Scrape") -> "Scrape":
        values = defaultdict(float, self.values)
        for series, value in other.values.items():
            values[series] += value
        return Scrape(dict(values))

    def __sub__(self, other: "Scrape") -> "Scrape":
        return Scrape({series: value - other.values.get(series, 0.0) for series, value in self.values.items()})


def parse(text: str) -> Scrape:
    """The series of ``NAMES`` in Prometheus' text format."""
    values: dict[Series, float] = {}
    for line in text.splitlines():
        if not line.startswith(NAMES):
            continue
        match = _LINE.match(line)
        if match is None:
            continue
        labels = frozenset(_LABEL.findall(match[2] or ""))
        values[Series(match[1], labels)] = float(match[3])
    return Scrape(values)


@dataclass(frozen=True)
class Spread:
    """A histogram of a stretch of time, as Prometheus keeps one.

    Attributes:
        count: How many it counts.
        total: Their sum, seconds.
        buckets: Upper bounds, and how many were at most that, by bound.
    """

    count: float
    total: float
    buckets: tuple[tuple[float, float], ...]

    @property
    def mean(self) -> float | None:
        """Seconds; None where there are none."""
        return self.total / self.count if self.count > 0 else None

    def quantile(self, share: float) -> float | None:
        """Seconds under which that share lies, evenly spread within a bucket; None where there are none."""
        if self.count <= 0:
            return None
        wanted, below, least = share * self.count, 0.0, 0.0
        for bound, count in self.buckets:
            if count >= wanted:
                if bound == float("inf"):
                    return least
                part = (wanted - below) / (count - below) if count > below else 1.0
                return least + (bound - least) * part
            below, least = count, bound
        return least


def spread(scrape: Scrape, name: str, **labels: str) -> Spread:
    """A histogram out of the difference of two scrapes.

    Args:
        scrape: The difference.
        name: Of the histogram, without the ending.
        **labels: That its series must have; those that differ otherwise are added up.
    """
    buckets: dict[float, float] = defaultdict(float)
    for found, value in scrape.find(f"{name}_bucket", **labels):
        buckets[float(found["le"].replace("+Inf", "inf"))] += value
    ordered = tuple(sorted(buckets.items()))
    return Spread(scrape.total(f"{name}_count", **labels), scrape.total(f"{name}_sum", **labels), ordered)


class Memory:
    """What each process told last, and what all of them have counted: a counter that goes away must not fall.

    A process is known by its name and by when it was born. One that is older than the watch counts from when it was
    first seen. So where several answer in turns behind one address, each is counted for itself, while it was watched.
    """

    def __init__(self, since: float = 0.0) -> None:
        """Begin.

        Args:
            since: When the watch began, seconds since 1970.
        """
        self.now: dict[str, Scrape] = {}
        self._since = since
        self._departures: Counter[str] = Counter()
        self._first: dict[tuple[str, float], Scrape] = {}
        self._counted: dict[tuple[str, float], Scrape] = {}

    def saw(self, process: str, scrape: Scrape) -> None:
        """Take a process's scrape."""
        # Where the system does not tell when it was born, it is another one after it was away.
        life = process, scrape.total(BORN) or float(self._departures[process])
        counters = _only(scrape, gauges=False)
        first = self._first.setdefault(life, counters if life[1] < self._since else Scrape())
        self._counted[life] = counters - first
        self.now[process] = scrape

    def alive(self, names: Iterable[str]) -> None:
        """Say which processes there are."""
        for process in set(self.now) - set(names):
            self._departures[process] += 1
            del self.now[process]

    def service(self, service: str) -> Scrape:
        """All its replicas together: what those that ever told have counted, and gauges of those that are there."""
        total = Scrape()
        for (process, _), counted in self._counted.items():
            if _service(process) == service:
                total = total + counted
        for process, scrape in self.now.items():
            if _service(process) == service:
                total = total + _only(scrape, gauges=True)
        return total


def _service(process: str) -> str:
    return process.partition("-")[0]


def _only(scrape: Scrape, *, gauges: bool) -> Scrape:
    """Its gauges, or its counters."""
    counted = ("_total", "_count", "_sum", "_bucket")
    return Scrape({each: value for each, value in scrape.values.items() if each.name.endswith(counted) != gauges})
