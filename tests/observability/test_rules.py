"""Rules and scrape configuration by themselves."""

import subprocess
from collections import defaultdict
from pathlib import Path

import pytest

from .files import ALERTS, PROMETHEUS, RECORDS, RULES, Rule, read_yaml, shortened
from .prometheus import required
from .promql import selectors

each_alert = pytest.mark.parametrize("alert", ALERTS, ids=lambda rule: rule.name)
SERVICES = ("orchestrator", "inventory", "payments", "shipping")
REPORTED_BY_EVERY_REPLICA = {
    "task_queue_backlog_tasks",
    "task_queue_backlog_age_seconds",
    "task_queue_pollers",
    "orders_in_progress",
    "orders_oldest_in_progress_seconds",
    "stock_units",
}


def promtool(*arguments: str | Path) -> None:
    run = subprocess.run(
        [required("promtool"), *map(str, arguments)], capture_output=True, text=True, check=False, timeout=120
    )
    assert run.returncode == 0, run.stdout + run.stderr


def test_promtool_accepts_the_scrape_configuration() -> None:
    promtool("check", "config", PROMETHEUS / "prometheus.yml")


def test_promtool_finds_no_fault_in_the_rules() -> None:
    promtool("check", "rules", "--lint=all", "--lint-fatal", *sorted(RULES.glob("*.yml")))


@pytest.mark.parametrize("path", sorted((PROMETHEUS / "tests").glob("*.yml")), ids=lambda path: path.name)
def test_the_rules_pass_their_unit_tests(path: Path) -> None:
    promtool("test", "rules", path)


def test_the_unit_tests_show_each_alert_firing_and_quiet() -> None:
    seen: dict[str, set[bool]] = defaultdict(set)
    for path in (PROMETHEUS / "tests").glob("*.yml"):
        for case in read_yaml(path)["tests"]:
            for expected in case["alert_rule_test"]:
                seen[expected["alertname"]].add(bool(expected["exp_alerts"]))
    assert dict(seen) == {alert.name: {True, False} for alert in ALERTS}


def test_names_are_unique() -> None:
    names = [rule.name for rule in (*ALERTS, *RECORDS)]
    assert sorted(names) == sorted(set(names))


@each_alert
def test_an_alert_says_how_bad_it_is_what_it_is_and_what_to_do(alert: Rule) -> None:
    assert alert.labels["severity"] in {"critical", "warning"}
    assert set(alert.annotations) == {"summary", "description", "runbook_url"}
    assert all(alert.annotations.values())


@each_alert
def test_an_alert_names_the_service_or_the_queue(alert: Rule) -> None:
    named = alert.annotations["summary"] + alert.annotations["description"]
    assert "service" in alert.labels or any(
        f"$labels.{label}" in named for label in ("service", "job", "task_queue")
    ), alert


@pytest.mark.parametrize("rule", [*ALERTS, *RECORDS], ids=lambda rule: rule.name)
def test_what_every_replica_reports_is_compared_and_never_added_up(rule: Rule) -> None:
    for selector in selectors(rule.expr):
        if selector.metric in REPORTED_BY_EVERY_REPLICA:
            before = rule.expr[: rule.expr.index(selector.text)].rstrip(" (\n")
            assert before.endswith(("max", ")")), f"{rule.name}: {rule.expr}"
            assert "max" in before, f"{rule.name}: {rule.expr}"


def test_each_service_is_a_job_by_its_name() -> None:
    jobs = [job["job_name"] for job in read_yaml(PROMETHEUS / "prometheus.yml")["scrape_configs"]]
    assert set(SERVICES) < set(jobs)
    assert len(jobs) == len(set(jobs))


def test_every_job_that_a_rule_names_is_scraped() -> None:
    jobs = {job["job_name"] for job in read_yaml(PROMETHEUS / "prometheus.yml")["scrape_configs"]}
    named = {
        job
        for rule in (*ALERTS, *RECORDS)
        for selector in selectors(rule.expr)
        if "job" in selector.text
        for job in selector.text.partition('"')[2].rpartition('"')[0].split("|")
    }
    assert named
    assert named <= jobs


def test_shortened_rules_differ_in_their_times_only() -> None:
    assert shortened("for: 10m", 10) == "for: 60000ms"
    assert (
        shortened("rate(x_total[30m]) unless x_total offset 1h", 60)
        == "rate(x_total[30000ms]) unless x_total offset 60000ms"
    )
    assert shortened("age:max > 120 # s", 10) == "age:max > 12 # s"
    assert shortened("a:ratio30m > 0.25 and b >= 20", 10) == "a:ratio30m > 0.25 and b >= 20"
    assert shortened("for: 2m", 1000) == "for: 1000ms"


def test_promtool_accepts_the_shortened_rules(tmp_path: Path) -> None:
    for path in RULES.glob("*.yml"):
        (tmp_path / path.name).write_text(shortened(path.read_text(), 15))
    promtool("check", "rules", *sorted(tmp_path.glob("*.yml")))
