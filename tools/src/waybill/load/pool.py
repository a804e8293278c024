"""``waybill load scale``, the pool alone: one service's workflow straight on its queue, at saturation.

The loop is closed here, on purpose: what is asked is how much the pool does when it always has something to do, and
not how long somebody waits.
"""

import asyncio
import math
import uuid
from dataclasses import dataclass, field

from temporalio.client import Client, WorkflowFailureError

from waybill.load import views
from waybill.load.cut import keeping
from waybill.load.limits import limit
from waybill.load.measure import figures, slope
from waybill.load.options import CARRIERS, Pool
from waybill.load.outside import arranged
from waybill.load.report.axes import number
from waybill.load.report.model import Chart, Section, Series, Table
from waybill.load.session import LOOK_SECONDS, Session
from waybill.load.targets import LoadError
from waybill.load.watch import Mark

SERVICE, WORKFLOW = "shipping", "shipping.PlanShipment"
"""The wire name: tools know nothing of a service's code."""
SLOTS_SECONDS = 15.0
"""Within which new replicas tell how many slots they have."""


@dataclass
class Saturation:
    """Workflows that are begun again as soon as they end.

    Attributes:
        ends: When each ended, seconds since 1970, rising.
        failed: How many failed.
    """

    ends: list[float] = field(default_factory=list)
    failed: int = 0


@dataclass(frozen=True)
class Point:
    """One number of replicas.

    Attributes:
        replicas: How many.
        slots: Activities that all of them run at once.
        rate: Completed activities a second.
        begin: Of the steady window.
        end: Of it.
        failed: Workflows that failed.
    """

    replicas: int
    slots: float
    rate: float
    begin: Mark
    end: Mark
    failed: int


async def pool(session: Session, options: Pool) -> Section:
    """Measure the throughput of each number of replicas.

    Raises:
        LoadError: If Temporal's address is not known.
        CutShortError: If it could not go on after some points.
    """
    points: list[Point] = []
    told: list[str] = []
    with keeping(points, lambda: _section(session, options, points, told)):
        async with arranged(session, SERVICE, options.slots, options.provider_seconds) as said:
            told.extend(said)
            for replicas in options.replicas:
                if session.stop.is_set():
                    break
                session.tell(f"Pool alone: {SERVICE} with {views.replicas(replicas)}.")
                point = await saturate(session, options, replicas)
                if point is not None:
                    points.append(point)
                elif not session.stop.is_set():
                    told.append(
                        f"{views.replicas(replicas)}: too little ended in {options.seconds:g} s to be measured."
                    )
    return _section(session, options, points, told)


async def saturate(session: Session, options: Pool, replicas: int) -> Point | None:
    """Give a number of replicas more than they can do, and measure what they do.

    Args:
        session: Whose target is scaled.
        options: How long, and how much for each slot.
        replicas: How many.

    Returns:
        What they did; None if too little ended, or somebody stopped it.

    Raises:
        LoadError: If Temporal's address is not known, or the pool does not tell how many slots it has.
    """
    if (client := session.client) is None:
        raise LoadError("the pool alone is loaded through Temporal, whose address is not known (--address HOST:PORT)")
    await session.target.scale(SERVICE, replicas)
    if (slots := await _slots(session, replicas)) is None:
        return None
    done, enough = Saturation(), asyncio.Event()
    at_once = math.ceil(slots * options.per_slot / len(CARRIERS))
    run = f"{session.run}-pool-{replicas}-{uuid.uuid4().hex[:8]}"
    loops = [asyncio.create_task(_again(session, client, done, enough, f"{run}-{place}")) for place in range(at_once)]
    try:
        await session.pause(options.settle_seconds)
        begin = await session.watcher.mark()
        await session.pause(options.seconds)
        end = await session.watcher.mark()
    finally:
        enough.set()
        # Those under way end by themselves: the next point must not find their tasks in the queue.
        for failed in await asyncio.gather(*loops, return_exceptions=True):
            if isinstance(failed, Exception):
                raise failed
    rate = slope([each for each in done.ends if begin.at <= each <= end.at])
    if rate is None or session.stop.is_set():
        return None
    return Point(replicas, slots, rate * len(CARRIERS), begin, end, done.failed)


