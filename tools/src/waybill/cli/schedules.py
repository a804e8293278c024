"""``waybill schedules``: what the services start again and again."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from rich.table import Table
from temporalio.client import Client

from waybill import schedules
from waybill.cli.common import Directory, find, run, screen
from waybill.stack import plan, state
from waybill.stack.control import ControlClient

T = TypeVar("T")

app = typer.Typer(help="Look at, pause, trigger and make up for what the services start again and again.")

Address = Annotated[str, typer.Option(envvar="TEMPORAL_ADDRESS", help="Of Temporal, where it is no stack of ours.")]
Namespace = Annotated[str, typer.Option(envvar="TEMPORAL_NAMESPACE", help="In Temporal.")]
Schedule = Annotated[str, typer.Argument(help="Id of a schedule.")]
FORMATS = ["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"]


@app.command("apply")
def apply_all(directory: Directory = state.DEFAULT_DIRECTORY) -> None:
    """Create each service's schedules, or change them to what its code says, as each does at its start.

    Elsewhere than in a stack of ours: python -m SERVICE schedules.
    """

    async def ask() -> dict[str, dict[str, str]]:
        async with ControlClient(directory) as control:
            return await control.apply_schedules()

    for service, applied in run(ask()).items():
        for schedule, outcome in applied.items():
            screen.say(f"{service:<14}{schedule:<28}{outcome}")


@app.command("list")
def list_all(
    address: Address = "", namespace: Namespace = plan.NAMESPACE, directory: Directory = state.DEFAULT_DIRECTORY
) -> None:
    """Show all schedules: whose, what they start, when they did and will."""
    rows = on_temporal(address, namespace, directory, schedules.rows)
    table = Table(box=None, pad_edge=False)
    for column in ("schedule", "service", "workflow", "last", "next", "note"):
        table.add_column(column)
    for row in rows:
        coming = "paused" if row.paused else moment(row.next)
        table.add_row(row.id, row.service, row.workflow, moment(row.last), coming, row.note)
    screen.print(table)


@app.command()
def pause(
    schedule: Schedule,
    note: Annotated[str, typer.Option(help="Why, for those who wonder.")] = "paused by waybill",
    address: Address = "",
    namespace: Namespace = plan.NAMESPACE,
    directory: Directory = state.DEFAULT_DIRECTORY,
) -> None:
    """Start nothing more until it is resumed, also if the service starts anew."""
    on_temporal(address, namespace, directory, lambda client: schedules.pause(client, schedule, note))
    screen.say(f"{schedule} is paused until: waybill schedules resume {schedule}")


@app.command()
def resume(
    schedule: Schedule,
    address: Address = "",
    namespace: Namespace = plan.NAMESPACE,
    directory: Directory = state.DEFAULT_DIRECTORY,
) -> None:
    """Go on from now; what was missed is not made up for."""
    on_temporal(address, namespace, directory, lambda client: schedules.resume(client, schedule))
    screen.say(f"{schedule} goes on")


@app.command()
def trigger(
    schedule: Schedule,
    address: Address = "",
    namespace: Namespace = plan.NAMESPACE,
    directory: Directory = state.DEFAULT_DIRECTORY,
) -> None:
    """Start it once, now."""
    on_temporal(address, namespace, directory, lambda client: schedules.trigger(client, schedule))
    screen.say(f"{schedule} is triggered")


@app.command()
def backfill(
    *,
    schedule: Schedule,
    since: Annotated[datetime, typer.Option("--from", formats=FORMATS, help="UTC.")],
    until: Annotated[datetime, typer.Option("--to", formats=FORMATS, help="UTC.")],
    address: Address = "",
    namespace: Namespace = plan.NAMESPACE,
    directory: Directory = state.DEFAULT_DIRECTORY,
) -> None:
    """Start what it would have started in a time that is past."""
    begin, end = since.replace(tzinfo=UTC), until.replace(tzinfo=UTC)
    on_temporal(address, namespace, directory, lambda client: schedules.backfill(client, schedule, begin, end))
    screen.say(f"{schedule} makes up for {moment(begin)} to {moment(end)}")


@app.command()
def remove(
    schedule: Schedule,
    address: Address = "",
    namespace: Namespace = plan.NAMESPACE,
    directory: Directory = state.DEFAULT_DIRECTORY,
) -> None:
    """Delete it. What it started goes on; its service makes it again at its next start."""
    on_temporal(address, namespace, directory, lambda client: schedules.remove(client, schedule))
    screen.say(f"{schedule} is removed")


def on_temporal(address: str, namespace: str, directory: Path, work: Callable[[Client], Awaitable[T]]) -> T:
    """Do something with a client; Temporal is where it is said to be, or where the running stack has it."""
    target = address or find(directory).urls["temporal"]

    async def connected() -> T:
        try:
            client = await Client.connect(target, namespace=namespace)
        except RuntimeError:
            raise schedules.SchedulesError(f"Temporal does not answer at {target}") from None
        return await work(client)

    return run(connected())


def moment(when: datetime | None) -> str:
    """A time for a person, in UTC."""
    return "" if when is None else when.astimezone(UTC).strftime("%Y-%m-%d %H:%M")
