"""``waybill load``: orders at a rate, and what came of them."""

from waybill.load import anatomy, views
from waybill.load.limits import limit
from waybill.load.measure import figures
from waybill.load.options import Arrivals, Common
from waybill.load.orders import Entry
from waybill.load.report.axes import number
from waybill.load.report.model import Chart, Section, Series, Table
from waybill.load.session import Phase, Session


async def plain(session: Session, common: Common, arrivals: Arrivals, name: str = "load") -> Section:
    """Place orders by a plan, wait for their ends, and describe what was seen.

    Returns:
        What stands in the report, also where somebody stopped it half-way.
    """
    await session.stock_up(common.mix)
    await session.warm_up(common.mix, common.warm_up)
    phase = await session.drive(name, arrivals.plan(), common.mix, common.bounds)
    await session.finished()
    whole = session.window(phase.begin, await session.watcher.mark())
    section = await describe(session, phase, common, "Orders at a rate")
    samples = [each for each in session.watcher.samples if each.at >= phase.begin.at]
    began = phase.begin.at
    charts = [
        views.percentiles(_of(session, phase), began),
        *views.backlogs(samples, began),
        _rates(session, phase),
        *views.cpu(samples, began),
    ]
    return Section(
        section.title,
        section.text,
        charts,
        views.where_time_goes(whole),
        section.tables,
        section.results,
        views.pace_warnings([phase]),
    )


def _of(session: Session, phase: Phase) -> list[Entry]:
    return [each for each in session.ledger.entries if each.phase == phase.name]


async def describe(session: Session, phase: Phase, common: Common, title: str) -> Section:
    """Figures and tables of one phase."""
    window = session.window(phase.begin, phase.end)
    entries = _of(session, phase)
    ended = [each for each in entries if each.ended is not None]
    wrong = [each for each in ended if not each.right]
    errors = [each for each in entries if each.error]
    limited = limit(window)
    kinds = sorted({each.kind.name for each in entries})
    results: dict[str, object] = {
        **figures(window),
        "orders_sent": phase.pace.sent,
        "orders_held_by_bound": phase.pace.held,
        "orders_sent_late": phase.pace.late,
        "open_loop": phase.pace.open,
        "orders_with_errors": len(errors),
        "orders_that_ended_otherwise": len(wrong),
        "limited_by": limited.resource,
        "shares": common.mix.shares(),
        "clock_skew_seconds": session.ledger.skew.seconds,
        "looks_failed": session.ledger.failed_looks,
        "samples_failed": session.watcher.failures,
    }
    if session.client is not None and common.histories and not session.stop.is_set():
        sent = [each.order_id for each in ended if each.right and not each.kind.refused]
        results["anatomy"] = anatomy.summary(await anatomy.dissect_all(session.client, sent[-common.histories :]))
    rate = number(window.ended / window.seconds) if window.seconds else "0"
    return Section(
        title,
        [
            f"{phase.pace.sent} orders were sent in {phase.end.at - phase.begin.at:.0f} s, {rate} a second ended meanwhile. "
            f"{len(errors)} got no answer or a wrong one, {len(wrong)} ended otherwise than they should.",
            f"What limited it: {limited.words}.",
        ],
        tables=[
            Table(
                "Latency from the intended start",
                views.LATENCY_COLUMNS,
                [
                    views.latency_row("all", ended),
                    *(views.latency_row(name, [each for each in ended if each.kind.name == name]) for name in kinds),
                ],
            ),
            views.per_queue(window),
            views.per_process(window),
        ],
        results=results,
    )


def _rates(session: Session, phase: Phase) -> Chart:
    """Orders that were due, and orders that ended, each second."""
    began = phase.begin.at

    def each_second(times: list[float]) -> list[tuple[float, float]]:
        counts: dict[int, int] = {}
        for at in times:
            counts[int(at - began)] = counts.get(int(at - began), 0) + 1
        return [(second + 0.5, float(counts.get(second, 0))) for second in range(max(counts, default=0) + 1)]

    entries = _of(session, phase)
    return Chart(
        "Orders",
        views.SECONDS,
        "orders a second",
        [
            Series("to begin", each_second([each.intended for each in entries])),
            Series("ended", each_second([each.ended for each in entries if each.ended is not None])),
        ],
    )