async def _slots(session: Session, replicas: int) -> float | None:
    """Slots of all replicas together, by their own word: those of a running stack are not ours to choose.

    Returns:
        None if somebody stopped it.

    Raises:
        LoadError: If they do not tell.
    """
    until = session.clock.now() + SLOTS_SECONDS
    while not session.stop.is_set():
        seen = (await session.watcher.mark()).values
        told = [
            value
            for name, value in seen.items()
            if name.startswith((f"slots/{SERVICE}/", f"slots/{SERVICE}-")) and name.endswith("/activity")
        ]
        if len(told) == replicas:
            return sum(told)
        if session.clock.now() > until:
            raise LoadError(f"{len(told)} of {views.replicas(replicas)} of {SERVICE} tell of their slots on /metrics")
        await session.pause(LOOK_SECONDS)
    return None


async def _again(session: Session, client: Client, done: Saturation, enough: asyncio.Event, name: str) -> None:
    turn = 0
    while not enough.is_set() and not session.stop.is_set():
        turn += 1
        order_id = f"{name}-{turn}"
        try:
            await client.execute_workflow(WORKFLOW, _request(order_id), id=f"plan:{order_id}", task_queue=SERVICE)
        except WorkflowFailureError:
            done.failed += 1
        else:
            done.ends.append(session.clock.now())


def _request(order_id: str) -> dict[str, object]:
    """A ``PlanRequest`` of shipping's contract, as it is on the wire."""
    return {
        "order_id": order_id,
        "currency": "EUR",
        "parcels": [{"number": 1, "warehouse": "north", "weight": 250}],
        "address": {
            "name": "Sam Sample",
            "street": "1 Canal Street",
            "city": "Amsterdam",
            "postcode": "1011AB",
            "country": "NL",
        },
    }


def _section(session: Session, options: Pool, points: list[Point], said: list[str]) -> Section:
    rows, results, warnings = [], [], list(said)
    first = points[0] if points else None
    for point in points:
        window = session.window(point.begin, point.end)
        limited, told = limit(window), figures(window)
        linear = 0.0 if first is None else first.rate * point.replicas / first.replicas
        share = point.rate / linear if linear else 0.0
        slots, busy, strangers = window.slots(SERVICE, "activity"), window.machine(), window.strangers()
        cores = window.cores()
        if limited.machine:
            warnings.append(
                f"{views.replicas(point.replicas)}: {limited.words}. The point says how much the machine can do."
            )
        rows.append(
            (
                str(point.replicas),
                number(point.rate),
                number(linear),
                f"{share:.3f}",
                "" if slots is None else f"{slots[0] / slots[1]:.1%}",
                number(window.waiting(SERVICE, "activity")),
                "" if busy is None else f"{busy:.0%}",
                "" if strangers is None else number(strangers),
                number(cores["temporal"]) if "temporal" in cores else "",
                number(sum(each for name, each in cores.items() if name.partition("-")[0] == SERVICE)),
                str(point.failed),
                limited.words,
            )
        )
        results.append(
            {
                "replicas": point.replicas,
                "slots": point.slots,
                "activities_per_second": point.rate,
                "of_linear": share,
                "activities_counted": window.grown(f"activities/{SERVICE}"),
                "workflows_failed": point.failed,
                "limited_by": limited.resource,
                "machine_was_the_limit": limited.machine,
                **told,
            }
        )
    columns = (
        *(
            "replicas",
            "activities a second",
            "linear",
            "of linear",
            "slots in use",
            "activities waiting",
            "machine busy",
        ),
        *("cores of others", "cores of Temporal", "cores of the pool", "workflows failed", "limited by"),
    )
    each_has = " or ".join(sorted({number(each.slots / each.replicas) for each in points}))
    line = Series(f"{SERVICE}, {each_has} slots each", [(float(each.replicas), each.rate) for each in points])
    reference = None
    if first is not None:
        ends = (0.0, float(points[-1].replicas))
        reference = Series("linear", [(end, end * first.rate / first.replicas) for end in ends])
    chart = Chart(
        "Throughput against replicas, the pool alone",
        "replicas (worker processes)",
        "completed activities a second",
        [line],
        reference,
        markers=True,
        note="Linear: the first point, multiplied.",
    )
    text = (
        f"{WORKFLOW} workflows straight on the queue {SERVICE}, {options.per_slot:g} activities under way or "
        f"waiting for each slot. Each asks {len(CARRIERS)} carriers side by side, which take "
        f"{options.provider_seconds:g} s to answer. Replicas are processes of their own. Throughput is the "
        f"slope of completions over {options.seconds:g} s, {options.settle_seconds:g} s after saturation began."
    )
    return Section(
        "The pool alone",
        [text],
        [chart] if points else [],
        tables=[Table("Throughput against replicas", columns, rows)],
        results={"points": results},
        warnings=warnings,
    )
