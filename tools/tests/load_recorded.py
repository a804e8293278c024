"""A load test that never was: samples, orders and a report of them, made by code."""

import math

from waybill.load import views
from waybill.load.measure import Window
from waybill.load.mix import KINDS
from waybill.load.orders import Entry
from waybill.load.report.model import Bars, Chart, Document, Moment, Section, Series, Table
from waybill.load.watch import KINDS as TASKS
from waybill.load.watch import Mark, Sample
from waybill.stack import SERVICES

BEGAN = 1_800_000_000.0
SECONDS = 60
RATE = 50


def samples() -> list[Sample]:
    """A minute in which shipping's backlog grows and drains."""
    made = []
    for second in range(SECONDS):
        values = {"busy_seconds": second * 1.6, "all_seconds": second * 2.0, "cpu_seconds/temporal": second * 0.7}
        for place, service in enumerate(SERVICES, 1):
            values[f"cpu_seconds/{service}"] = second * place / 10
            values[f"memory_bytes/{service}"] = 1.6e8
            for kind in TASKS:
                values[f"backlog/{service}/{kind}"] = float(place)
                values[f"age/{service}/{kind}"] = place / 2
            values[f"slots_used/{service}/activity"] = float(place)
            values[f"slots/{service}/activity"] = 10.0
        values["backlog/shipping/activity"] = max(0.0, 40.0 - abs(second - 30) * 2)
        made.append(Sample(BEGAN + second, values))
    return made


def entries() -> list[Entry]:
    """Fifty orders a second, of which a few take much longer than most."""
    made = []
    for number in range(RATE * SECONDS):
        intended = BEGAN + number / RATE
        latency = 0.6 + 0.3 * math.sin(number / 200) + 3 * (number % RATE / RATE) ** 8
        made.append(
            Entry(
                f"run-{number:06}",
                KINDS["fulfilled"],
                "load",
                intended,
                sent=intended,
                answered=intended + 0.02,
                accepted=True,
                ended=intended + latency,
                outcome="fulfilled",
            )
        )
    return made


def window() -> Window:
    """All of it."""
    seen = samples()
    first, last = Mark(seen[0].at, seen[0].values), Mark(seen[-1].at, seen[-1].values)
    return Window(first, last, seen, entries())


def pool() -> Chart:
    """Throughput against replicas."""
    points = [(1.0, 9.7), (2.0, 19.3), (4.0, 38.2), (8.0, 70.1)]
    linear = Series("linear", [(0.0, 0.0), (8.0, 77.6)])
    name = "Throughput against replicas, the pool alone"
    return Chart(name, "replicas", "activities a second", [Series("shipping", points)], linear, markers=True)


def document() -> Document:
    """A report with charts of each kind, and with words that a page must not take for its own."""
    seen = samples()
    moments = [Moment(20.0, "2 replicas ready")]
    section = Section(
        "Orders <at> a rate",
        ["A paragraph with a <script>alert('no')</script> in it."],
        [
            pool(),
            views.percentiles(entries(), BEGAN, moments),
            *views.backlogs(seen, BEGAN, moments),
            *views.slots(seen, BEGAN),
            *views.cpu(seen, BEGAN),
        ],
        [],
        [
            Table("Latency", views.LATENCY_COLUMNS, [views.latency_row("all", entries())]),
            views.per_queue(window()),
            views.per_process(window()),
        ],
        {"points": [1, 2]},
        ["The machine was the limit."],
    )
    bars = Bars("Where an order's time goes", "seconds", ("waiting", "at work"), [("shipping", (1.0, 2.5))])
    return Document(
        name="recorded",
        title="Load: recorded",
        began="2027-01-15T08:00:00+00:00",
        ended="2027-01-15T08:01:00+00:00",
        interrupted=False,
        verdict="300 orders sent, 300 ended; the audit checked 300 and found no violations.",
        good=True,
        sections=[section, Section("Bars", bars=[bars])],
        settings={"load.rate": 5.0},
        versions={"waybill": "0.1.0"},
        machine={"cores": 2},
    )
