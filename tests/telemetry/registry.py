"""The registry of metrics, ``docs/telemetry.md``, as the tests read it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
REGISTRY = ROOT / "docs" / "telemetry.md"
COLUMNS = ["Name", "Type", "Labels", "Unit", "Meaning", "Service"]
SERVICES = ("orchestrator", "inventory", "payments", "shipping")
SDK = "temporal_"


@dataclass(frozen=True)
class Row:
    """What the registry says of a metric.

    Attributes:
        labels: The values of each label; those in italics, which stand for a set, are left out.
        open: Labels that have values in italics, or none that are named.
        services: That expose it.
    """

    name: str
    type: str
    labels: Mapping[str, frozenset[str]]
    open: frozenset[str]
    unit: str
    meaning: str
    services: frozenset[str]


def rows() -> list[Row]:
    """All rows of all tables, in their order."""
    found, within = [], False
    for line in REGISTRY.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")] if line.startswith("|") else []
        if cells == COLUMNS:
            within = True
        elif not cells:
            within = False
        elif within and set(cells[0]) != {"-"}:
            assert len(cells) == len(COLUMNS), line
            found.append(_row(*cells))
    return found


def _row(name: str, kind: str, labels: str, unit: str, meaning: str, services: str) -> Row:
    values: dict[str, frozenset[str]] = {}
    open_labels = set()
    # Either names alone, after commas, or names with values, after semicolons.
    for part in labels.split(";") if ":" in labels else labels.split(","):
        label, _, said = part.strip().partition(":")
        if not label:
            continue
        each = [value.strip() for value in said.split(",") if value.strip()]
        named = frozenset(value for value in each if not value.startswith("*"))
        values[label.strip("`")] = named
        if len(named) < len(each) or not each:
            open_labels.add(label.strip("`"))
    who = {part.strip() for part in services.split(",")}
    everybody = set(SERVICES) if "all" in who else set()
    return Row(
        re.sub("`", "", name), kind, values, frozenset(open_labels), unit, meaning, frozenset(who - {"all"} | everybody)
    )
