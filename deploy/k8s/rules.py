#!/usr/bin/env python3
"""Makes PrometheusRules of Prometheus' own rule files: components/monitoring/rules.yaml.

.venv/bin/python deploy/k8s/rules.py          # writes it: make rules
.venv/bin/python deploy/k8s/rules.py --print  # writes it to standard output
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

DEPLOY = Path(__file__).parents[1]
RULES = DEPLOY / "observability" / "prometheus" / "rules"
TARGET = DEPLOY / "k8s" / "components" / "monitoring" / "rules.yaml"
HEAD = "# Made of deploy/observability/prometheus/rules: make rules\n"


class _Dumper(yaml.SafeDumper):
    """Writes text of several lines as such."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


def objects() -> Iterator[dict[str, Any]]:
    """One for the recording rules, and one for each group of alerts, so that a group can be left out."""
    recorded = yaml.safe_load((RULES / "recording.yml").read_text())["groups"]
    yield _object("waybill-recording", recorded)
    for group in yaml.safe_load((RULES / "alerts.yml").read_text())["groups"]:
        yield _object(group["name"], [group])


def _object(name: str, groups: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": name},
        "spec": {"groups": groups},
    }


def text() -> str:
    """The whole file."""
    return HEAD + yaml.dump_all(objects(), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)


if __name__ == "__main__":
    if "--print" in sys.argv[1:]:
        sys.stdout.write(text())
    else:
        TARGET.write_text(text())
