"""What the documents point at is there."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LINK = re.compile(r"\[([^\]]*)\]\(([^)\s]+)\)")


def documents() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    return [ROOT / name for name in listed.stdout.splitlines() if (ROOT / name).exists()]


@pytest.mark.parametrize("document", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_every_relative_link_leads_somewhere(document: Path) -> None:
    targets = [target.split("#")[0] for _, target in LINK.findall(document.read_text()) if "://" not in target]
    dead = [target for target in targets if target and not (document.parent / target).exists()]
    assert dead == []


def test_every_function_that_the_walk_names_is_defined_where_it_points() -> None:
    document = ROOT / "docs" / "follow-one-order.md"
    named = [
        (text.strip("`"), (document.parent / target).resolve())
        for text, target in LINK.findall(document.read_text())
        if text.startswith("`") and target.endswith(".py")
    ]
    assert len(named) > 20
    missing = [f"{name} in {path.relative_to(ROOT)}" for name, path in named if name not in defined(path)]
    assert missing == []


def test_every_make_target_that_a_document_names_is_one() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    texts = [document.read_text() for document in documents()]
    named = {name for text in texts for name in re.findall(r"(?:^|`)make ([a-z]+)", text, re.MULTILINE)}
    assert named <= targets


def defined(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            names.add(node.name)
        if isinstance(node, ast.ClassDef):
            members = [part.name for part in node.body if isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef)]
            names |= {f"{node.name}.{member}" for member in members}
    return names
