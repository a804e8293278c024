"""docs/compose.md says what the files say."""

import re
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import pytest
import typer.main
from tests.docs.markdown import code, table

from waybill.cli import app
from waybill.stack.plan import SERVICES

from .files import BASE, ON_POSTGRES, ROOT, TEMPORAL_ON_POSTGRES, USUALLY, Container, asked, read_yaml

PAGE = ROOT / "docs" / "compose.md"
ALL_FOUR = "the four services'"
COLUMNS_ON_POSTGRES = ("Container", "For", "Networks", "Memory", "Published")
CHOSEN_BY_ENV = {"COMPOSE_PROFILES"}
"""What Compose itself reads."""
SAID = {
    "deploy/compose/preflight.py": [
        "port {port}, of {service}, is taken",
        "the docker engine is {found}: ",
        "docker compose is {",
    ],
    "deploy/compose/secrets.sh": ["secrets: a volume cannot be written"],
    "deploy/compose/databases.sh": ["databases: PostgreSQL does not take the password of the volume 'secrets'"],
    "libs/chassis/src/chassis/serving.py": ["the database is not there yet"],
    "libs/chassis/src/chassis/database.py": ["the schema is not up to date"],
    "libs/chassis/src/chassis/settings.py": ["is required", ", and there is no file "],
}
"""What our own programs say when something is missing, and where: the page tells what to do then."""
HANDLED = ("restart", "stop", "start", "kill", "pause", "unpause")


@pytest.mark.parametrize("container", list(USUALLY), ids=lambda each: each.name)
def test_the_table_of_what_runs_says_what_the_file_says(container: Container) -> None:
    rows = {
        row["Container"].strip("`"): row
        for row in table(PAGE, *["Container", "For", "Profile", "Networks", "Memory", "Published"])
    }
    assert list(rows) == list(USUALLY.containers)
    row = rows[container.name]
    assert names(row["Profile"]) == container.profiles
    told(row, container)


def test_the_table_of_temporal_on_postgresql_says_what_the_file_says() -> None:
    rows = {row["Container"].strip("`"): row for row in table(PAGE, *COLUMNS_ON_POSTGRES)}
    changed = {name for name in ON_POSTGRES.containers if name not in USUALLY.containers} | {"temporal"}
    assert set(rows) == changed
    for name, row in rows.items():
        told(row, ON_POSTGRES[name])


def test_every_variable_is_in_the_table_with_its_default_and_no_other_is() -> None:
    rows = {
        row["Variable"].strip("`"): row["If unset"].strip("`") for row in table(PAGE, "Variable", "If unset", "Meaning")
    }
    wanted = asked(BASE.read_text()) | asked(TEMPORAL_ON_POSTGRES.read_text())
    assert set(rows) == {*wanted, *CHOSEN_BY_ENV}
    assert {name: rows[name] for name in wanted} == wanted


@pytest.mark.parametrize("path", SAID)
def test_what_our_programs_say_when_something_is_missing_is_what_they_say(path: str) -> None:
    text = re.sub(r'"\s*\n\s*f?"', "", (ROOT / path).read_text())
    assert [each for each in SAID[path] if each not in text] == []


def test_every_command_of_the_tools_that_is_named_is_one() -> None:
    called = [words for text in code(PAGE) for words in re.findall(r"\btools ([a-z][^#\n`]*)", text)]
    assert len(called) >= 8
    assert [words for words in called if not is_command(words.split())] == []


def test_every_container_that_a_command_names_is_one() -> None:
    named = {
        name
        for text in code(PAGE)
        for _, words in re.findall(rf"docker compose ({'|'.join(HANDLED)})((?: [a-z-]+)+)", text)
        for name in words.split()
    }
    assert len(named) >= 5
    assert named <= {*ON_POSTGRES.containers}


def test_whoever_reads_a_secret_at_its_start_is_named_beside_it() -> None:
    rows = {row["Secret"]: row["Start anew"] for row in table(PAGE, "Secret", "Start anew")}
    made = set(re.findall(r"\$\(made ([a-z_]+)\)", (ROOT / "deploy" / "compose" / "secrets.sh").read_text()))
    assert {name for secrets in rows for name in names(secrets)} == made | {f"{name}_password" for name in SERVICES}


def test_the_edge_knows_as_many_replicas_as_the_page_says() -> None:
    text = (ROOT / "deploy" / "compose" / "edge" / "haproxy.cfg").read_text()
    assert re.findall(r"server-template \S+ (\d+) ", text) == re.findall(r"up to (\d+)\s+replicas", PAGE.read_text())


def test_the_numbers_of_the_page_are_those_of_the_files() -> None:
    text = PAGE.read_text()
    assert "max_connections=300" in USUALLY["postgres"].said["command"]
    assert "PostgreSQL takes 300" in text
    assert ON_POSTGRES["temporal-namespace"].environment["RETENTION"] == "72h"
    assert "kept for 72 h" in text
    logging = read_yaml(BASE)["x-guarded"]["logging"]["options"]
    assert int(logging["max-size"].removesuffix("m")) * int(logging["max-file"]) == 30
    assert "keeps its last 30 MB" in text


def told(row: Mapping[str, str], container: Container) -> None:
    """Compare what a row tells of a container."""
    four = set(SERVICES) if ALL_FOUR in row["Networks"] else set()
    assert names(row["Networks"]) | four == container.networks
    assert row["Memory"] == f"{container.memory // 2**20} MiB"
    assert row["Published"] == ", ".join(str(port) for _, port, _ in container.published)


def names(cell: str) -> set[str]:
    """What stands between backticks."""
    return set(re.findall(r"`([^`]+)`", cell))


def is_command(words: list[str]) -> bool:
    """Whether words after ``waybill`` are a command of it, with options that it has."""
    command: Any = typer.main.get_command(app)
    for before, word in pairwise(["", *words]):
        below = getattr(command, "commands", {})
        known = {option for each in command.params for option in each.opts}
        if word in below:
            command = below[word]
        elif (below and word not in known and before not in known) or (word.startswith("--") and word not in known):
            return False
    return not getattr(command, "commands", {}) or command.invoke_without_command
