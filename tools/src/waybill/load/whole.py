"""``waybill load scale``, whole orders: a fixed rate, with one pool varied."""

from dataclasses import dataclass
from typing import Any

from waybill.load import views
from waybill.load.cut import keeping
from waybill.load.latency import Latencies
from waybill.load.limits import Limit, limit
from waybill.load.measure import Window, figures, temporal_share
from waybill.load.options import Common, Whole
from waybill.load.outside import PROVIDERS, arranged
from waybill.load.report.axes import number
from waybill.load.report.model import Chart, Section, Series, Table
from waybill.load.session import Phase, Session

TITLE = "Whole orders"
"""By which a plan knows the section that it is compared with."""


@dataclass(frozen=True)
class Point:
    """One number of replicas.

    Attributes:
        replicas: How many.
        phase: While the load was on.
        window: The same, measured.
        whole: To the end of its last order: what an order costs is of this, since each is in it whole.
        latencies: Of all orders of the phase, also those that ended after it.
        limited: By what.
    """

    replicas: int
    phase: Phase
    window: Window
    whole: Window
    latencies: Latencies
    limited: Limit


async def whole(session: Session, common: Common, options: Whole) -> Section:
    """Place orders at a fixed rate, at each number of replicas.

    Raises:
        CutShortError: If it could not go on after some points.
    """
    await session.stock_up(common.mix, common.orders(phases=len(options.replicas)))
    points: list[Point] = []
    told: list[str] = []
    first = session.clock.now()
    with keeping(points, lambda: _section(session, options, points, told, first)):
        async with arranged(session, options.service, options.slots, options.provider_seconds) as said:
            told.extend(said)
            await session.warm_up(common.mix, common.warm_up)
            for replicas in options.replicas:
                if session.stop.is_set():
                    break
                session.tell(f"Whole orders: {options.service} with {views.replicas(replicas)}.")
                points.append(await _measure(session, common, options, replicas))
    return _section(session, options, points, told, first)


async def _measure(session: Session, common: Common, options: Whole, replicas: int) -> Point:
    await session.target.scale(options.service, replicas)
    name = f"{options.service} x {replicas}"
    phase = await session.drive(name, options.arrivals.plan(), common.mix, common.bounds)
    await session.finished()
    window = session.window(phase.begin, phase.end)
    to_the_end = session.window(phase.begin, await session.watcher.mark())
    ended = [each.latency for each in session.ledger.ended(name) if each.latency is not None]
    return Point(replicas, phase, window, to_the_end, Latencies(ended), limit(window))


def _section(session: Session, options: Whole, points: list[Point], said: list[str], first: float) -> Section:
    phases = [each.phase for each in points]
    warnings = [*said, *views.pace_warnings(phases)]
    warnings += [
        f"{views.replicas(each.replicas)}: {each.limited.words}. The point says how much the machine can do."
        for each in points
        if each.limited.machine
    ]
    names = {each.name for each in phases}
    began = phases[0].begin.at if phases else first
    samples = [each for each in session.watcher.samples if each.at >= began]
    moments = [views.moment(each, began) for each in phases]
    entries = [each for each in session.ledger.entries if each.phase in names]
    by_replicas = [
        Series(f"p{percent:g}", [(float(each.replicas), each.latencies.percentile(percent) or 0.0) for each in points])
        for percent in (50.0, 95.0, 99.0)
    ]
    charts = [
        Chart(
            "Latency against replicas, whole orders",
            f"replicas of {options.service}",
            "seconds to the order's end",
            by_replicas,
            markers=True,
        ),
        views.percentiles(entries, began, moments),
        *views.backlogs(samples, began, moments),
        *views.slots(samples, began, moments),
        *views.cpu(samples, began, moments),
    ]
    rate = number(options.arrivals.rate)
    slow = options.provider_seconds and options.service in PROVIDERS
    providers = f"; its providers take {options.provider_seconds:g} s to answer" if slow else ""
    text = (
        f"{rate} orders a second for {options.arrivals.seconds:g} s, with {options.service} at "
        f"{', '.join(str(each.replicas) for each in points)} replicas{_slots(options.service, points)}{providers}. "
        "Between two points all orders came to their ends."
    )
    return Section(
        TITLE,
        [text],
        charts if points else [],
        [bars for each in points for bars in views.where_time_goes(each.window, views.replicas(each.replicas))[:1]],
        [
            Table("Whole orders against replicas", COLUMNS, [_row(options, each) for each in points]),
            *(views.titled(views.per_process(each.window), views.replicas(each.replicas)) for each in points),
        ],
        {"service": options.service, "points": [_result(each) for each in points]},
        warnings,
    )


COLUMNS = (
    *("replicas", "ended a second", "p50 s", "p95 s", "p99 s", "backlog at most", "oldest s", "slots in use"),
    *("schedule to start p99 s", "cores", "Temporal's share", "memory of the pool MiB", "limited by"),
)


def _slots(service: str, points: list[Point]) -> str:
    """Of each replica, by their own word: only on a stack of ours they are those of the options."""
    seen = [(each.window.slots(service, "activity"), each.replicas) for each in points]
    # Rounded: the first sample may be from before the last replica was ready.
    told = sorted({round(slots[1] / replicas) for slots, replicas in seen if slots is not None})
    return f" of {' or '.join(map(str, told))} slots" if told else ""


def _row(options: Whole, point: Point) -> tuple[str, ...]:
    window = point.window
    cores = window.cores()
    told: Any = figures(window)
    queue = told["queues"][f"{options.service}/activity"]
    share = temporal_share(cores)
    slots = window.slots(options.service, "activity")
    memory = sum(value for name, value in told["memory_bytes"].items() if name.partition("-")[0] == options.service)
    return (
        str(point.replicas),
        number(window.ended / window.seconds),
        *(views.seconds(point.latencies.percentile(percent)) for percent in (50.0, 95.0, 99.0)),
        views.seconds(queue["backlog_max"]),
        views.seconds(queue["age_max_seconds"]),
        "" if slots is None else f"{slots[0] / slots[1]:.0%}",
        views.seconds(queue["schedule_to_start_p99_seconds"]),
        number(sum(cores.values())),
        "" if share is None else f"{share:.0%}",
        number(memory / 2**20),
        point.limited.words,
    )


def _result(point: Point) -> dict[str, object]:
    return {
        "replicas": point.replicas,
        "orders_sent": point.phase.pace.sent,
        "to_the_end": figures(point.whole),
        "all_orders_latency_seconds": point.latencies.summary(),
        "open_loop": point.phase.pace.open,
        "limited_by": point.limited.resource,
        "machine_was_the_limit": point.limited.machine,
        **figures(point.window),
    }
