"""Dashboards, the runbook and the registry of metrics by themselves."""

import re
from pathlib import Path
from typing import Any

import pytest

from .files import ALERTS, DASHBOARDS, RECORDS, RUNBOOK, TELEMETRY, load, panels, queries
from .promql import selectors

each_dashboard = pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
SERVERS_OWN = "temporal.json"
"""Its metrics are the Temporal server's, which are not ours to list."""
NOT_OURS = re.compile(r"up$|traces_span_metrics_")
"""Prometheus's own, and the collector's."""


def listed() -> set[str]:
    """Names in the registry."""
    return set(re.findall(r"^\| `(\w+)` \|", TELEMETRY.read_text(), re.MULTILINE))


def base(metric: str) -> str:
    """The name that the registry has for a series."""
    return re.sub(r"_(bucket|sum|count)$", "", metric)


def test_there_are_four_dashboards_with_ids_of_their_own() -> None:
    uids = [load(path)["uid"] for path in DASHBOARDS]
    assert len(uids) == len(set(uids)) == 4


@each_dashboard
def test_a_panel_says_what_it_shows_in_which_unit(path: Path) -> None:
    for panel in panels(load(path)):
        assert panel["title"], panel
        assert panel["description"], panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert panel["targets"], panel["title"]
        assert panel["datasource"]["uid"] == "prometheus", panel["title"]


@each_dashboard
def test_panels_do_not_lie_over_one_another(path: Path) -> None:
    taken: dict[tuple[int, int], Any] = {}
    ids = [panel["id"] for panel in load(path)["panels"]]
    assert len(ids) == len(set(ids))
    for panel in load(path)["panels"]:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24, panel["title"]
        for x in range(at["x"], at["x"] + at["w"]):
            for y in range(at["y"], at["y"] + at["h"]):
                assert (x, y) not in taken, f"{panel['title']} over {taken[x, y]}"
                taken[x, y] = panel["title"]


@each_dashboard
def test_a_variable_has_a_value_to_begin_with(path: Path) -> None:
    for variable in load(path)["templating"]["list"]:
        assert variable["current"]["value"], variable["name"]


def test_what_rules_and_dashboards_ask_for_is_in_the_registry() -> None:
    known = listed() | {rule.name for rule in RECORDS}
    asked = {selector.metric for rule in (*ALERTS, *RECORDS) for selector in selectors(rule.expr)}
    for path in DASHBOARDS:
        if path.name != SERVERS_OWN:
            asked |= {selector.metric for query in queries(load(path)) for selector in selectors(query.expr)}
    unknown = {name for name in asked if not NOT_OURS.match(name) and name not in known and base(name) not in known}
    assert unknown == set()


def test_every_alert_has_a_section_in_the_runbook_and_every_section_an_alert() -> None:
    sections = re.findall(r"^### (\w+)$", RUNBOOK.read_text(), re.MULTILINE)
    assert sorted(sections) == sorted(alert.name for alert in ALERTS)
    for alert in ALERTS:
        assert alert.annotations["runbook_url"] == f"docs/operations.md#{alert.name.lower()}"


def test_each_section_of_the_runbook_says_what_to_do() -> None:
    for section in re.split(r"^### ", RUNBOOK.read_text(), flags=re.MULTILINE)[1:]:
        name = section.partition("\n")[0]
        assert "**Do**" in section or "the causes are the same" in section, name
