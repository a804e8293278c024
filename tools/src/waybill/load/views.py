"""Charts and tables that all experiments have."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from waybill.load.latency import Latencies, over_time, stretch
from waybill.load.limits import limit
from waybill.load.machine import GENERATOR
from waybill.load.measure import Window, figures, slots_of
from waybill.load.orders import Entry
from waybill.load.report.axes import number
from waybill.load.report.model import Bars, Chart, Moment, Point, Series, Table
from waybill.load.session import Phase
from waybill.load.watch import KINDS, Sample
from waybill.stack import SERVICES

SECONDS = "seconds since the beginning"
CPU = "cpu_seconds/"
APART_SECONDS = 0.5


def percentiles(
    entries: Iterable[Entry],
    began: float,
    moments: Sequence[Moment] = (),
    title: str = "",
    percents: Sequence[float] = (50.0, 95.0, 99.0),
) -> Chart:
    """Latency over time, by when an order was to begin."""
    pairs = [(each.intended - began, each.latency) for each in entries if each.latency is not None]
    width = stretch([at for at, _ in pairs])
    lines = over_time(pairs, width, percents)
    note = "At the time when an order was to begin, and from then to its last state, also if that time was not kept."
    if pairs:
        mean = len(pairs) / len(lines[percents[0]])
        note += f" Each point is a stretch of {number(width)} s, with {number(mean)} orders in the mean."
    return Chart(
        title or "Latency of orders",
        SECONDS,
        "seconds to the end",
        [Series(f"p{percent:g}", line) for percent, line in lines.items()],
        moments=moments,
        note=note,
    )


def line(samples: Iterable[Sample], began: float, figure: Callable[[Sample], float | None]) -> list[Point]:
    """A figure over time; samples that do not have it are left out."""
    pairs = ((each.at - began, figure(each)) for each in samples)
    return [(at, value) for at, value in pairs if value is not None]


def of_both_kinds(name: str) -> Callable[[Sample], float | None]:
    """A queue's figure: the sum of both kinds of tasks, or of the one that is told."""

    def figure(sample: Sample) -> float | None:
        values = [sample.values[f"{name}/{kind}"] for kind in KINDS if f"{name}/{kind}" in sample.values]
        return sum(values) if values else None

    return figure


def _max(name: str) -> Callable[[Sample], float | None]:
    def figure(sample: Sample) -> float | None:
        return max(
            (sample.values[f"{name}/{kind}"] for kind in KINDS if f"{name}/{kind}" in sample.values), default=None
        )

    return figure


def backlogs(samples: Sequence[Sample], began: float, moments: Sequence[Moment] = ()) -> list[Chart]:
    """What waits on each queue, and for how long."""
    made = []
    for title, unit, prefix, figure, note in (
        (
            "Backlog per queue",
            "tasks that wait",
            "backlog",
            of_both_kinds,
            "Workflow and activity tasks, by DescribeTaskQueue.",
        ),
        ("Age of the backlog per queue", "seconds", "age", _max, "Of the oldest task that waits."),
    ):
        series = [Series(queue, line(samples, began, figure(f"{prefix}/{queue}"))) for queue in SERVICES]
        known = [each for each in series if each.points]
        if known:
            made.append(Chart(title, SECONDS, unit, known, moments=moments, note=note))
    return made


def slots(samples: Sequence[Sample], began: float, moments: Sequence[Moment] = ()) -> list[Chart]:
    """How much of each pool's activity slots is in use."""

    def used(service: str) -> Callable[[Sample], float | None]:
        def figure(sample: Sample) -> float | None:
            pair = slots_of(sample, service, "activity")
            return 100 * pair[0] / pair[1] if pair and pair[1] else None

        return figure

    series = [Series(service, line(samples, began, used(service))) for service in SERVICES]
    known = [each for each in series if each.points]
    return [Chart("Activity slots in use", SECONDS, "percent", known, moments=moments)] if known else []


def cpu(samples: Sequence[Sample], began: float, moments: Sequence[Moment] = ()) -> list[Chart]:
    """Cores that each part uses, and the machine as a whole."""
    known = {_part(name) for each in samples for name in each.values if name.startswith(CPU)} - {GENERATOR}
    if not known:
        return []
    # Services first, so that they have the colours of their queues.
    names = [*(name for name in SERVICES if name in known), *sorted(known - set(SERVICES))]
    apart = spaced(samples)
    series = [Series(name, _cores(apart, began, name)) for name in names]
    local = any("busy_seconds" in each.values for each in samples)
    whole = Series("the machine as a whole", _busy(apart, began)) if local else None
    note = "Whole machine: all that runs on it, the load generator too." if local else ""
    drawn = [each for each in series if each.points]
    return [Chart("CPU per part", SECONDS, "cores in use", drawn, whole, moments, note=note)]


def spaced(samples: Iterable[Sample]) -> list[Sample]:
    """Samples that lie far enough apart for a rate: some are taken at moments of their own, between others."""
    kept: list[Sample] = []
    for sample in samples:
        if not kept or sample.at - kept[-1].at >= APART_SECONDS:
            kept.append(sample)
    return kept


def _cores(samples: Sequence[Sample], began: float, part: str) -> list[Point]:
    points: list[Point] = []
    before: Sample | None = None
    for sample in samples:
        names = [name for name in sample.values if name.startswith(CPU) and _part(name) == part]
        if not names:
            continue
        if before is not None:
            grown = sum(sample.values[name] - before.values.get(name, 0.0) for name in names)
            points.append((sample.at - began, grown / (sample.at - before.at)))
        before = sample
    return points


