"""``waybill load isolate``: one pool is starved, or its provider slow; what do the others, and their orders, feel?"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

from waybill.load import views
from waybill.load.arrivals import Plan, Spacing, constant
from waybill.load.cut import keeping
from waybill.load.latency import Latencies
from waybill.load.limits import limit
from waybill.load.measure import Window, drained, figures
from waybill.load.mix import Mix
from waybill.load.options import Common, Isolate
from waybill.load.orders import Entry
from waybill.load.outside import Run, arranged, directed, slowed
from waybill.load.report.axes import number
from waybill.load.report.model import Chart, Moment, Section, Series, Table
from waybill.load.session import Session
from waybill.load.targets import LoadError
from waybill.load.watch import KINDS, Mark
from waybill.stack import SERVICES

NEEDLESS: Mapping[str, float] = {"out-of-stock": 1, "price-changed": 1}
"""Orders that end in inventory: what comes after it they do not need."""
NEEDED_BY_ALL = frozenset({"orchestrator", "inventory"})
PARTS = ("before", "fault", "after")
PERCENTS = (50.0, 90.0, 95.0)
DOWN = 2.0


def both_kinds(options: Isolate) -> Mix:
    """Orders that need the pool, and orders that do not."""
    shares = {name: options.needless * part / sum(NEEDLESS.values()) for name, part in NEEDLESS.items()}
    return Mix({"fulfilled": 1 - options.needless, **shares})


@dataclass
class Marks:
    """Moments between the parts."""

    fault: Mark | None = None
    mended: Mark | None = None


async def isolate(session: Session, common: Common, options: Isolate) -> Section:
    """Run the three parts under one load: of what all experiments share all counts but the mix.

    Raises:
        LoadError: If every order needs the pool.
        CutShortError: If it could not go on after the load, or some of it.
    """
    if options.service in NEEDED_BY_ALL:
        raise LoadError(
            f"every order needs {options.service}: there is none to compare with; take payments or shipping"
        )
    mix = both_kinds(options)
    await session.stock_up(mix, common.orders())
    marks = Marks()
    seconds = options.before_seconds + options.fault_seconds + options.after_seconds
    runs: list[Run] = []
    told: list[str] = []
    with keeping(runs, lambda: _section(session, options, runs[0], marks, told)):
        async with arranged(session, options.service, options.slots, 0) as said:
            told.extend(said)
            await session.warm_up(mix, common.warm_up)
            plan = Plan(constant(options.rate, seconds), Spacing.POISSON)
            drive = partial(session.drive, "isolate", plan, mix, common.bounds)
            runs.append(await directed(session, partial(_direct, session, options, marks), drive))
            runs[0].check()
    return _section(session, options, runs[0], marks, told)


async def _direct(session: Session, options: Isolate, marks: Marks, began: float) -> None:
    await session.pause(max(began + options.before_seconds - session.clock.now(), 0.0))
    fault = await session.watcher.mark()
    if session.stop.is_set():
        return
    async with _faulty(session, options):
        session.tell(f"Isolate: {_fault(options)}.")
        # Also where somebody stopped it half-way: some replicas may have gone by then.
        marks.fault = fault
        await session.pause(max(fault.at + options.fault_seconds - session.clock.now(), 0.0))
        stopped = session.stop.is_set()
    if not stopped:
        marks.mended = await session.watcher.mark()
    session.tell("Isolate: mended.")


@asynccontextmanager
async def _faulty(session: Session, options: Isolate) -> AsyncIterator[None]:
    """Let the fault be; afterwards it is mended."""
    if options.how == "slow":
        async with slowed(session, options.service, options.provider_seconds):
            yield
        return
    replicas = max(session.target.replicas(options.service), 1)
    try:
        await session.unless_stopped(session.target.scale(options.service, 0))
        yield
    finally:
        await session.target.scale(options.service, replicas)


def _fault(options: Isolate) -> str:
    if options.how == "slow":
        return f"the providers of {options.service} take {options.provider_seconds:g} s"
    return f"{options.service} has no replica"


def _section(session: Session, options: Isolate, run: Run, marks: Marks, said: Sequence[str]) -> Section:
    phase = run.phase
    began = phase.begin.at
    entries = [each for each in session.ledger.entries if each.phase == phase.name]
    bounds = [phase.begin, *(mark for mark in (marks.fault, marks.mended) if mark is not None), run.last]
    # Where it ended early, the parts that did not come are none: they have no figures.
    windows = dict(zip(PARTS, (session.window(*pair) for pair in pairwise(bounds)), strict=False))
    later = [part for part in PARTS[1:] if part in windows]
    by_part = {
        part: [each for each in entries if window.begin.at <= each.intended < window.end.at]
        for part, window in windows.items()
    }
    needless = {part: [each for each in found if each.kind.name in NEEDLESS] for part, found in by_part.items()}
    needing = {part: [each for each in found if each.kind.name not in NEEDLESS] for part, found in by_part.items()}
    moments = [
        Moment(mark.at - began, words)
        for mark, words in ((marks.fault, _fault(options)), (marks.mended, "mended"))
        if mark is not None
    ]
    samples = [each for each in session.watcher.samples if each.at >= began]
    line = views.line(samples, 0.0, views.of_both_kinds(f"backlog/{options.service}"))
    ratios = {
        (who, part, percent): _ratio(parts, part, percent)
        for who, parts in (("needless", needless), ("needing", needing))
        for part in later
        for percent in PERCENTS
    }
    recovered = None if marks.mended is None else drained(line, marks.mended.at, DOWN)
    results: dict[str, object] = {
        "fault": None if marks.fault is None else _fault(options),
        "needless_p50_ratio": ratios.get(("needless", "fault", 50.0)),
        "needless_p95_ratio": ratios.get(("needless", "fault", 95.0)),
        "latency_ratios_to_before": {
            who: {part: {f"p{percent:g}": ratios[who, part, percent] for percent in PERCENTS} for part in later}
            for who in ("needless", "needing")
        },
        "recovered_seconds": recovered,
        "parts": {part: figures(window) for part, window in windows.items()},
        "needless_latency_seconds": {part: _latencies(found).summary() for part, found in needless.items()},
        "needing_latency_seconds": {part: _latencies(found).summary() for part, found in needing.items()},
        "limited_by": {part: limit(window).resource for part, window in windows.items()},
        "open_loop": phase.pace.open,
    }
    text = _text(options, marks, ratios)
    if recovered is not None:
        text.append(f"The pool's backlog was gone {recovered:.0f} s after it was mended.")
    charts = [
        _p95({f"need {options.service}": needing, "do not need it": needless}, began, moments),
        *views.backlogs(samples, began, moments),
        *views.slots(samples, began, moments),
    ]
    return Section(
        f"Isolation: {'the fault did not begin' if marks.fault is None else _fault(options)}",
        text,
        charts,
        tables=[
            Table(
                "Latency",
                views.LATENCY_COLUMNS,
                [
                    views.latency_row(f"{words}, {part}", found)
                    for words, parts in (("do not need it", needless), (f"need {options.service}", needing))
                    for part, found in parts.items()
                ],
            ),
            Table(
                "Latency against before",
                ("orders", *(f"p{percent:g}" for percent in PERCENTS)),
                [
                    (f"{words}, {part}", *(views.seconds(ratios[who, part, percent]) for percent in PERCENTS))
                    for words, who in (("do not need it", "needless"), (f"need {options.service}", "needing"))
                    for part in later
                ],
            ),
            _queues(windows),
        ],
        results=results,
        warnings=[*said, *views.pace_warnings([phase]), *views.machine_warnings(windows)],
    )


def _text(options: Isolate, marks: Marks, ratios: Mapping[tuple[str, str, float], float | None]) -> list[str]:
    """What was done and what came out, as far as it came."""
    what = (
        f"{number(options.rate)} orders a second, of which {options.needless:.0%} do not need {options.service}: "
        "they are refused in inventory."
    )
    if marks.fault is None:
        return [f"{what} It ended before the fault began."]
    lasted = "which was cut short" if marks.mended is None else f"for {options.fault_seconds:g} s"
    text = [
        f"{what} After {options.before_seconds:g} s {_fault(options)}, {lasted}.",
        (
            f"Latency of the orders that do not need it, while the fault lasted against before: p50 "
            f"{_times(ratios['needless', 'fault', 50.0])}, p95 {_times(ratios['needless', 'fault', 95.0])}."
        ),
    ]
    if marks.mended is not None:
        text.append(
            f"After it, against before: p50 {_times(ratios['needless', 'after', 50.0])}, p95 "
            f"{_times(ratios['needless', 'after', 95.0])}. Then the orders that were pent up come through all at once, "
            "and all orders share what pools do not keep apart: the orchestrator's pool, Temporal, the database server "
            "and the machines."
        )
    return text


def _queues(windows: Mapping[str, Window]) -> Table:
    """How long tasks of each pool waited, part by part."""
    told: dict[str, Any] = {part: figures(window)["queues"] for part, window in windows.items()}
    rows = []
    for queue in SERVICES:
        for kind in KINDS:
            name = f"{queue}/{kind}"
            cells = [
                views.seconds(told[part][name][figure])
                for figure in ("schedule_to_start_mean_seconds", "schedule_to_start_p99_seconds", "backlog_max")
                for part in windows
            ]
            rows.append((name.replace("/", ", "), *cells))
    columns = [
        f"{figure}, {part}" for figure in ("waited s, mean", "waited s, p99", "backlog at most") for part in windows
    ]
    return Table("The other pools", ("queue", *columns), rows)


def _latencies(entries: list[Entry]) -> Latencies:
    return Latencies(each.latency for each in entries if each.latency is not None)


def _ratio(parts: Mapping[str, list[Entry]], part: str, percent: float) -> float | None:
    """Latency in a part by that before; None where no order ended in one of them."""
    before, then = (_latencies(parts[name]).percentile(percent) for name in ("before", part))
    return then / before if before and then else None


def _times(ratio: float | None) -> str:
    return "not known" if ratio is None else f"{ratio:.2f} times"


def _p95(found: Mapping[str, Mapping[str, list[Entry]]], began: float, moments: Sequence[Moment]) -> Chart:
    lines, notes = [], []
    for name, parts in found.items():
        each = views.percentiles([entry for entries in parts.values() for entry in entries], began, percents=(95.0,))
        lines.append(Series(name, each.series[0].points))
        notes.append(f"Orders that {name}: {each.note}")
    title = "Orders that need the pool, and orders that do not"
    return Chart(title, views.SECONDS, "seconds to the end, p95", lines, moments=moments, note=" ".join(notes))
