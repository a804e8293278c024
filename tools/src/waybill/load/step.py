"""``waybill load step``: the load doubles in mid-run, replicas are added, and later taken away again with a drain."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise

from temporalio.service import RPCError

from waybill.load import anatomy, views
from waybill.load.arrivals import Leg, Plan, Spacing
from waybill.load.cut import keeping
from waybill.load.limits import limit
from waybill.load.measure import Json, drained, figures
from waybill.load.options import Common, Step
from waybill.load.outside import Run, arranged, directed
from waybill.load.report.axes import number
from waybill.load.report.model import Moment, Section, Table
from waybill.load.session import Session
from waybill.load.watch import Mark
from waybill.stack.waiting import together

DOWN = 2.0
"""Tasks that wait, up to which a backlog counts as drained."""
DOUBLED, HALVED = "load doubled", "load halved"
READY = "replicas ready"
PARTS = ("before", "at twice the load", "after")
LOOKED_AT = 40
"""Orders under way during the drain whose histories are read, at most."""


@dataclass
class Happened:
    """What happened when: marks by name, in their order.

    Attributes:
        marks: Of the director.
        under_way: Orders that had not ended when the load was halved, and with it the drain began.
    """

    marks: dict[str, Mark] = field(default_factory=dict)
    under_way: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Draining:
    """How long a backlog took to drain from a moment on.

    Attributes:
        key: Of the moment, for a machine.
        since: The moment's name.
        seconds: From it until the backlog was gone; None if it was not, while the load of that time lasted.
        until: What came first then.
    """

    key: str
    since: str
    seconds: float | None
    until: str

    @property
    def words(self) -> str:
        """For a cell of a table."""
        return f"not before {self.until}" if self.seconds is None else f"{self.seconds:.0f}"


def drains(line: Sequence[tuple[float, float]], marks: Mapping[str, Mark], end: float) -> list[Draining]:
    """How long a backlog took to drain: under twice the load, from two moments on, and after it.

    What drains when the load is halved drains because less comes, whatever the replicas do. So that counts by itself.

    Args:
        line: Moments and tasks.
        marks: By name, in their order.
        end: Of the run.
    """
    halved = marks[HALVED].at if HALVED in marks else end
    # Replicas that came when the load had gone drained nothing of what it left.
    ready = next((name for name, mark in marks.items() if name.endswith(READY) and mark.at < halved), "")
    looked_at = (
        ("doubled", DOUBLED, halved, "the load was halved"),
        ("ready", ready, halved, "the load was halved"),
        ("halved", HALVED, end, "the end"),
    )
    return [
        Draining(key, name, drained([each for each in line if each[0] <= until], marks[name].at, DOWN), words)
        for key, name, until, words in looked_at
        if name in marks
    ]


async def step(session: Session, common: Common, options: Step) -> Section:
    """Run the whole of it: before, twice the load, more replicas, the load of before, fewer replicas.

    Raises:
        CutShortError: If it could not go on after the load, or some of it.
    """
    await session.stock_up(common.mix, common.orders())
    happened = Happened()
    runs: list[Run] = []
    told: list[str] = []
    with keeping(runs, lambda: _section(session, options, runs[0], happened, told)):
        async with arranged(session, options.service, options.slots, options.provider_seconds) as said:
            told.extend(said)
            if not options.outside:
                await session.target.scale(options.service, options.replicas[0])
            await session.warm_up(common.mix, common.warm_up)
            middle = options.react_seconds + options.after_seconds
            legs = (
                Leg(options.before_seconds, options.rate, options.rate),
                Leg(middle, 2 * options.rate, 2 * options.rate),
                Leg(options.down_seconds, options.rate, options.rate),
            )
            drive = partial(session.drive, "step", Plan(legs, Spacing.POISSON), common.mix, common.bounds)
            runs.append(await directed(session, partial(_direct, session, options, happened), drive))
            runs[0].check()
    looked = await _looked_at(session, happened, told)
    return _section(session, options, runs[0], happened, told, looked=looked)


async def _direct(session: Session, options: Step, happened: Happened, began: float) -> None:
    """Mark what the load does, and scale, at the given moments: neither waits for what the other takes long for."""
    doubled = began + options.before_seconds
    scaled = doubled + options.react_seconds
    halved = scaled + options.after_seconds
    down = asyncio.Event()

    async def mark(name: str) -> None:
        happened.marks[name] = await session.watcher.mark()
        session.tell(f"Step: {name}.")

    async def marks() -> None:
        if await _comes(session, doubled):
            await mark(DOUBLED)
        if await _comes(session, halved):
            await mark(HALVED)
            happened.under_way = [each.order_id for each in session.ledger.lost()]
            down.set()

    async def scales() -> None:
        few, many = options.replicas
        if not await _comes(session, scaled):
            return
        await mark(f"scaling to {many}")
        await session.unless_stopped(session.target.scale(options.service, many))
        if session.stop.is_set():
            return
        await mark(f"{many} {READY}")
        await session.unless_stopped(down.wait())
        if session.stop.is_set():
            return
        await mark(f"draining to {few}")
        await session.unless_stopped(session.target.scale(options.service, few))
        if not session.stop.is_set():
            await mark(f"{views.replicas(few)} left")

    await together([marks()] if options.outside else [marks(), scales()])


async def _comes(session: Session, moment: float) -> bool:
    """Wait for a moment; whether it came before somebody stopped the test."""
    await session.pause(max(moment - session.clock.now(), 0.0))
    return not session.stop.is_set()


async def _looked_at(session: Session, happened: Happened, told: list[str]) -> list[anatomy.Anatomy] | None:
    """Histories of orders that were under way during the drain; None where there is none to be read."""
    if not happened.under_way or session.client is None or session.stop.is_set():
        return None
    try:
        return await anatomy.dissect_all(session.client, happened.under_way[:LOOKED_AT])
    except RPCError as error:
        told.append(f"Whether an activity was lost is not known: histories could not be read: {error}.")
        return None


def _section(
    session: Session,
    options: Step,
    run: Run,
    happened: Happened,
    said: Sequence[str],
    *,
    looked: Sequence[anatomy.Anatomy] | None = None,
) -> Section:
    phase, last = run.phase, run.last
    began = phase.begin.at
    samples = [each for each in session.watcher.samples if each.at >= began]
    moments = [Moment(mark.at - began, name) for name, mark in happened.marks.items()]
    line = views.line(samples, 0.0, views.of_both_kinds(f"backlog/{options.service}"))
    marks = happened.marks
    whole = session.window(phase.begin, last)
    bounds = [phase.begin, *(marks[name] for name in (DOUBLED, HALVED) if name in marks), last]
    parts = dict(zip(PARTS, (session.window(*pair) for pair in pairwise(bounds)), strict=False))
    failed = sum(whole.grown(name) for name in last.values if name.startswith("activities_failed/"))
    results: dict[str, object] = {
        **figures(whole),
        "marks_seconds": {name: mark.at - began for name, mark in marks.items()},
        "backlog_max": max((value for _, value in line), default=None),
        "activity_attempts_failed": failed,
        "limited_by": {part: limit(window).resource for part, window in parts.items()},
        "open_loop": phase.pace.open,
    }
    rows = [("backlog at most, tasks", number(max((value for _, value in line), default=0.0)))]
    drainings = drains(line, marks, last.at)
    results |= {f"drained_seconds_after_{each.key}": each.seconds for each in drainings}
    rows += [(f"backlog drained, seconds after: {each.since}", each.words) for each in drainings]
    if looked is not None:
        results["drain"], told = _of_the_drain(happened.under_way, looked)
        rows += told
    rows.append(("attempts at activities that failed, whole run, all pools", number(failed)))
    text = [_planned(options)]
    if missing := [name for name in (DOUBLED, HALVED) if name not in marks]:
        text.append(f"It ended before this came: {missing[0]}.")
    if drainings:
        said_of_them = "; ".join(f"{each.since}, {each.words}" for each in drainings)
        text.append(f"Seconds until the backlog was gone: {said_of_them}.")
    entries = [each for each in session.ledger.entries if each.phase == phase.name]
    return Section(
        "A step up, and down",
        text,
        [
            *views.backlogs(samples, began, moments),
            views.percentiles(entries, began, moments),
            *views.slots(samples, began, moments),
            *views.cpu(samples, began, moments),
        ],
        tables=[Table("The step", ("what", "value"), rows), views.per_queue(whole)],
        results=results,
        warnings=[*said, *views.pace_warnings([phase]), *views.machine_warnings(parts)],
    )


def _planned(options: Step) -> str:
    """What was to be done, in words."""
    text = f"{number(options.rate)} orders a second, then {number(2 * options.rate)}; "
    if options.outside:
        middle = options.react_seconds + options.after_seconds
        return f"{text}{middle:g} s later the load is as before. An outside autoscaler adds and takes away replicas."
    return (
        f"{text}{options.react_seconds:g} s later replicas are added ({options.replicas[0]} to {options.replicas[1]} "
        f"of {options.service}); {options.after_seconds:g} s later the load is as before, and the surplus is drained."
    )


def _of_the_drain(under_way: Sequence[str], looked: Sequence[anatomy.Anatomy]) -> tuple[Json, list[tuple[str, str]]]:
    """What became of the orders that were under way, for a machine and for the table."""
    highest = max((each.attempts for each in looked), default=0)
    lost = sum(each.lost for each in looked)
    repeated = [words for each in looked for words in each.repeated]
    results: Json = {
        "orders_looked_at": len(looked),
        "highest_attempt": highest,
        "activities_repeated": repeated,
        "activities_lost": lost,
    }
    return results, [
        ("orders under way when the load was halved", str(len(under_way))),
        ("of these, histories read", str(len(looked))),
        ("highest attempt at any of their activities (1: none was repeated)", str(highest)),
        ("their activities that were repeated", str(len(repeated))),
        *(("repeated", words) for words in repeated),
        ("their activities that timed out or failed", str(lost)),
    ]
