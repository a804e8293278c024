"""What all commands have in common: how they end, and how they find a running stack."""

import asyncio
import os
from collections.abc import Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

import typer
from temporalio.service import RPCError

from waybill import story as stories
from waybill.audit.books import BooksError
from waybill.audit.reading import KEEPERS
from waybill.bench.harness import BenchError
from waybill.cluster.kubectl import ClusterError
from waybill.demo import run as demos
from waybill.demo.screen import Screen
from waybill.demo.shop import ShopError
from waybill.imports import ImportsError
from waybill.load.targets import LoadError
from waybill.schedules import SchedulesError
from waybill.stack import plan, state
from waybill.stack.ports import PortTaken
from waybill.stack.spec import StackError
from waybill.tracing.tree import NoTrace

T = TypeVar("T")

VIOLATED = 1
CANNOT = 2
"""Exit code where a command could not do, or ask, what it was to."""

screen = Screen()

Directory = Annotated[Path, typer.Option(help="Where the stack keeps its state and its logs.", show_default=True)]
Url = Annotated[
    list[str] | None,
    typer.Option(
        envvar="WAYBILL_URL",
        help=f"NAME=URL of a service, for a deployment that is no stack of ours; names: {', '.join(KEEPERS)}.",
    ),
]
TOKEN_FILE = "WAYBILL_OPERATOR_TOKEN_FILE"  # noqa: S105 - the name of a variable
Token = Annotated[
    str,
    typer.Option(
        envvar="WAYBILL_OPERATOR_TOKEN",
        help=f"The operators' token; a stack's own is known. The variable {TOKEN_FILE} names a file with it.",
    ),
]


@dataclass(frozen=True)
class Deployment:
    """Whom to ask, and what opens the operators' doors.

    Attributes:
        urls: Base URL of each service.
        token: The operators' token.
    """

    urls: dict[str, str]
    token: str


KNOWN = (
    StackError,
    PortTaken,
    BooksError,
    ShopError,
    ImportsError,
    SchedulesError,
    BenchError,
    ClusterError,
    LoadError,
    stories.NoStory,
    NoTrace,
    RPCError,
    OSError,
)
"""What a command cannot do is one of these, and its text is for the person who asked."""


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a command's work; what it cannot do is told in one line, and ends the command with 2."""
    try:
        return asyncio.run(work)
    except KNOWN as error:
        fail(str(error))
    except KeyboardInterrupt:
        raise typer.Exit(demos.INTERRUPTED) from None


def find(directory: Path) -> state.StackState:
    """The running stack's note. Ends the command if there is none."""
    try:
        return state.read(directory)
    except StackError as error:
        fail(str(error))


def deployment(url: list[str] | None, token: str, directory: Path, wanted: tuple[str, ...] = KEEPERS) -> Deployment:
    """What the options name; without a token of its own it is the running stack, with some services elsewhere.

    Ends the command if there is no such stack, or a deployment with a token is named in part only.

    Args:
        url: ``NAME=URL`` parts.
        token: The operators' token, or nothing.
        directory: Of a stack.
        wanted: Names that must be known.
    """
    stated = parse_pairs(url or [], KEEPERS)
    token = token or token_from_file()
    if token and stated:
        if missing := [name for name in wanted if name not in stated]:
            fail(f"no URL for {', '.join(missing)} (--url NAME=URL)")
        return Deployment(stated, token)
    running = find(directory)
    return Deployment({**running.urls, **stated}, token or running.operator_token)


def token_from_file() -> str:
    """The token in the file that ``TOKEN_FILE`` names, or nothing. Ends the command if that cannot be read."""
    named = os.environ.get(TOKEN_FILE)
    if not named:
        return ""
    try:
        return Path(named).read_text().strip()
    except (OSError, ValueError) as error:
        fail(f"{TOKEN_FILE}: {named} cannot be read: {error}")


def complain(said: str) -> None:
    """Say what could not be done."""
    typer.echo(f"waybill: {said}", err=True)


def fail(said: str) -> NoReturn:
    """End the command: it could not do what it was to."""
    complain(said)
    raise typer.Exit(CANNOT)


def parse_ports(text: str) -> dict[str, int]:
    """``NAME=PORT,…`` as a dictionary. Ends the command if it is not that."""
    ports: dict[str, int] = {}
    for name, value in parse_pairs([part for part in text.split(",") if part.strip()], plan.PORTS).items():
        if not (value.isascii() and value.isdigit() and 1 <= int(value) <= 65535):
            fail(f"--ports: {value!r}, for {name}, is not a port from 1 to 65535")
        ports[name] = int(value)
    return ports


def parse_pairs(parts: list[str], names: tuple[str, ...]) -> dict[str, str]:
    """``NAME=VALUE`` parts as a dictionary. Ends the command if a part is not that, or a name is not known."""
    pairs: dict[str, str] = {}
    for part in parts:
        name, equals, value = part.strip().partition("=")
        if not equals or name not in names:
            fail(f"{part.strip()!r} is not NAME=VALUE with a name of {', '.join(names)}")
        pairs[name] = value
    return pairs
