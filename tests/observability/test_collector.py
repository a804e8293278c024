"""The collector's configuration, as far as it can be judged without a collector."""

from typing import Any

from .files import DASHBOARDS, OBSERVABILITY, PROMETHEUS, load, queries, read_yaml
from .promql import selectors

CONFIG: dict[str, Any] = read_yaml(OBSERVABILITY / "collector.yaml")
PIPELINES: dict[str, dict[str, list[str]]] = CONFIG["service"]["pipelines"]


def test_every_part_of_a_pipeline_is_configured_and_every_part_is_used() -> None:
    connectors = set(CONFIG["connectors"])
    for role in ("receivers", "processors", "exporters"):
        used = {name for pipeline in PIPELINES.values() for name in pipeline.get(role, [])}
        assert used - connectors == set(CONFIG[role]), role
    assert set(CONFIG["service"]["extensions"]) == set(CONFIG["extensions"])


def test_a_connector_ends_one_pipeline_and_begins_another() -> None:
    for connector in CONFIG["connectors"]:
        assert any(connector in pipeline["exporters"] for pipeline in PIPELINES.values())
        assert any(connector in pipeline["receivers"] for pipeline in PIPELINES.values())


def test_memory_is_limited_before_anything_is_held() -> None:
    assert PIPELINES["traces"]["processors"] == ["memory_limiter", "batch"]


def test_nothing_is_sampled_at_the_tail() -> None:
    assert not any("sampl" in name for name in CONFIG["processors"])


def test_prometheus_scrapes_where_the_collector_serves_what_it_makes_of_spans() -> None:
    port = CONFIG["exporters"]["prometheus"]["endpoint"].rpartition(":")[2]
    [job] = [
        job for job in read_yaml(PROMETHEUS / "prometheus.yml")["scrape_configs"] if job["job_name"] == "otel-collector"
    ]
    assert job["static_configs"] == [{"targets": [f"otel-collector:{port}"]}]


def test_panels_ask_for_durations_of_spans_in_the_unit_that_the_collector_gives_them() -> None:
    assert CONFIG["connectors"]["span_metrics"]["histogram"]["unit"] == "s"
    asked = {
        selector.metric
        for path in DASHBOARDS
        for query in queries(load(path))
        for selector in selectors(query.expr)
        if selector.metric.startswith("traces_span_metrics_")
    }
    assert asked == {"traces_span_metrics_calls_total", "traces_span_metrics_duration_seconds_bucket"}
