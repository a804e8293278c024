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


def write(folder: Path, document: Document) -> Path:
    """Write page and document, and a table for each table of the report; tables of a report before it are deleted.

    Returns:
        Where the page is.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for stale in _of_before(folder):
        (folder / stale).unlink(missing_ok=True)
    (folder / DOCUMENT).write_text(json.dumps(document.as_json(), indent=1) + "\n", encoding="utf-8")
    (folder / PAGE).write_text(page(document), encoding="utf-8")
    names = _names([(section.title, [table.title for table in section.tables]) for section in document.sections])
    tables = [table for section in document.sections for table in section.tables]
    for name, table in zip(names, tables, strict=True):
        _write(folder / name, table.columns, table.rows)
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


def _names(titles: Iterable[tuple[str, Iterable[str]]]) -> list[str]:
    """Of the tables' files, by each section's title and those of its tables."""
    names = []
    for number, (section, tables) in enumerate(titles, 1):
        taken: set[str] = set()
        for table in tables:
            name = _unlike(taken, "-".join([f"{number:02}", *_words(section), *_words(table)]))
            names.append(f"{name}.csv")
    return names


def _of_before(folder: Path) -> list[str]:
    """Tables of the report that is in a folder already."""
    try:
        sections = json.loads((folder / DOCUMENT).read_text(encoding="utf-8"))["sections"]
        return _names([(each["title"], [table["title"] for table in each["tables"]]) for each in sections])
    except (OSError, ValueError, KeyError, TypeError):
        # There is no report, or it is not one of ours: then no table is either.
        return []


def _unlike(taken: set[str], name: str) -> str:
    """A name that is not taken, and is from now on: the name itself, or with the first number that makes it one."""
    free = next(each for each in chain([name], (f"{name}-{number}" for number in count(2))) if each not in taken)
    taken.add(free)
    return free


def _words(text: str) -> list[str]:
    return "".join(letter if letter.isalnum() else " " for letter in text.lower()).split()
