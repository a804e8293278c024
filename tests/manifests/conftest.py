"""Everything that is listed, rendered once."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from .rendering import K8S, TOOLS, Rendered, render, renderer

needs_tools = pytest.mark.skipif(not (TOOLS / "checkov").exists(), reason="make manifests installs what it needs")


@pytest.fixture(autouse=True)
def _renderer() -> None:
    if renderer() is None:
        pytest.skip("neither kubectl nor kustomize is installed: make manifests installs one")


@pytest.fixture(scope="session")
def rendering(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Rendered]:
    """Renders one of what is listed, once."""
    done: dict[str, Rendered] = {}
    scratch = tmp_path_factory.mktemp("combined")

    def rendered(name: str) -> Rendered:
        if name not in done:
            done[name] = render(K8S, name, scratch)
        return done[name]

    return rendered


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A copy of the manifests, to break."""
    return Path(shutil.copytree(K8S, tmp_path / "k8s"))
