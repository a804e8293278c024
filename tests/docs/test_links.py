"""What the documents point at is there: files, functions, commands, settings, queues and ports."""

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
from pydantic_settings import BaseSettings

from waybill.cli import app

from .markdown import ROOT, anchors, code, documents, links, table

SERVICES = ("orchestrator", "inventory", "payments", "shipping")
README = ROOT / "README.md"
WALK = ROOT / "docs" / "follow-one-order.md"
NAME = re.compile(r"^`([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)`$")
every_document = pytest.mark.parametrize("document", documents(), ids=lambda path: str(path.relative_to(ROOT)))


@every_document
def test_every_relative_link_leads_somewhere(document: Path) -> None:
    dead = [str(link) for link in links(document) if not link.target.exists()]
    assert dead == []


@every_document
def test_no_link_leaves_the_repository(document: Path) -> None:
    outside = [str(link) for link in links(document) if not link.target.is_relative_to(ROOT)]
    assert outside == []


@every_document
def test_every_heading_that_is_linked_to_is_there(document: Path) -> None:
    missing = [
        f"{link} #{link.anchor}"
        for link in links(document)
        if link.anchor and link.target.suffix == ".md" and link.anchor not in anchors(link.target)
    ]
    assert missing == []


def test_every_function_that_the_walk_names_is_defined_where_it_points() -> None:
    named = [
        (match[1], link.target)
        for link in links(WALK)
        if link.target.suffix == ".py" and (match := NAME.match(link.text)) is not None
    ]
    assert len(named) > 20
    missing = [f"{name} in {path.relative_to(ROOT)}" for name, path in named if name not in defined(path)]
    assert missing == []


@every_document
def test_every_make_target_that_is_named_is_one(document: Path) -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {name for text in code(document) for name in re.findall(r"(?<![\w-])make ([a-z][a-z0-9-]*)", text)}
    assert named <= targets


@every_document
def test_every_waybill_command_and_option_that_is_named_is_one(document: Path) -> None:
    commands = _commands(typer.main.get_group(app))
    wrong = [
        f"waybill {name} {option}".strip()
        for name, options in called(document, commands)
        for option in ["", *options]
        if name not in commands or (option and option not in commands[name])
    ]
    assert wrong == []


@every_document
def test_every_setting_that_is_named_is_one(document: Path) -> None:
    prefixes = "|".join(program.upper() for program in (*SERVICES, "sandbox"))
    named = set(re.findall(rf"(?<![A-Z_])(?:{prefixes})_[A-Z_]*[A-Z]\b", document.read_text()))
    assert named <= variables()


@pytest.mark.parametrize("service", SERVICES)
def test_the_table_of_services_says_what_contracts_and_settings_say(service: str) -> None:
    rows = {
        re.sub(r"^\[(\w+)\]\(.*\)$", r"\1", row["Service"]): row
        for row in table(README, "Service", "Queue", "Workflows", "Owns", "Port")
    }
    assert set(rows) == set(SERVICES)
    row = rows[service]
    assert row["Queue"] == f"`{importlib.import_module(f'{service}.contract').TASK_QUEUE}`"
    assert row["Port"] == str(settings_of(service).model_fields["port"].default)
    assert set(re.findall(r"`(\w+)`", row["Workflows"])) == set(workflows_of(service))


def test_every_test_that_a_document_names_is_one() -> None:
    files = [
        path
        for folder in ("libs", "sandbox", "services", "tests", "tools")
        for path in (ROOT / folder).rglob("test_*.py")
    ]
    tests = {
        name for path in files for name in re.findall(r"^(?:async )?def (test_\w+)", path.read_text(), re.MULTILINE)
    }
    named = {name for path in documents() for name in re.findall(r"`(test_\w+)`", path.read_text())}
    assert named - tests == set()
    assert len(named) > 50


def test_nothing_in_a_document_waits_to_be_filled_in() -> None:
    gaps = [
        f"{document.relative_to(ROOT)}: {gap}"
        for document in documents()
        for gap in re.findall(r"@@\w+@@|\bTODO\b|\bTBD\b|\bFIXME\b", document.read_text())
    ]
    assert gaps == []


def defined(path: Path) -> set[str]:
    """Functions, classes and their members, and constants of a module."""
    names: set[str] = set()
    for node in ast.parse(path.read_text()).body:
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                names.add(name)
            case ast.ClassDef(name=name, body=body):
                members = {part.name for part in body if isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef)}
                names |= {name, *(f"{name}.{member}" for member in members)}
            case ast.Assign(targets=targets):
                names |= {target.id for target in targets if isinstance(target, ast.Name)}
            case _:
                continue
    return names


def _commands(group: Any, before: str = "") -> dict[str, set[str]]:
    """The options of each command, those of groups by both words."""
    found: dict[str, set[str]] = {}
    for name, command in group.commands.items():
        found[before + name] = {option for parameter in command.params for option in parameter.opts}
        if hasattr(command, "commands"):
            found |= _commands(command, f"{before}{name} ")
    return found


def called(document: Path, commands: dict[str, set[str]]) -> Iterator[tuple[str, list[str]]]:
    """Each call of ``waybill`` in a document's code, with the options that it is given."""
    for text in code(document):
        for line in text.splitlines():
            for part in re.split(r"[|,;#]", line):
                # Kubernetes' namespace is called so too.
                match = re.search(r"(?<![\w/-])(?<!--namespace )(?:\.venv/bin/)?waybill ([a-z]+)\b(.*)", part)
                if match is not None:
                    second = re.match(r" ([a-z]+)\b", match[2])
                    both = f"{match[1]} {second[1]}" if second is not None else match[1]
                    yield both if both in commands else match[1], re.findall(r"(?<![\w-])--[a-z][a-z-]*", match[2])


def settings_of(program: str) -> type[BaseSettings]:
    """The settings class of a service, or of the sandbox."""
    module = importlib.import_module(f"{program}.settings")
    [found] = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, BaseSettings) and value.__module__ == module.__name__
    ]
    return found


def variables() -> set[str]:
    """Every environment variable that a service or the sandbox reads as a setting."""
    return {
        f"{settings.model_config.get('env_prefix', '')}{field}".upper()
        for settings in map(settings_of, (*SERVICES, "sandbox"))
        for field in settings.model_fields
    }


def workflows_of(service: str) -> Iterator[str]:
    """Names of the classes that a service defines as workflows."""
    folder = ROOT / "services" / service / "src" / service / "workflows"
    for path in folder.glob("*.py"):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef) and any("workflow.defn" in ast.unparse(d) for d in node.decorator_list):
                yield node.name
