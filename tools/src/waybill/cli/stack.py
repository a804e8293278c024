"""Commands that start, watch, break and end a stack."""

import asyncio
import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from waybill.cli.common import Directory, parse_ports, run, screen
from waybill.demo import run as demos
from waybill.stack import plan, state
from waybill.stack.control import ControlClient
from waybill.stack.spec import StackError

DOWN_SECONDS = 120.0
"""How long ``waybill down`` waits for the last process to end."""

app = typer.Typer()

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
