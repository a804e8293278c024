"""Checks by programs of others: schemas of Kubernetes and of custom resources, checkov."""

import json
import os
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from .rendering import K8S, TOOLS, Manifest, Rendered

EXEMPTION = "checkov.io/skip"
SHORT = 20
"""Characters that say no reason."""

Place = tuple[str, str, str]
"""Rendering, object, check."""


class MissingError(Exception):
    """A program is not installed."""


def installed(program: str) -> str:
    """Path of a program of ``make manifests``.

    Raises:
        MissingError: If it is not there.
    """
    path = TOOLS / program
    if not path.exists():
        raise MissingError(f"{program} is not installed: make manifests")
    return str(path)


def schemas(rendered: Iterable[Rendered], scratch: Path, k8s: Path = K8S) -> tuple[list[str], str]:
    """What does not fit the schemas, and what was looked at.

    Raises:
        RuntimeError: If the check itself fails.
    """
    folder = scratch / "schemas"
    folder.mkdir()
    for one in rendered:
        (folder / f"{one.name}.yaml").write_text(one.text)
    command = [installed("python"), str(k8s / "checks" / "validate.py"), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = done.stdout.strip().splitlines()
    if done.returncode not in {0, 1} or not lines or not lines[-1].startswith("schemas: "):
        raise RuntimeError(f"validate.py exits with {done.returncode}: {done.stderr.strip()[-2000:]}")
    return lines[:-1], lines[-1]


def checkov(rendered: Iterable[Rendered], scratch: Path) -> tuple[list[str], str]:
    """What checkov refuses, and which exemptions exempt from nothing; and what was looked at.

    Objects that combinations have in common are looked at once. Exemptions are taken away before, and held against what
    is refused then: checkov itself does not tell one that is needed from one that is not.

    Raises:
        RuntimeError: If the check itself fails.
    """
    folder = scratch / "checkov"
    folder.mkdir()
    exemptions: dict[Place, str] = {}
    seen: set[str] = set()
    for one in rendered:
        distinct = []
        for manifest in map(_known, one.manifests):
            written = json.dumps(manifest, sort_keys=True)
            if written not in seen:
                seen.add(written)
                exemptions |= _exemptions(one.name, manifest)
                distinct.append(_bare(manifest))
        if distinct:
            (folder / f"{one.name}.yaml").write_text(yaml.safe_dump_all(distinct))
    report = _asked(folder)
    refused = {
        (Path(failed["file_path"]).stem, _object(failed), failed["check_id"]): failed["check_name"]
        for failed in report["results"]["failed_checks"]
    }
    lines = [
        f"{name}: {where}: {refused[name, where, check]} ({check})"
        for name, where, check in refused
        if (name, where, check) not in exemptions
    ]
    for (name, where, check), reason in exemptions.items():
        if (name, where, check) not in refused:
            lines.append(f"{name}: {where}: the exemption from {check} exempts from nothing")
        if len(reason) < SHORT:
            lines.append(f"{name}: {where}: the exemption from {check} has no reason")
    summary = report["summary"]
    told = f"checkov: {summary['passed']} checks passed, {len(exemptions)} exempted with a reason"
    return lines, f"{told}, {summary['resource_count']} objects"


def _asked(folder: Path) -> dict[str, Any]:
    command = [installed("checkov"), "--directory", str(folder), "--framework", "kubernetes", "--skip-download"]
    done = subprocess.run(
        [*command, "--quiet", "--compact", "--output", "json"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "LOG_LEVEL": "ERROR"},
    )
    if done.returncode not in {0, 1}:
        raise RuntimeError(f"checkov exits with {done.returncode}: {done.stderr.strip()[-2000:]}")
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def _known(manifest: Manifest) -> Manifest:
    """As something that checkov knows: what the controller makes of a WorkerDeployment."""
    if manifest["kind"] != "WorkerDeployment":
        return manifest
    labels = manifest["spec"]["template"]["metadata"]["labels"]
    spec = {"selector": {"matchLabels": labels}, "template": manifest["spec"]["template"]}
    return {**manifest, "apiVersion": "apps/v1", "kind": "Deployment", "spec": spec}


def _exemptions(name: str, manifest: Manifest) -> dict[Place, str]:
    where = f"{manifest['kind']}/{manifest['metadata']['name']}"
    annotations = manifest["metadata"].get("annotations", {})
    written = [value.partition("=") for key, value in annotations.items() if key.startswith(EXEMPTION)]
    return {(name, where, check): reason for check, _, reason in written}


def _bare(manifest: Manifest) -> Manifest:
    annotations = manifest["metadata"].get("annotations", {})
    kept = {key: value for key, value in annotations.items() if not key.startswith(EXEMPTION)}
    return {**manifest, "metadata": {**manifest["metadata"], "annotations": kept}}


def _object(result: dict[str, Any]) -> str:
    kind, _, name = str(result["resource"]).split(".", 2)
    return f"{kind}/{name}"
