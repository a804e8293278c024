"""Every metric that a rule or a dashboard uses is one that somebody exposes."""

import re

import pytest

from .files import ALERTS, DASHBOARDS, RECORDS, TELEMETRY, load, queries
from .promql import Selector, selectors

REGISTERED = set(re.findall(r"^\| `(\w+)` \|", TELEMETRY.read_text(), re.MULTILINE))
RECORDED = {rule.name for rule in RECORDS}
OTHERS = {
    "up": "Prometheus itself",
    "traces_span_metrics_calls_total": "the collector's span_metrics",
    "traces_span_metrics_duration_seconds": "the collector's span_metrics",
}
SERVER = 'job="temporal"'
"""In a selector of the Temporal server's metrics, which are not in our registry: a live server is asked for them."""
SERVER_TOO = {
    "temporal_worker_task_slots_available",
    "temporal_worker_task_slots_used",
    "temporal_num_pollers",
    "temporal_sticky_cache_size",
}
"""The SDK's metrics that the server's own workers report under the same names, without the label ``service``."""

USED: list[tuple[str, Selector]] = [
    *((rule.name, selector) for rule in (*ALERTS, *RECORDS) for selector in selectors(rule.expr)),
    *(
        (f"{query.dashboard}: {query.panel}", selector)
        for path in DASHBOARDS
        for query in queries(load(path))
        for selector in selectors(query.expr)
    ),
]


def family(metric: str) -> str:
    """Name of a histogram whose series this is, or its own."""
    base = re.sub(r"_(bucket|sum|count)$", "", metric)
    return base if base in REGISTERED | set(OTHERS) else metric


@pytest.mark.parametrize("where", sorted({where for where, _ in USED}))
def test_every_metric_that_is_used_is_in_the_registry(where: str) -> None:
    unknown = [
        selector.text
        for user, selector in USED
        if user == where
        and SERVER not in selector.text
        and family(selector.metric) not in REGISTERED | RECORDED | set(OTHERS)
    ]
    assert unknown == []


def test_every_recorded_series_is_used() -> None:
    assert {selector.metric for _, selector in USED} >= RECORDED


def test_the_temporal_servers_workers_are_never_taken_for_ours() -> None:
    wrong = [
        f"{where}: {selector.text}"
        for where, selector in USED
        if selector.metric in SERVER_TOO and not re.search(r'\bservice(!=""|="\w+")', selector.text)
    ]
    assert wrong == []


def test_selectors_are_found_in_any_expression() -> None:
    expression = """
      sum by (job, a) (rate(x_total{b="}", c=~"d|e"}[5m])) # y
      / on (job) group_left (z) max(w:v:max offset 5m) > 1.5e3 and absent(up{job="q"}) unless k
    """
    assert [selector.text for selector in selectors(expression)] == [
        'x_total{b="}", c=~"d|e"}',
        "w:v:max",
        'up{job="q"}',
        "k",
    ]
