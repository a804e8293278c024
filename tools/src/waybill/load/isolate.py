"""``waybill load isolate``: one pool is starved, or its provider slow; what do the others, and their orders, feel?"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from waybill.load import views
from waybill.load.arrivals import Plan, Spacing, constant
from waybill.load.latency import Latencies
from waybill.load.limits import limit
from waybill.load.measure import Window, drained, figures
from waybill.load.mix import Mix
from waybill.load.options import Common, Isolate
from waybill.load.orders import Entry
from waybill.load.outside import arranged, slow
from waybill.load.report.axes import number
from waybill.load.report.model import Chart, Moment, Section, Series, Table
from waybill.load.session import Phase, Session
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
    """
    if options.service in NEEDED_BY_ALL:
        raise LoadError(
            f"every order needs {options.service}: there is none to compare with; take payments or shipping"
        )
    mix = both_kinds(options)
    await session.stock_up(mix)
    marks = Marks()
    seconds = options.before_seconds + options.fault_seconds + options.after_seconds
    async with arranged(session, options.service, options.slots, 0) as said:
        await session.warm_up(mix, common.warm_up)
        directing = asyncio.create_task(_direct(session, options, marks))
        try:
            plan = Plan(constant(options.rate, seconds), Spacing.POISSON)
            phase = await session.drive("isolate", plan, mix, common.bounds)
            if not session.stop.is_set():
                await directing
        finally:
            directing.cancel()
            await asyncio.gather(directing, return_exceptions=True)
            if marks.fault is not None and marks.mended is None:
                await _mend(session, options, 1)
        await session.finished()
        last = await session.watcher.mark()
    return _section(session, options, phase, marks, last=last, said=said)


async def _direct(session: Session, options: Isolate, marks: Marks) -> None:
    replicas = max(session.target.replicas(options.service), 1)
    await session.pause(options.before_seconds)
    if session.stop.is_set():
        return
    marks.fault = await session.watcher.mark()
    session.tell(f"Isolate: {_fault(options)}.")
    if options.how == "slow":
        await slow(session, options.service, options.provider_seconds)
    else:
        await session.target.scale(options.service, 0)
    await session.pause(max(marks.fault.at + options.fault_seconds - session.clock.now(), 0.0))
    await _mend(session, options, replicas)
    marks.mended = await session.watcher.mark()
    session.tell("Isolate: mended.")


async def _mend(session: Session, options: Isolate, replicas: int) -> None:
    if options.how == "slow":
        await slow(session, options.service, 0)
    else:
        await session.target.scale(options.service, replicas)


def _fault(options: Isolate) -> str:
    if options.how == "slow":
        return f"the providers of {options.service} take {options.provider_seconds:g} s"
    return f"{options.service} has no replica"


def _section(session: Session, options: Isolate, phase: Phase, marks: Marks, *, last: Mark, said: list[str]) -> Section:
    began = phase.begin.at
    entries = [each for each in session.ledger.entries if each.phase == phase.name]
    bounds = [phase.begin, marks.fault or last, marks.mended or last, last]
    windows = dict(zip(PARTS, (session.window(*pair) for pair in pairwise(bounds)), strict=True))
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
    kinds = [f"backlog/{options.service}/{kind}" for kind in KINDS]
    line = [(each.at, sum(each.values.get(kind, 0.0) for kind in kinds)) for each in samples if kinds[0] in each.values]
    ratios = {
        (who, part, percent): _ratio(parts, part, percent)
        for who, parts in (("needless", needless), ("needing", needing))
        for part in PARTS[1:]
        for percent in PERCENTS
    }
    recovered = None if marks.mended is None else drained(line, marks.mended.at, DOWN)
    results: dict[str, object] = {
        "fault": _fault(options),
        "needless_p50_ratio": ratios["needless", "fault", 50.0],
        "needless_p95_ratio": ratios["needless", "fault", 95.0],
        "latency_ratios_to_before": {
            who: {part: {f"p{percent:g}": ratios[who, part, percent] for percent in PERCENTS} for part in PARTS[1:]}
            for who in ("needless", "needing")
        },
        "recovered_seconds": recovered,
        "parts": {part: figures(window) for part, window in windows.items()},
        "needless_latency_seconds": {part: _latencies(found).summary() for part, found in needless.items()},
        "needing_latency_seconds": {part: _latencies(found).summary() for part, found in needing.items()},
        "limited_by": {part: limit(window).resource for part, window in windows.items()},
        "open_loop": phase.pace.open,
    }
    text = [
        (
            f"{number(options.rate)} orders a second, of which {options.needless:.0%} do not need {options.service}: "
            f"they are refused in inventory. After {options.before_seconds:g} s {_fault(options)}, for "
            f"{options.fault_seconds:g} s."
        ),
        (
            f"Latency of the orders that do not need it, while the fault lasted against before: p50 "
            f"{_times(ratios['needless', 'fault', 50.0])}, p95 {_times(ratios['needless', 'fault', 95.0])}."
        ),
        (
            f"After it, against before: p50 {_times(ratios['needless', 'after', 50.0])}, p95 "
            f"{_times(ratios['needless', 'after', 95.0])}. Then the orders that were pent up come through all at once, "
            "and all orders share what pools do not keep apart: the orchestrator's pool, Temporal, the database server "
            "and the machines."
        ),
    ]
    if recovered is not None:
        text.append(f"The pool's backlog was gone {recovered:.0f} s after it was mended.")
    charts = [
        Chart(
            "Orders that need the pool, and orders that do not",
            views.SECONDS,
            "seconds to the end, p95",
            [
                Series(f"need {options.service}", _p95(needing, began)),
                Series("do not need it", _p95(needless, began)),
            ],
            moments=moments,
        ),
        *views.backlogs(samples, began, moments),
        *views.slots(samples, began, moments),
    ]
    return Section(
        f"Isolation: {_fault(options)}",
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
                    for part in PARTS[1:]
                ],
            ),
            _queues(windows),
        ],
        results=results,
        warnings=[*said, *views.pace_warnings([phase]), *views.machine_warnings(windows)],
    )


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
                for part in PARTS
            ]
            rows.append((name.replace("/", ", "), *cells))
    columns = [
        f"{figure}, {part}" for figure in ("waited s, mean", "waited s, p99", "backlog at most") for part in PARTS
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


def _p95(parts: Mapping[str, list[Entry]], began: float) -> list[tuple[float, float]]:
    entries = [each for found in parts.values() for each in found]
    return list(views.percentiles(entries, began).series[1].points)
