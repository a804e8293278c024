"""The tables of docs/performance.md, from the pairs measured: ``python -m waybill.bench.tables``."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from waybill.bench.files import read_pairs
from waybill.bench.harness import Result
from waybill.bench.tuning_choices import ORDERS, TWINS

FOLDER = Path("docs/performance")
DOCUMENT = Path("docs/performance.md")
COLUMNS = ("Benchmark", "Ours, against what", "Ours", "Other", "Ratio", "Of the pairs", "Unit", "Pairs")

FIGURES: Mapping[str, str] = {
    "order_cpu_vs_twin": "all processes, with databases, HTTP and telemetry, against the twin: at most 1.6",
    "order_cpu_vs_twin_workers_and_server": "without PostgreSQL and sandbox, against the twin: at most 1.25",
    "order_rate_vs_twin": "ten in flight: 0.7 or more",
    "order_latency_vs_twin": "from start to last state, ten in flight: at most 1.6",
    "events_per_order": "history events over all workflows of an order of one parcel: at most 1.15",
    "separation_cost": "the twin, against the same activities in one workflow on one queue",
    "cost_linear": "500 orders, against 100: at most 1.15",
    "worker_memory_vs_bare": "the largest idle service, against a bare worker: at most 2.2",
    "worker_start_vs_bare": "from the start to polling, against a bare worker: at most 4",
    "scale_pool_4": "four replicas of five slots, against four times one: 0.95 or more",
    "scale_pool_8": "eight replicas of five slots, against eight times one: 0.90 or more",
}
"""What the benchmarks compare that are no choice of a setting."""

TABLES: Mapping[str, Mapping[str, str]] = {
    "figures": FIGURES,
    "tuning": {choice.contest(figure): choice.note for choice in (*TWINS, *ORDERS) for figure in choice.figures},
}
"""What each contest compares, by the name of the file of pairs and the contest's."""


LOADS = ("pool-alone", "whole-orders", "step", "isolation", "isolation-ratios")
"""Tables of a load's report, as its CSV has them."""


def verbatim(path: Path) -> str:
    """A CSV file as a table."""
    head, *rows = csv.reader(path.read_text().splitlines())
    return "".join(f"| {' | '.join(row)} |\n" for row in (head, ["---"] * len(head), *rows))


def markdown(results: Sequence[Result], notes: Mapping[str, str]) -> str:
    """A table.

    Args:
        results: Of contests.
        notes: What each compares, by its name.

    Raises:
        KeyError: If one of them is no contest any more.
    """
    head = (f"| {' | '.join(COLUMNS)} |\n", f"| {' | '.join('---' for _ in COLUMNS)} |\n")
    rows = (
        f"| `{each.name}` | {notes[each.name]} | {each.ours:.3g} | {each.baseline:.3g} | {each.ratio:.2f}"
        f" | {each.lowest:.2f} to {each.highest:.2f} | {each.unit} | {each.pairs} |\n"
        for each in results
    )
    return "".join((*head, *rows))


def renewed(document: str, folder: Path) -> str:
    """A document with the tables of what was measured.

    Args:
        document: As it is. It has a place for each table, between two comments that name the file.
        folder: Of the files of pairs.

    Raises:
        ValueError: If the document has no place for one of them.
    """
    for name, notes in TABLES.items():
        document = _with(document, name, markdown(read_pairs(folder / f"{name}.csv"), notes))
    for name in LOADS:
        document = _with(document, name, verbatim(folder / f"{name}.csv"))
    return document


def _with(document: str, name: str, table: str) -> str:
    begin, end = f"<!-- {name}.csv -->\n", f"<!-- end of {name}.csv -->\n"
    if not 0 <= document.find(begin) < document.find(end):
        raise ValueError(f"the document has no {begin.strip()} before {end.strip()}")
    before, _, rest = document.partition(begin)
    _, _, after = rest.partition(end)
    return before + begin + "\n" + table + "\n" + end + after


if __name__ == "__main__":
    DOCUMENT.write_text(renewed(DOCUMENT.read_text(), FOLDER))
