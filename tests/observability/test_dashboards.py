"""Dashboards by themselves: what Grafana reads, and what a reader needs."""

from collections import Counter
from typing import Any

import pytest

from .files import ALERTS, DASHBOARDS, OBSERVABILITY, load, panels, queries, read_yaml

LOADED = [load(path) for path in DASHBOARDS]
each_dashboard = pytest.mark.parametrize("dashboard", LOADED, ids=[path.stem for path in DASHBOARDS])
PANELS = [
    pytest.param(panel, id=f"{board['uid']}-{panel['id']}") for board in LOADED for panel in panels(board)
]  # fmt: skip
each_panel = pytest.mark.parametrize("panel", PANELS)


def test_there_are_four_dashboards() -> None:
    assert [path.stem for path in DASHBOARDS] == ["orders", "pools", "services", "temporal"]


def test_dashboards_have_ids_of_their_own_and_names_of_their_own() -> None:
    assert len({board["uid"] for board in LOADED}) == len(LOADED)
    assert len({board["title"] for board in LOADED}) == len(LOADED)


@each_dashboard
def test_panels_have_ids_of_their_own(dashboard: dict[str, Any]) -> None:
    ids = Counter(panel["id"] for panel in dashboard["panels"])
    assert ids.most_common(1)[0][1] == 1


@each_dashboard
def test_no_panel_lies_on_another(dashboard: dict[str, Any]) -> None:
    taken: Counter[tuple[int, int]] = Counter()
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24, panel["title"]
        # A repeated panel fills the width.
        width = 24 - place["x"] if panel.get("repeat") else place["w"]
        taken.update(
            (place["x"] + dx, place["y"] + dy) for dx in range(width) for dy in range(place["h"])
        )  # fmt: skip
    assert taken.most_common(1)[0][1] == 1


@each_dashboard
def test_every_variable_has_a_default_that_shows_all(dashboard: dict[str, Any]) -> None:
    for variable in dashboard["templating"]["list"]:
        assert variable["current"]["value"] == ["$__all"], variable["name"]
        assert variable["label"]
        assert variable["description"]


@each_dashboard
def test_every_query_is_whole_once_variables_are_filled_in(dashboard: dict[str, Any]) -> None:
    found = [query for query in queries(dashboard) if "$" in query.expr + query.panel]
    assert found == []


@each_panel
def test_a_panel_says_what_it_shows_and_in_which_unit(panel: dict[str, Any]) -> None:
    assert panel["title"]
    assert panel["description"].endswith(".")
    assert panel["fieldConfig"]["defaults"]["unit"]


@each_panel
def test_a_panel_has_queries_of_the_provisioned_prometheus_each_with_a_legend(panel: dict[str, Any]) -> None:
    assert panel["targets"]
    for target in panel["targets"]:
        assert target["datasource"] == {"type": "prometheus", "uid": "prometheus"}
        assert target["expr"].strip()
        assert target["legendFormat"].strip()
        assert target["legendFormat"] != "__auto"


@each_panel
def test_a_rate_is_over_a_range_that_fits_the_scrape_interval(panel: dict[str, Any]) -> None:
    for target in panel["targets"]:
        for part in target["expr"].split("rate(")[1:]:
            assert "[$__rate_interval]" in part or "[1h]" in part, target["expr"]


@each_panel
def test_alerts_that_a_panel_names_exist(panel: dict[str, Any]) -> None:
    _, _, named = panel["description"].partition("Alert")
    if named:
        assert any(alert.name in named for alert in ALERTS), panel["description"]


def test_grafana_is_told_of_prometheus_and_jaeger() -> None:
    sources = read_yaml(OBSERVABILITY / "grafana/provisioning/datasources/datasources.yaml")["datasources"]
    assert {(source["uid"], source["type"]) for source in sources} == {
        ("prometheus", "prometheus"),
        ("jaeger", "jaeger"),
    }
