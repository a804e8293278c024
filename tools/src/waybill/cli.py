"""The command ``waybill``."""

import asyncio
import json
from collections.abc import Coroutine
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

import aiohttp
import typer
from rich.table import Table
from temporalio.client import Client

from waybill import story as stories
from waybill.audit.books import BooksError
from waybill.audit.reading import KEEPERS, Reader
from waybill.audit.rules import STUCK_AFTER
from waybill.audit.run import Report
from waybill.audit.run import audit as run_audit
from waybill.demo import run as demos
from waybill.demo.screen import Screen
from waybill.demo.shop import ShopError
from waybill.stack import plan, state
from waybill.stack.control import ControlClient
from waybill.stack.ports import PortTaken
from waybill.stack.spec import StackError

T = TypeVar("T")

VIOLATED = 1
CANNOT = 2
"""Exit code where a command could not do, or ask, what it was to."""
DOWN_SECONDS = 120.0
"""How long ``waybill down`` waits for the last process to end."""

app = typer.Typer(
    help="Run, watch, break and audit a Waybill deployment.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
screen = Screen()

Directory = Annotated[Path, typer.Option(help="Where the stack keeps its state and its logs.", show_default=True)]
Name = Annotated[str, typer.Argument(help="A service, one replica (shipping-2), or temporal, postgres, sandbox.")]
Seconds = Annotated[float, typer.Option("--for", min=0, max=86400, help="Seconds.")]


@app.command()
def demo(
    *,
    once: Annotated[bool, typer.Option("--once", help="End after the sample orders and an audit.")] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Begin with the state that the last run left.")] = False,
    ports: Annotated[
        str, typer.Option(help=f"Ports that must be, as NAME=PORT,…; names: {', '.join(plan.USUAL_PORTS)}.")
    ] = "",
    directory: Directory = state.DEFAULT_DIRECTORY,
    report: Annotated[Path, typer.Option(help="Where the result is written.")] = demos.DEFAULT_REPORT,
) -> None:
    """Start everything, place an order of each kind, tell a story, audit; stay up until Ctrl-C."""
    options = demos.Options(once=once, keep=keep, directory=directory, report=report, ports=parse_ports(ports))
    raise typer.Exit(run(demos.demo(options, screen)))


@app.command()
def audit(
    *,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until no order is under way.")] = False,
    timeout: Annotated[float, typer.Option(min=0, help="With --wait: for so many seconds at most.")] = 300,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
    stuck_after: Annotated[
        float, typer.Option(min=1, help="Seconds after which an order that does not move is a violation.")
    ] = STUCK_AFTER.total_seconds(),
    url: Annotated[
        list[str] | None,
        typer.Option(help=f"NAME=URL of a service, for a deployment that is no stack of ours: {', '.join(KEEPERS)}."),
    ] = None,
    token: Annotated[
        str, typer.Option(envvar="WAYBILL_OPERATOR_TOKEN", help="The operators' token; a stack's own is known.")
    ] = "",
    directory: Directory = state.DEFAULT_DIRECTORY,
) -> None:
    """Ask every service for its books, and check that they fit together. Exits with 1 if they do not."""
    stated = parse_pairs(url or [], KEEPERS)
    urls, operator_token = stated, token
    if not stated or not token:
        running = find(directory)
        urls, operator_token = {**running.urls, **stated}, token or running.operator_token

    async def ask() -> Report:
        async with aiohttp.ClientSession() as session:
            return await run_audit(
                Reader(session, urls, operator_token),
                wait_seconds=timeout if wait else None,
                stuck_after=timedelta(seconds=stuck_after),
            )

    report = run(ask())
    if as_json:
        screen.say(json.dumps(report.as_json(), indent=2))
    else:
        for violation in report.violations:
            screen.say(str(violation))
        under_way = f", {report.in_flight} of them under way" if report.in_flight else ""
        screen.say(f"checked {report.checked} orders{under_way}: {len(report.violations) or 'no'} violations")
    raise typer.Exit(VIOLATED if report.violations else 0)


@app.command()
def story(
    order_id: Annotated[str, typer.Argument(help="Of the order.")],
    address: Annotated[
        str, typer.Option(envvar="TEMPORAL_ADDRESS", help="Of Temporal, where it is no stack of ours.")
    ] = "",
    namespace: Annotated[str, typer.Option(envvar="TEMPORAL_NAMESPACE", help="In Temporal.")] = plan.NAMESPACE,
    directory: Directory = state.DEFAULT_DIRECTORY,
) -> None:
    """Tell the story of one order: what was done when, on which queue, by whom."""
    target = address or find(directory).urls["temporal"]

    async def tell() -> list[stories.Step]:
        try:
            client = await Client.connect(target, namespace=namespace)
        except RuntimeError:
            raise stories.NoStory(f"Temporal does not answer at {target}") from None
        return stories.steps(await stories.fetch(client, order_id))

    for line in stories.lines(run(tell())):
        screen.say(line)


@app.command()
def status(
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
    directory: Directory = state.DEFAULT_DIRECTORY,
) -> None:
    """Show what every process of the running stack is doing."""

    async def ask() -> list[dict[str, Any]]:
        async with ControlClient(directory) as control:
            return await control.status()

    statuses = run(ask())
    if as_json:
        screen.say(json.dumps(statuses, indent=2))
        return
    table = Table(box=None, pad_edge=False)
    for column in ("name", "state", "pid", "port", "restarts", "ready"):
        table.add_column(column)
    for each in statuses:
        cells = (each[name] for name in ("name", "state", "pid", "port", "restarts", "ready"))
        table.add_row(*("" if cell is None else str(cell) for cell in cells))
    screen.print(table)


@app.command()
def kill(name: Name, seconds: Seconds = 0, directory: Directory = state.DEFAULT_DIRECTORY) -> None:
    """Kill with SIGKILL, hold down for a while, start again."""
    run(act(directory, name, "kill", seconds=seconds))
    screen.say(f"{name} is killed, and starts again " + (f"after {seconds:g} s" if seconds else "at once"))


@app.command()
def pause(
    name: Name,
    seconds: Annotated[float | None, typer.Option("--for", min=0, max=86400, help="Resume after so long.")] = None,
    directory: Directory = state.DEFAULT_DIRECTORY,
) -> None:
    """Stop it from running (SIGSTOP): it keeps its connections and answers nothing."""
    run(act(directory, name, "pause", seconds=seconds))
    screen.say(f"{name} is paused " + ("until: waybill resume" if seconds is None else f"for {seconds:g} s"))


@app.command()
def resume(name: Name, directory: Directory = state.DEFAULT_DIRECTORY) -> None:
    """Let what is paused go on."""
    run(act(directory, name, "resume"))
    screen.say(f"{name} goes on")


@app.command()
def restart(name: Name, directory: Directory = state.DEFAULT_DIRECTORY) -> None:
    """Stop with a drain, start, and wait until it is ready."""
    run(act(directory, name, "restart"))
    screen.say(f"{name} is ready again")


@app.command()
def scale(
    service: Annotated[str, typer.Argument(help=", ".join(plan.SERVICES))],
    replicas: Annotated[int, typer.Argument(min=0, max=20)],
    directory: Directory = state.DEFAULT_DIRECTORY,
) -> None:
    """Run so many replicas of a service."""
    run(act(directory, service, "scale", replicas=replicas))
    screen.say(f"{service} has {replicas} replica{'' if replicas == 1 else 's'}")


@app.command()
def down(directory: Directory = state.DEFAULT_DIRECTORY) -> None:
    """End the running stack, and wait until its last process has ended."""

    async def end() -> None:
        async with ControlClient(directory) as control:
            await control.down()
        try:
            async with asyncio.timeout(DOWN_SECONDS):
                while (directory / state.NAME).exists():  # noqa: ASYNC110 - the stack is another process
                    await asyncio.sleep(0.1)
        except TimeoutError:
            raise StackError(f"the stack has not ended within {DOWN_SECONDS:g} s") from None

    run(end())
    screen.say("the stack has ended")


async def act(directory: Path, name: str, action: str, **arguments: float | None) -> None:
    """Do something to a process of the running stack."""
    async with ControlClient(directory) as control:
        await control.act(name, action, **arguments)


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a command's work; what it cannot do is told in one line, and ends the command with 2."""
    try:
        return asyncio.run(work)
    except (StackError, PortTaken, BooksError, ShopError, stories.NoStory, OSError) as error:
        fail(str(error))
    except KeyboardInterrupt:
        raise typer.Exit(demos.INTERRUPTED) from None


def find(directory: Path) -> state.StackState:
    """The running stack's note. Ends the command if there is none."""
    try:
        return state.read(directory)
    except StackError as error:
        fail(str(error))


def fail(said: str) -> NoReturn:
    """End the command: it could not do what it was to."""
    typer.echo(f"waybill: {said}", err=True)
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
