"""Manifests as they reach a cluster: overlays, and components put together."""

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
K8S = ROOT / "deploy" / "k8s"
TOOLS = ROOT / ".manifests" / "bin"
"""Where ``make manifests`` installs what it needs."""

Manifest = dict[str, Any]


class RenderingError(Exception):
    """Something cannot be rendered. The text says what kustomize says."""


def renderer() -> list[str] | None:
    """The command that renders a folder: ours first, so that everybody renders with the same."""
    for program in (str(TOOLS / "kubectl"), "kubectl", "kustomize"):
        if (path := shutil.which(program)) is not None:
            return [path, "build" if program == "kustomize" else "kustomize"]
    return None


@dataclass(frozen=True)
class Rendered:
    """All objects of one overlay or combination.

    Attributes:
        name: Of it.
        text: As kustomize prints it.
        manifests: Parsed.
    """

    name: str
    text: str
    manifests: list[Manifest]

    def of(self, *kinds: str) -> list[Manifest]:
        """Objects of these kinds."""
        return [manifest for manifest in self.manifests if manifest["kind"] in kinds]

    def get(self, kind: str, name: str) -> Manifest | None:
        """One object."""
        for manifest in self.of(kind):
            if manifest["metadata"]["name"] == name:
                return manifest
        return None


def combinations(k8s: Path = K8S) -> dict[str, list[str] | None]:
    """What is rendered, by name: the components over the base, or None for an overlay."""
    listed = yaml.safe_load((k8s / "checks" / "combinations.yaml").read_text())
    return {**dict.fromkeys(listed["overlays"]), **listed["combinations"]}


def render_all(k8s: Path, scratch: Path) -> Iterator[Rendered]:
    """Render everything that is listed.

    Args:
        k8s: ``deploy/k8s``, or a copy of it.
        scratch: An empty folder.
    """
    for name in combinations(k8s):
        yield render(k8s, name, scratch)


def render(k8s: Path, name: str, scratch: Path) -> Rendered:
    """Render one of what is listed.

    Args:
        k8s: ``deploy/k8s``, or a copy of it.
        name: As in the list.
        scratch: A folder for the copy in which combinations are put together.

    Raises:
        RenderingError: If it cannot be.
    """
    components = combinations(k8s)[name]
    folder = k8s / "overlays" / name
    if components is not None:
        copied = scratch / f"{name}-{len(list(scratch.iterdir()))}"
        shutil.copytree(k8s, copied)
        folder = copied / "overlays" / name
        folder.mkdir()
        (folder / "kustomization.yaml").write_text(
            yaml.safe_dump(
                {
                    "apiVersion": "kustomize.config.k8s.io/v1beta1",
                    "kind": "Kustomization",
                    "namespace": "waybill",
                    "resources": ["../../base"],
                    "components": [f"../../components/{component}" for component in components],
                }
            )
        )
    command = renderer()
    if command is None:
        raise RenderingError("neither kubectl nor kustomize is installed: make manifests")
    done = subprocess.run([*command, str(folder)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RenderingError(f"{name}: {done.stderr.strip()}")
    return Rendered(name, done.stdout, list(yaml.safe_load_all(done.stdout)))