def _part(name: str) -> str:
    return name.removeprefix(CPU).partition("-")[0]


def _busy(samples: Sequence[Sample], began: float) -> list[Point]:
    return [
        (later.at - began, (later.values["busy_seconds"] - sooner.values["busy_seconds"]) / (later.at - sooner.at))
        for sooner, later in pairwise(samples)
        if "busy_seconds" in sooner.values and "busy_seconds" in later.values
    ]


def where_time_goes(window: Window, title: str = "Where an order's time goes") -> list[Bars]:
    """Per service by the SDK's histograms, and per state by the orchestrator's own."""
    told = figures(window)
    shares: Mapping[str, Mapping[str, float]] = told["service_seconds_per_order"]  # type: ignore[assignment]
    states: Mapping[str, float] = told["states_seconds_per_order"]  # type: ignore[assignment]
    made = []
    if shares:
        made.append(
            Bars(
                f"{title}: per service",
                "seconds an order",
                ("waiting in the queue", "at work"),
                [(name, (each["waiting"], each["working"])) for name, each in shares.items()],
                "By the workers' own histograms: schedule to start, execution. What goes on side by side counts twice.",
            )
        )
    if states:
        made.append(
            Bars(
                f"{title}: per state",
                "seconds an order",
                ("in the state",),
                [(name, (each,)) for name, each in states.items()],
                "An order is in one state at a time; from acceptance to its end.",
            )
        )
    return made


def seconds(value: Any) -> str:
    """A time for a table; nothing where it is not known."""
    return "" if value is None else number(float(value))


def per_process(window: Window) -> Table:
    """CPU and memory of each process."""
    told = figures(window)
    cores: Mapping[str, float] = told["cores"]  # type: ignore[assignment]
    per_order: Mapping[str, float] = told["cpu_seconds_per_order"]  # type: ignore[assignment]
    memory: Mapping[str, float] = told["memory_bytes"]  # type: ignore[assignment]
    rows = [
        (
            "load generator" if name == GENERATOR else name,
            number(cores[name]) if name in cores else "",
            number(1000 * per_order[name]) if name in per_order else "",
            number(memory[name] / 2**20) if name in memory else "gone",
        )
        for name in sorted({*memory, *cores})
    ]
    return Table("Processes", ("process", "cores", "CPU ms an order", "memory MiB"), rows)


def per_queue(window: Window) -> Table:
    """What each queue's tasks waited for."""
    told: Mapping[str, Mapping[str, Any]] = figures(window)["queues"]  # type: ignore[assignment]
    rows = []
    for name, each in told.items():
        used = each["slots_used_mean"]
        rows.append(
            (
                name.replace("/", ", "),
                seconds(each["tasks"]),
                *(seconds(each[f"schedule_to_start_{which}_seconds"]) for which in ("mean", "p50", "p99")),
                seconds(each["backlog_median"]),
                seconds(each["backlog_max"]),
                seconds(each["age_max_seconds"]),
                "" if used is None else f"{number(used)} of {number(each['slots_mean'])}",
            )
        )
    columns = ("queue", "tasks", "waited s, mean", "p50", "p99", "backlog, median", "most", "oldest s", "slots in use")
    return Table("Queues: from schedule to start", columns, rows)


def latency_row(name: str, entries: Iterable[Entry]) -> tuple[str, ...]:
    """Latencies of some orders, as a row of a table."""
    found = Latencies(each.latency for each in entries if each.latency is not None).summary()
    return (name, str(found["count"]), *(seconds(found.get(key)) for key in ("mean", "p50", "p90", "p99", "max")))


LATENCY_COLUMNS = ("orders", "ended", "mean s", "p50", "p90", "p99", "most")


def pace_warnings(phases: Iterable[Phase]) -> list[str]:
    """What must be said where the loop was not open."""
    said = []
    for phase in phases:
        pace = phase.pace
        if pace.held:
            said.append(
                f"{phase.name}: {pace.held} of {pace.sent} orders waited for the bound of orders in flight. For these "
                "the loop was closed: they were sent late, though their latency counts from the intended start."
            )
        if pace.late:
            said.append(
                f"{phase.name}: the generator itself was late with {pace.late} of {pace.sent} orders, by "
                f"{pace.latest:.2f} s at most. Their latency counts from the intended start."
            )
        if pace.cut:
            said.append(f"{phase.name}: ended early: {pace.cut}.")
    return said


def replicas(number_of: int) -> str:
    """So many, in words."""
    return f"{number_of} replica{'' if number_of == 1 else 's'}"


def machine_warnings(windows: Mapping[str, Window]) -> list[str]:
    """What must be said of stretches of time in which the machine itself was the limit."""
    limits = {name: limit(window) for name, window in windows.items()}
    return [
        f"{name}: {found.words}. What was measured then is as much the machine as the pools."
        for name, found in limits.items()
        if found.machine
    ]


def moment(phase: Phase, began: float) -> Moment:
    """The beginning of a phase, as a line in charts."""
    return Moment(phase.begin.at - began, phase.name)


def titled(table: Table, words: str) -> Table:
    """A table with some words before its title."""
    return Table(f"{words}: {table.title.lower()}", table.columns, table.rows)
