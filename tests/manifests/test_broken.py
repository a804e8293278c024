"""What is broken in a copy of the manifests is found, with a line that says where."""

import re
from pathlib import Path

import pytest

from . import breaks_names, breaks_pods, outside
from .breaks import SHIPPING, Break
from .breaks_names import FOR_SCHEMAS
from .conftest import needs_tools
from .rendering import RenderingError, render
from .rules import findings

BROKEN = {**breaks_pods.BROKEN, **breaks_names.BROKEN}


def broken(copied: Path, change: Break) -> None:
    path = copied / change.file
    text = path.read_text()
    assert change.old in text, f"{change.file} has no {change.old!r}"
    path.write_text(text.replace(change.old, change.new))


@pytest.mark.parametrize("change", BROKEN.values(), ids=BROKEN)
def test_our_rules_say_where(copied: Path, tmp_path: Path, change: Break) -> None:
    broken(copied, change)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    lines = [str(finding) for finding in findings(render(copied, change.name, scratch))]
    assert [line for line in lines if line.startswith(change.said)], "\n".join(lines) or "nothing is said"


@needs_tools
@pytest.mark.parametrize("change", FOR_SCHEMAS.values(), ids=FOR_SCHEMAS)
def test_the_schemas_say_where(copied: Path, tmp_path: Path, change: Break) -> None:
    broken(copied, change)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    lines, _ = outside.schemas([render(copied, change.name, scratch)], tmp_path)
    assert [line for line in lines if line.startswith(change.said)], "\n".join(lines) or "nothing is said"


@needs_tools
def test_checkov_says_where_and_an_exemption_that_exempts_from_nothing_is_said(copied: Path, tmp_path: Path) -> None:
    # A limit of CPU: then nothing is left of which the first exemption exempts.
    broken(copied, Break(SHIPPING, "limits: {memory: 216Mi}", "limits: {memory: 216Mi, cpu: 1}", ""))
    broken(copied, Break(SHIPPING, "allowPrivilegeEscalation: false", "allowPrivilegeEscalation: true", ""))
    lines, _ = outside.checkov([render(copied, "local", tmp_path)], tmp_path)
    idle = "local: Deployment/shipping: the exemption from CKV_K8S_11 exempts from nothing"
    assert idle in lines
    assert any(
        re.match(r"local: Deployment/shipping: .*allowPrivilegeEscalation.*\(CKV_K8S_20\)", line) for line in lines
    )


def test_an_alert_that_is_no_longer_where_production_takes_it_out_fails_the_rendering(copied: Path) -> None:
    broken(copied, Break("components/monitoring/rules.yaml", "alert: TemporalDown", "alert: TemporalIsDown", ""))
    with pytest.raises(RenderingError, match=r"test failed|testing value"):
        render(copied, "production", copied)
