"""Keeps what benchmarks measured: results for a machine, and every pair's figures."""

import csv
import json
from collections.abc import Sequence
from dataclasses import asdict
from io import StringIO
from pathlib import Path
from typing import Any

from waybill.bench.harness import BenchError, Contest, Result, result


class ReportFile:
    """The results as JSON: ``[{"name", "unit", "ours", "baseline", "ratio", "pairs", …}, …]``.

    Those of a benchmark that is run again give way to its new ones; those of others stay.
    """

    def __init__(self, path: Path) -> None:
        """Take what is there.

        Args:
            path: Of the file.

        Raises:
            BenchError: If it holds something else.
            OSError: If it cannot be read, or written.
        """
        self._path = path
        self._entries = _read_report(path) if path.exists() else []
        self._write()

    def keep(self, results: Sequence[Result]) -> None:
        """Write results.

        Args:
            results: New ones.
        """
        fresh = {result.name for result in results}
        self._entries = [entry for entry in self._entries if entry["name"] not in fresh]
        self._entries += [asdict(result) for result in results]
        self._write()

    def _write(self) -> None:
        _put(self._path, json.dumps(self._entries, indent=1) + "\n")


def _read_report(path: Path) -> list[dict[str, Any]]:
    try:
        entries = json.loads(path.read_text())
    except ValueError as error:  # it is no JSON, or no text
        raise BenchError(f"{path} is there, and is no report of benchmarks: {error}") from None
    if not isinstance(entries, list) or not all(isinstance(each, dict) and "name" in each for each in entries):
        raise BenchError(f"{path} is there, and is no report of benchmarks: it is no list of results with names")
    return entries


class PairsFile:
    """Every pair's figures as CSV. A row is there as soon as it is measured: a run that is cut short leaves them.

    Rows of a contest that is measured again give way to its new ones; those of others stay.
    """

    COLUMNS = ("name", "unit", "pair", "ours", "baseline")

    def __init__(self, path: Path, order: Sequence[str] = ()) -> None:
        """Take what is there.

        Args:
            path: Of the file.
            order: Names of contests, as their rows are to lie; those of others come last.

        Raises:
            BenchError: If it holds something else.
        """
        self._path = path
        self._places = {name: place for place, name in enumerate(order)}
        self._fresh: set[str] = set()
        self._rows: list[list[str]] = []
        if path.exists():
            self._rows = self._read()
        self._write()

    def note(self, contest: Contest, number: int, ours: float, baseline: float) -> None:
        """Add a pair."""
        if contest.name not in self._fresh:
            self._fresh.add(contest.name)
            self._rows = [row for row in self._rows if row[0] != contest.name]
        self._rows.append([contest.name, contest.unit, str(number), f"{ours:.6g}", f"{baseline:.6g}"])
        self._rows.sort(key=lambda row: self._places.get(row[0], len(self._places)))
        self._write()

    def _read(self) -> list[list[str]]:
        none = f"{self._path} is there, and is no file of pairs"
        try:
            with self._path.open(newline="") as file:
                rows = [row for row in csv.reader(file) if row]
        except (UnicodeDecodeError, csv.Error) as error:
            raise BenchError(f"{none}: {error}") from None
        head, *rows = rows or [list(self.COLUMNS)]
        if head != list(self.COLUMNS):
            raise BenchError(f"{none}: it begins with {','.join(head)!r}")
        for row in rows:
            if len(row) != len(self.COLUMNS):
                raise BenchError(f"{none}: it has a row {','.join(row)!r}")
        return rows

    def _write(self) -> None:
        text = StringIO()
        csv.writer(text, lineterminator="\n").writerows([self.COLUMNS, *self._rows])
        _put(self._path, text.getvalue())


def read_pairs(path: Path) -> list[Result]:
    """What comes out of a file of pairs, in its order.

    Args:
        path: Of the file.
    """
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    found = []
    for name in dict.fromkeys(row["name"] for row in rows):
        own = [row for row in rows if row["name"] == name]
        ours, theirs = ([float(row[side]) for row in own] for side in ("ours", "baseline"))
        found.append(result(name, own[0]["unit"], ours, theirs))
    return found


def _put(path: Path, text: str) -> None:
    """Write a file. Beside it first: what was measured before must not be lost in a write that is cut short."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.draft")
    draft.write_text(text)
    draft.replace(path)
