"""Sets what one run predicts beside what another measured."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from waybill.load.plain import TITLE as ORDERS_TITLE
from waybill.load.report.axes import number
from waybill.load.report.model import Section, Table
from waybill.load.whole import TITLE as WHOLE_TITLE
from waybill.planning.measured import SERVERS, Costs, PlanError, costs
from waybill.planning.queueing import busy, waiting

ALL = "all"
LEAST = 1e-3
"""Of a prediction that has a ratio: what was measured beside next to nothing is no multiple of it."""


@dataclass(frozen=True)
class Pair:
    """A figure, twice.

    Attributes:
        predicted: From the one run; infinite where it would grow without an end.
        measured: In the other; None where it is not known.
    """

    predicted: float
    measured: float | None

    @property
    def ratio(self) -> float | None:
        """Measured by predicted; None where there is none, or next to nothing was predicted."""
        if self.measured is None or not LEAST <= self.predicted < math.inf:
            return None
        return self.measured / self.predicted

    def as_json(self) -> dict[str, float | None]:
        """For a machine. JSON has no infinity."""
        predicted = self.predicted if math.isfinite(self.predicted) else None
        return {**asdict(self), "predicted": predicted, "ratio": self.ratio}


@dataclass(frozen=True)
class Comparison:
    """Of two runs.

    Attributes:
        from_rate: Orders a second in the run that the prediction is from.
        at_rate: Orders a second in the other.
        cpu: Seconds an order, by service and server, and of all.
        slots: In use, by queue and kind of tasks.
        backlog: Tasks that wait, by queue and kind of tasks.
    """

    from_rate: float
    at_rate: float
    cpu: Mapping[str, Pair]
    slots: Mapping[str, Pair]
    backlog: Mapping[str, Pair]

    def as_json(self) -> dict[str, Any]:
        """For a machine."""
        parts = {"cpu_seconds_per_order": self.cpu, "slots_in_use": self.slots, "backlog": self.backlog}
        return {
            "from_orders_per_second": self.from_rate,
            "at_orders_per_second": self.at_rate,
            **{part: {name: pair.as_json() for name, pair in pairs.items()} for part, pairs in parts.items()},
        }


def compare(basis: Costs, check: Costs) -> Comparison:
    """Predict one run from another.

    CPU of an order is taken to be the same at each rate. Slots in use follow by Little's law, and what waits for them
    by Erlang C, of as many slots as the other run had.

    Args:
        basis: Predicts.
        check: Was measured, at another rate say.
    """
    known = [name for name in basis.cpu_seconds if name in check.cpu_seconds]
    cpu = {name: Pair(basis.cpu_seconds[name], check.cpu_seconds[name]) for name in known}
    cpu[ALL] = Pair(
        math.fsum(basis.cpu_seconds[name] for name in known), math.fsum(check.cpu_seconds[name] for name in known)
    )
    slots: dict[str, Pair] = {}
    backlog: dict[str, Pair] = {}
    for service, pool in basis.pools.items():
        for kind, queue in pool.queues.items():
            name = f"{service}/{kind}"
            seen = check.seen[name]
            if queue.slot_seconds is None or not seen.slots:
                continue
            load = busy(check.orders_per_second, queue.slot_seconds)
            slots[name] = Pair(load, seen.slots_used)
            backlog[name] = Pair(waiting(load, max(round(seen.slots), 1)), seen.backlog)
    return Comparison(basis.orders_per_second, check.orders_per_second, cpu, slots, backlog)


def tables(found: Comparison) -> list[Table]:
    """The same for reading."""
    rows = [
        (SERVERS.get(name, name), number(1000 * pair.predicted), _figure(pair.measured, 1000), _figure(pair.ratio))
        for name, pair in found.cpu.items()
    ]
    waits = [
        (
            name.replace("/", ", "),
            number(slots.predicted),
            _figure(slots.measured),
            number(found.backlog[name].predicted) if math.isfinite(found.backlog[name].predicted) else "grows",
            _figure(found.backlog[name].measured),
        )
        for name, slots in found.slots.items()
    ]
    return [
        Table("CPU of an order", ("process", "predicted ms", "measured ms", "measured by predicted"), rows),
        Table(
            "Slots in use, and tasks that wait",
            ("queue", "slots, predicted", "measured", "waiting, predicted", "measured"),
            waits,
        ),
    ]


def _figure(value: float | None, times: float = 1.0) -> str:
    return "" if value is None else number(times * value)


def section(found: Comparison, basis: str, check: str, warnings: Sequence[str] = ()) -> Section:
    """A part of a report.

    Args:
        found: What to tell.
        basis: Where the prediction is from, in words.
        check: Where the measured figures are from.
        warnings: What one must know before believing it.
    """
    return Section(
        "Predicted against measured",
        [
            (
                f"Predicted from {basis}, {number(found.from_rate)} orders a second; measured in {check}, "
                f"{number(found.at_rate)} orders a second. Slots in use are predicted by Little's law, and tasks that "
                "wait for one by Erlang C: what waits beside free slots waits for a core, or for the server."
            ),
        ],
        tables=tables(found),
        results=found.as_json(),
        warnings=warnings,
    )


def of_one_report(sections: Sequence[Section]) -> Section | None:
    """Of a report with both: orders at a rate predict whole orders at the most replicas, at another rate.

    Whole orders have providers that are slow, and few slots. How long an order keeps slots of the pool that is varied
    is therefore taken from the first of its points, and all else from orders at a rate.

    Returns:
        None where one of the two is missing, since somebody stopped the test.
    """
    results = {each.title: each.results for each in sections}
    if ORDERS_TITLE not in results or len(results.get(WHOLE_TITLE, {}).get("points", ())) < 2:
        return None
    orders, points = results[ORDERS_TITLE], results[WHOLE_TITLE]["points"]
    service = results[WHOLE_TITLE]["service"]
    try:
        basis = costs(orders, orders["while_orders_came"], orders["orders_sent"])
        first, last = (costs(each["to_the_end"], each, each["orders_sent"]) for each in (points[0], points[-1]))
    except PlanError:
        return None
    pool = replace(basis.pools[service], queues=first.pools[service].queues)
    basis = replace(basis, pools={**basis.pools, service: pool})
    said = []
    if points[-1]["machine_was_the_limit"]:
        said.append("The machine was full at the second rate: what waits, waits for a core.")
    return section(
        compare(basis, last),
        f"orders at a rate ({service}'s slots: whole orders, {service} x {points[0]['replicas']})",
        f"whole orders, {service} x {points[-1]['replicas']}",
        said,
    )
