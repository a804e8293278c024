#!/usr/bin/env python3
"""Whether rendered manifests fit the schemas: Kubernetes' own, of its newest minors, and ours of custom resources.

    .manifests/bin/python deploy/k8s/checks/validate.py FOLDER

Reads ``FOLDER/NAME.yaml``, prints a line for each thing that does not fit, and then what was looked at. Runs in an
environment of its own (see ``pyproject.toml`` beside it).
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import yaml

SCHEMAS = Path(__file__).parents[1] / "schemas"
MINORS = 3

Manifest = dict[str, Any]


def minors() -> list[str]:
    """The newest minors that there are schemas of."""
    found = {tuple(map(int, version.split(".")[:2])) for version in kubernetes_validate.utils.all_versions()}
    return [f"{major}.{minor}" for major, minor in sorted(found)[-MINORS:]]


def ours() -> dict[tuple[str, str], Any]:
    """Our schemas, by group and kind."""
    schemas = {}
    for path in SCHEMAS.glob("*.json"):
        group, _, kind = path.stem.rpartition("-")
        schemas[group, kind] = json.loads(path.read_text())
    return schemas


def faults(manifest: Manifest, versions: list[str], schemas: dict[tuple[str, str], Any]) -> Iterator[str]:
    """What does not fit."""
    group = manifest["apiVersion"].partition("/")[0]
    schema = schemas.get((group, manifest["kind"]))
    if schema is None:
        for version in versions:
            yield from _by_kubernetes(manifest, version)
        return
    for error in jsonschema.Draft202012Validator(schema).iter_errors(manifest):
        yield f"{_path(error)}: {_told(error)} (our schema of {manifest['kind']})"
    for inner in _inside(manifest):
        for fault in faults(inner, versions, schemas):
            yield f"spec.template, as a {inner['kind']}: {fault}"


def _by_kubernetes(manifest: Manifest, version: str) -> Iterator[str]:
    try:
        kubernetes_validate.validate(manifest, version, strict=True)
    except kubernetes_validate.ValidationError as error:
        yield f"{_path(error)}: {error.message[:200]} (Kubernetes {version})"
    except kubernetes_validate.SchemaNotFoundError:
        yield f"Kubernetes {version} has no {manifest['kind']} of {manifest['apiVersion']}, and neither have we"


def _inside(manifest: Manifest) -> Iterator[Manifest]:
    """What a controller will make of a custom resource."""
    name = manifest["metadata"].get("name", "")
    template = manifest.get("spec", {}).get("template")
    if not isinstance(template, dict):
        return
    if manifest["kind"] == "WorkerDeployment":
        labels = template.get("metadata", {}).get("labels", {})
        yield {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": name},
            "spec": {"selector": {"matchLabels": labels}, "template": template},
        }
    if manifest["kind"] == "WorkerResourceTemplate":
        spec = {**template.get("spec", {}), "scaleTargetRef": {"name": name}}
        yield {**template, "metadata": {"name": name}, "spec": spec}


def _path(error: jsonschema.ValidationError) -> str:
    return ".".join(map(str, error.absolute_path)) or "the whole"


def _told(error: jsonschema.ValidationError) -> str:
    """The message; of alternatives, that of the one that was meant."""
    best = jsonschema.exceptions.best_match([error])
    if best is error:
        return str(error.message)[:200]
    return f"{'.'.join(map(str, best.absolute_path))}: {str(best.message)[:200]}"


def main(folder: Path) -> int:
    """Look at everything in a folder.

    Returns:
        The exit code.
    """
    versions, schemas, wrong, looked, customs = minors(), ours(), 0, 0, 0
    seen: dict[str, list[str]] = {}
    for path in sorted(folder.glob("*.yaml")):
        for manifest in yaml.safe_load_all(path.read_text()):
            looked += 1
            customs += (manifest["apiVersion"].partition("/")[0], manifest["kind"]) in schemas
            written = json.dumps(manifest, sort_keys=True)  # combinations have most objects in common
            if written not in seen:
                seen[written] = list(faults(manifest, versions, schemas))
            for fault in seen[written]:
                wrong += 1
                sys.stdout.write(f"{path.stem}: {manifest['kind']}/{manifest['metadata']['name']}: {fault}\n")
    sys.stdout.write(
        f"schemas: {looked} objects against Kubernetes {', '.join(versions)}, "
        f"{customs} of them against {len(schemas)} of ours\n"
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main(Path(sys.argv[1])))
