"""What stands under ``deploy/observability``, read."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
OBSERVABILITY = ROOT / "deploy" / "observability"
PROMETHEUS = OBSERVABILITY / "prometheus"
RULES = PROMETHEUS / "rules"
DASHBOARDS = sorted((OBSERVABILITY / "grafana" / "dashboards").glob("*.json"))
RUNBOOK = ROOT / "docs" / "operations.md"
TELEMETRY = ROOT / "docs" / "telemetry.md"

_DURATION = r"(\d+)(ms|s|m|h|d)"
_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
_TIMED = re.compile(rf"(?P<before>\[|offset\s+|for:\s+){_DURATION}")
_THRESHOLD = re.compile(r"\d+(?=\s*# s\b)")


def read_yaml(path: Path) -> Any:
    """A file that holds one YAML document."""
    return yaml.safe_load(path.read_text())


@dataclass(frozen=True, slots=True)
class Rule:
    """An alert or a recording rule."""

    name: str
    alert: bool
    expr: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]


def rules() -> list[Rule]:
    """All rules."""
    return [
        Rule(
            each.get("alert") or each["record"],
            "alert" in each,
            each["expr"],
            each.get("labels", {}),
            each.get("annotations", {}),
        )
        for path in sorted(RULES.glob("*.yml"))
        for group in read_yaml(path)["groups"]
        for each in group["rules"]
    ]


ALERTS = [rule for rule in rules() if rule.alert]
RECORDS = [rule for rule in rules() if not rule.alert]


def shortened(text: str, factor: int) -> str:
    """Rules with all their times divided: what takes a quarter of an hour in production takes seconds in a test.

    It touches ``for:``, ranges, offsets, and thresholds that carry the comment ``# s``; nothing else of an expression.
    A time does not get shorter than a second.

    Args:
        text: Of a file of rules.
        factor: By which they are divided.
    """

    def duration(match: re.Match[str]) -> str:
        seconds = int(match[2]) * _SECONDS[match[3]]
        return f"{match['before']}{max(1000, round(seconds * 1000 / factor))}ms"

    return _THRESHOLD.sub(lambda match: str(max(1, int(match[0]) // factor)), _TIMED.sub(duration, text))


@dataclass(frozen=True, slots=True)
class Query:
    """One query of a panel, with one value of each variable."""

    dashboard: str
    panel: str
    expr: str

    def __str__(self) -> str:
        return f"{self.dashboard}: {self.panel}: {self.expr}"


def load(path: Path) -> dict[str, Any]:
    """A dashboard."""
    document: dict[str, Any] = json.loads(path.read_text())
    return document


def panels(dashboard: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The panels that show something."""
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def queries(dashboard: Mapping[str, Any], interval: str = "5m") -> Iterator[Query]:
    """The queries of a dashboard as Grafana sends them when it is opened: a repeated panel once for each value.

    Args:
        dashboard: One that was read.
        interval: Value of Grafana's own variable for the range of a rate.
    """
    variables = {each["name"]: each for each in dashboard["templating"]["list"]}
    for panel in panels(dashboard):
        repeat = panel.get("repeat")
        values = variables[repeat]["query"].split(",") if repeat else [None]
        for value in values:
            given = {name: value if name == repeat else _default(each) for name, each in variables.items()}
            for target in panel["targets"]:
                yield Query(
                    dashboard["title"],
                    _filled(panel["title"], given),
                    _filled(target["expr"].replace("$__rate_interval", interval), given),
                )


def _default(variable: Mapping[str, Any]) -> str:
    [value] = variable["current"]["value"]
    if value != "$__all":
        return str(value)
    every: str = variable.get("allValue") or f"({'|'.join(variable['query'].split(','))})"
    return every


def _filled(text: str, given: Mapping[str, str | None]) -> str:
    for name, value in given.items():
        text = re.sub(rf"\${name}\b", lambda _, value=value: str(value), text)  # type: ignore[misc]
    return text
