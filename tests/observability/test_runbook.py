"""The runbook has a section for each alert, and for nothing else."""

import re

import pytest

from .files import ALERTS, RUNBOOK, Rule

SECTION = re.compile(r"^### (?P<name>\w+)$\n(?P<text>.*?)(?=^#{1,3} |\Z)", re.MULTILINE | re.DOTALL)
ALERTS_PART = re.compile(r"^## Alerts$(?P<text>.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)


def sections() -> dict[str, str]:
    part = ALERTS_PART.search(RUNBOOK.read_text())
    assert part is not None
    return {match["name"]: match["text"] for match in SECTION.finditer(part["text"])}


def test_each_alert_has_a_section_and_each_section_an_alert() -> None:
    assert sorted(sections()) == sorted(alert.name for alert in ALERTS)


@pytest.mark.parametrize("alert", ALERTS, ids=lambda rule: rule.name)
def test_an_alert_leads_to_its_section(alert: Rule) -> None:
    assert alert.annotations["runbook_url"] == f"docs/operations.md#{alert.name.lower()}"


@pytest.mark.parametrize("name", [alert.name for alert in ALERTS])
def test_a_section_says_what_it_means_what_the_customer_sees_where_to_look_and_what_to_do(name: str) -> None:
    for part in ("Means", "The customer sees", "Look at", "Do"):
        assert f"- **{part}**" in sections()[name], part


def test_the_table_of_alerts_lists_each_with_its_severity() -> None:
    rows = re.findall(r"^\| \[`?(\w+)`?\]\(#\w+\) \| (\w+) \|", RUNBOOK.read_text(), re.MULTILINE)
    assert sorted(rows) == sorted((alert.name, alert.labels["severity"]) for alert in ALERTS)
