"""Writes a report: the page, the document, and tables of all samples and orders."""

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, count
from pathlib import Path

from waybill.load.orders import Entry
from waybill.load.report.model import Document
from waybill.load.report.page import page
from waybill.load.watch import Sample

Rows = Iterable[Sequence[object]]
PAGE, DOCUMENT = "report.html", "report.json"
TABLES = "[0-9][0-9]-*.csv"


def write(folder: Path, document: Document) -> Path:
    """Write page and document, and a table for each table of the report; tables of a report before it are deleted.

    Returns:
        Where the page is.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / DOCUMENT).write_text(json.dumps(document.as_json(), indent=1) + "\n", encoding="utf-8")
    (folder / PAGE).write_text(page(document), encoding="utf-8")
    for stale in folder.glob(TABLES):
        stale.unlink()
    for number, section in enumerate(document.sections, 1):
        taken: set[str] = set()
        for table in section.tables:
            name = _unlike(taken, "-".join([f"{number:02}", *_words(section.title), *_words(table.title)]))
            _write(folder / f"{name}.csv", table.columns, table.rows)
    return folder / PAGE


def write_samples(path: Path, samples: Sequence[Sample], began: float) -> None:
    """Write what was seen each second: a column for each figure, empty where it was not known."""
    names = sorted({name for sample in samples for name in sample.values})
    rows = ([round(each.at - began, 3), *(each.values.get(name, "") for name in names)] for each in samples)
    _write(path, ["seconds", *names], rows)


ORDER_COLUMNS = ("order_id", "phase", "kind", "intended", "sent", "answered", "ended", "latency", "outcome", "error")


def write_orders(path: Path, entries: Iterable[Entry], began: float) -> None:
    """Write all orders; times are seconds since the beginning."""

    def since(moment: float | None) -> float | str:
        return "" if moment is None else round(moment - began, 6)

    _write(
        path,
        ORDER_COLUMNS,
        (
            [
                each.order_id,
                each.phase,
                each.kind.name,
                since(each.intended),
                since(each.sent),
                since(each.answered),
                since(each.ended),
                "" if each.latency is None else round(each.latency, 6),
                each.outcome,
                each.error,
            ]
            for each in entries
        ),
    )


def points(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    """Write rows that all have the same columns."""
    columns = list(rows[0]) if rows else []
    _write(path, columns, ([row[column] for column in columns] for row in rows))


def _write(path: Path, columns: Sequence[str], rows: Rows) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)


def _unlike(taken: set[str], name: str) -> str:
    """A name that is not taken, and is from now on: the name itself, or with the first number that makes it one."""
    free = next(each for each in chain([name], (f"{name}-{number}" for number in count(2))) if each not in taken)
    taken.add(free)
    return free


def _words(text: str) -> list[str]:
    return "".join(letter if letter.isalnum() else " " for letter in text.lower()).split()
