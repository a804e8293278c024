"""``waybill load``: orders at a rate, and what came of them."""

from collections import Counter
from collections.abc import Mapping, Sequence

from temporalio.service import RPCError

from waybill.load import anatomy, views
from waybill.load.limits import limit
from waybill.load.measure import Window, figures
from waybill.load.options import Arrivals, Common
from waybill.load.orders import Entry
from waybill.load.report.axes import number
from waybill.load.report.model import Chart, Section, Series, Table
from waybill.load.session import Phase, Session

TITLE = "Orders at a rate"
"""By which a plan knows the section that it is made from."""


async def plain(session: Session, common: Common, arrivals: Arrivals, name: str = "load") -> Section:
    """Place orders by a plan, wait for their ends, and describe what was seen.

    Returns:
        What stands in the report, also where somebody stopped it half-way.
    """
    await session.stock_up(common.mix, common.orders())
    await session.warm_up(common.mix, common.warm_up)
    before = await session.target.database_bytes()
    phase = await session.drive(name, arrivals.plan(), common.mix, common.bounds)
    await session.finished()
    said = await _delivered(session, common)
    growth = await _growth(session, before)
    whole = session.window(phase.begin, await session.watcher.mark())
    entries = [each for each in session.ledger.entries if each.phase == phase.name]
    results = _results(session, phase, whole, common)
    found, unread = await _histories(session, phase, common)
    results |= found
    results["db_bytes_per_order"] = {name: value / whole.ended for name, value in growth.items() if whole.ended}
    ended = [each for each in entries if each.ended is not None]
    wrong = sum(not each.right for each in ended)
    errors = sum(bool(each.error) for each in entries)
    arriving = session.window(phase.begin, phase.end)
    rate = number(arriving.ended / arriving.seconds) if arriving.seconds else "0"
    samples = [each for each in session.watcher.samples if each.at >= phase.begin.at]
    began = phase.begin.at
    kinds = sorted({each.kind.name for each in entries})
    rows = [views.latency_row("all", ended)]
    rows += [views.latency_row(kind, [each for each in ended if each.kind.name == kind]) for kind in kinds]
    return Section(
        TITLE,
        [
            (
                f"{phase.pace.sent} orders were sent in {arriving.seconds:.0f} s, and {rate} a second ended meanwhile. "
                f"{errors} got no answer or a wrong one, {wrong} ended otherwise than they should."
            ),
            f"What limited it: {limit(arriving).words}.",
        ],
        [
            views.percentiles(entries, began),
            *views.backlogs(samples, began),
            _rates(entries, began),
            *views.cpu(samples, began),
        ],
        views.where_time_goes(whole),
        [
            Table("Latency from the intended start", views.LATENCY_COLUMNS, rows),
            views.per_queue(arriving),
            views.per_process(whole),
        ],
        {**results, "orders_with_errors": errors, "orders_that_ended_otherwise": wrong},
        [*said, *unread, *views.pace_warnings([phase])],
    )


async def _delivered(session: Session, common: Common) -> list[str]:
    if common.delivery_seconds is None or session.stop.is_set():
        return []
    session.tell("All orders have ended. Waiting for their parcels.")
    try:
        left = await session.delivered(common.delivery_seconds)
    except RPCError as error:
        return [f"Whether parcels came to their ends is not known, since Temporal did not tell: {error}."]
    return [f"{left} parcels did not come to their ends: what that costs is not in it."] if left else []


async def _growth(session: Session, before: Mapping[str, int]) -> dict[str, int]:
    """By how many bytes each service's database grew."""
    after = await session.target.database_bytes()
    return {name: size - before[name] for name, size in after.items() if name in before}


def _results(session: Session, phase: Phase, whole: Window, common: Common) -> dict[str, object]:
    """Figures for machines: of the whole, from the first order's start to the last one's end, and while orders came.

    What an order costs is of the whole: each of its orders begins and ends in it.
    """
    arriving = session.window(phase.begin, phase.end)
    return {
        **figures(whole),
        "while_orders_came": figures(arriving),
        "orders_sent": phase.pace.sent,
        "orders_held_by_bound": phase.pace.held,
        "orders_sent_late": phase.pace.late,
        "open_loop": phase.pace.open,
        "limited_by": limit(arriving).resource,
        "shares": common.mix.shares(),
        "clock_skew_seconds": session.ledger.skew.seconds,
        "looks_failed": session.ledger.failed_looks,
        "samples_failed": session.watcher.failures,
    }


async def _histories(session: Session, phase: Phase, common: Common) -> tuple[dict[str, object], list[str]]:
    """What orders leave in Temporal, by kind, and which kinds' histories could not be read.

    They are read when all is measured: what was measured must not be lost with them.
    """
    if session.client is None or session.stop.is_set():
        return {}, []
    by_kind: dict[str, list[str]] = {}
    for entry in session.ledger.ended(phase.name):
        if entry.right:
            by_kind.setdefault(entry.kind.name, []).append(entry.order_id)
    found: dict[str, object] = {}
    unread: list[str] = []
    for kind, ids in by_kind.items():
        if not common.histories:
            break
        try:
            read = await session.unless_stopped(anatomy.dissect_all(session.client, ids[-common.histories :]))
        except RPCError as error:
            unread.append(f"Histories of orders of kind {kind} could not be read: {error}.")
        else:
            found[kind] = anatomy.summary(read or [])
    return {"anatomy": found}, unread


def _rates(entries: Sequence[Entry], began: float) -> Chart:
    """Orders that were due, and orders that ended, each second."""
    due = [each.intended - began for each in entries]
    ended = [each.ended - began for each in entries if each.ended is not None]
    last = int(max([*due, *ended], default=0.0))

    def each_second(times: Sequence[float]) -> list[tuple[float, float]]:
        counts = Counter(int(at) for at in times)
        return [(second + 0.5, float(counts[second])) for second in range(last + 1)]

    series = [Series("to begin", each_second(due)), Series("ended", each_second(ended))]
    return Chart("Orders", views.SECONDS, "orders a second", series)
