"""The lines between services, where a reader or a linter would look for them."""

import ast
import re
import subprocess
import sysconfig
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SERVICES = ["orchestrator", "inventory", "payments", "shipping"]
MODULES = {
    "__init__.py",
    "__main__.py",
    "activities.py",
    "api.py",
    "contract.py",
    "migrations",
    "settings.py",
    "store.py",
    "worker.py",
    "workflows",
}


def test_nobody_imports_another_service_and_imports_go_one_way() -> None:
    linter = Path(sysconfig.get_path("scripts")) / "lint-imports"
    done = subprocess.run([linter, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("service", SERVICES)
def test_every_service_has_the_same_modules(service: str) -> None:
    found = {path.name for path in (ROOT / "services" / service / "src" / service).iterdir()}
    assert found >= MODULES


@pytest.mark.parametrize("service", SERVICES)
def test_a_composition_root_fits_on_a_screen(service: str) -> None:
    worker = ROOT / "services" / service / "src" / service / "worker.py"
    assert len(worker.read_text().splitlines()) <= 40


@pytest.mark.parametrize("service", SERVICES)
def test_a_services_project_file_knows_no_other_service_and_no_workspace(service: str) -> None:
    text = (ROOT / "services" / service / "pyproject.toml").read_text()
    project = tomllib.loads(text)
    assert "sources" not in project.get("tool", {}).get("uv", {})
    others = [f"waybill-{name}" for name in SERVICES if name != service]
    assert not [name for name in others if name in text]


def test_the_chassis_knows_no_word_of_the_domain() -> None:
    words = re.compile(r"order|inventory|payment|shipping|shipment|carrier|stock|sku|parcel", re.IGNORECASE)
    said = [
        f"{path.relative_to(ROOT)}:{number}: {word}"
        for path in sorted((ROOT / "libs" / "chassis" / "src").rglob("*.py"))
        for number, word in spoken(ast.parse(path.read_text()))
        if words.search(word)
    ]
    assert said == []


def spoken(tree: ast.AST) -> list[tuple[int, str]]:
    """Names and texts of a module, with their lines; docstrings may give examples and do not count."""
    found: list[tuple[int, str]] = []
    prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.arg(arg=name):
                found.append((node.lineno, name))
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                found.append((node.lineno, name))
            case ast.Constant(value=str() as text) if id(node) not in prose:
                found.append((node.lineno, text))
            case _:
                continue
    return found


PURE = {"collections", "dataclasses", "datetime", "enum", "re", "typing", "temporalio"}
"""What a contract may import. The workflow sandbox shares it (chassis.sandboxing.runner), and sees no clock in it."""
CLOCKS = {"now", "today", "utcnow"}


@pytest.mark.parametrize("service", SERVICES)
def test_a_contract_is_data_and_looks_at_no_clock(service: str) -> None:
    package = ROOT / "services" / service / "src" / service
    for path in [package / "contract.py", *sorted(package.glob("contracts/*.py"))]:
        tree = ast.parse(path.read_text())
        imported = {name.partition(".")[0] for name in imports(tree)}
        assert imported <= PURE, path
        assert not {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)} & CLOCKS, path


SHARED = {"chassis.apart", "chassis.local_first", "chassis.progress", "chassis.shielding", "chassis.versioning"}
"""What workflows may use of the chassis, which is shared with the sandbox too: constants, and pure functions."""


@pytest.mark.parametrize("service", SERVICES)
def test_workflows_use_no_more_of_the_chassis_than_what_is_pure(service: str) -> None:
    for path in (ROOT / "services" / service / "src" / service / "workflows").glob("*.py"):
        used = {name for name in imports(ast.parse(path.read_text())) if name.startswith("chassis.")}
        assert {name for name in used if name not in SHARED and name.rpartition(".")[0] not in SHARED} == set(), path


@pytest.mark.parametrize("module", ["local_first", "progress", "shielding"])
def test_what_workflows_use_of_the_chassis_looks_at_no_clock(module: str) -> None:
    tree = ast.parse((ROOT / "libs" / "chassis" / "src" / "chassis" / f"{module}.py").read_text())
    assert {name.partition(".")[0] for name in imports(tree)} <= PURE | {"asyncio", "contextlib"}
    assert not {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)} & CLOCKS


@pytest.mark.parametrize("service", SERVICES)
def test_what_a_workflow_takes_out_of_the_sandbox_with_it_has_no_clock_and_no_chance(service: str) -> None:
    folder = ROOT / "services" / service / "src" / service / "workflows"
    for name in {name for path in folder.glob("*.py") for name in passed_through(ast.parse(path.read_text()), service)}:
        path = folder / f"{name}.py"
        tree = ast.parse(path.read_text())
        assert {module.partition(".")[0] for module in imports(tree)} <= PURE | {
            *("asyncio", "contextlib", "types"),
            *("chassis", service),
        }, path
        asked = {
            node.attr
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute)
            and not (isinstance(node.value, ast.Name) and node.value.id == "workflow")
        }
        assert not asked & CLOCKS, path


def passed_through(tree: ast.AST, service: str) -> set[str]:
    """Modules beside a workflow's that it imports as the sandbox's are not."""
    return {
        name.split(".")[2]
        for block in ast.walk(tree)
        if isinstance(block, ast.With) and "imports_passed_through" in ast.unparse(block.items[0])
        for name in imports(block)
        if name.startswith(f"{service}.workflows.")
    }


def imports(tree: ast.AST) -> set[str]:
    """Modules that are imported somewhere in a source, and names that are imported from one."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found
