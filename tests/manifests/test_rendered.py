"""Everything that is listed, against our own rules."""

import subprocess
import sys
from collections.abc import Callable

import pytest
import yaml

from .facts import SERVICES
from .rendering import K8S, ROOT, Rendered, combinations
from .rules import RULES, Rule

ALERTS = ROOT / "deploy" / "observability" / "prometheus" / "rules" / "alerts.yml"
every_rendering = pytest.mark.parametrize("name", combinations())
README_LINES = 40
"""One screen."""


@every_rendering
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule.__module__.rpartition('.')[2]}.{rule.__name__}")
def test_nothing_is_wrong_with(rendering: Callable[[str], Rendered], name: str, rule: Rule) -> None:
    assert [str(finding) for finding in rule(rendering(name))] == []


@every_rendering
def test_every_service_is_in_every_rendering(rendering: Callable[[str], Rendered], name: str) -> None:
    rendered = rendering(name)
    for service in SERVICES:
        for kind in ("Service", "ServiceAccount", "PodDisruptionBudget", "ConfigMap"):
            assert rendered.get(kind, service) is not None, f"{kind}/{service}"
        assert (rendered.get("Deployment", service) is None) == (rendered.get("WorkerDeployment", service) is not None)


def test_every_component_is_in_a_rendering() -> None:
    used = {component for components in combinations().values() for component in components or []}
    for overlay in (K8S / "overlays").glob("*/kustomization.yaml"):
        components = yaml.safe_load(overlay.read_text()).get("components", [])
        used |= {component.removeprefix("../../components/") for component in components}
    every = {str(path.parent.relative_to(K8S / "components")) for path in K8S.glob("components/**/kustomization.yaml")}
    parts = {"worker-versioning/copy", "worker-versioning/drop"}  # of another
    assert used == every - parts


def test_every_component_has_a_readme_of_one_screen() -> None:
    for folder in (K8S / "components").iterdir():
        assert len((folder / "README.md").read_text().splitlines()) <= README_LINES, folder.name


def test_every_overlay_is_listed() -> None:
    overlays = {path.name for path in (K8S / "overlays").iterdir()}
    assert overlays == {name for name, components in combinations().items() if components is None}


def test_the_rules_of_prometheus_are_the_prometheusrules() -> None:
    made = subprocess.run(
        [sys.executable, str(K8S / "rules.py"), "--print"], capture_output=True, text=True, check=True
    )
    assert made.stdout == (K8S / "components" / "monitoring" / "rules.yaml").read_text(), "make rules"


def test_production_has_every_alert_but_that_of_a_temporal_that_is_watched_elsewhere(
    rendering: Callable[[str], Rendered],
) -> None:
    written = {rule["alert"] for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]}
    there = {
        rule["alert"]
        for manifest in rendering("production").of("PrometheusRule")
        for group in manifest["spec"]["groups"]
        for rule in group["rules"]
        if "alert" in rule
    }
    assert written - there == {"TemporalDown"}
    assert there <= written


def test_versions_of_a_service_are_made_of_its_base(rendering: Callable[[str], Rendered]) -> None:
    versioned, base = rendering("versioned"), rendering("base-alone")
    for service in SERVICES:
        worker, deployment = versioned.get("WorkerDeployment", service), base.get("Deployment", service)
        assert worker is not None
        assert deployment is not None
        assert worker["spec"]["template"] == deployment["spec"]["template"]
