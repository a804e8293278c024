"""``waybill import`` and ``waybill watch``: files that become work, and how far it is."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, TypeVar

import aiohttp
import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

from waybill.cli.common import VIOLATED, Directory, Token, Url, deployment, run, screen
from waybill.imports import OWNERS, Imports, State, new_id
from waybill.stack import state

SHOWN_REJECTIONS = 10
"""How many rejected rows are shown; the service lists all."""

T = TypeVar("T")

files = typer.Typer(help="Send a file to the service that works on it.", no_args_is_help=True)
app = typer.Typer()

File = Annotated[
    Path, typer.Argument(help="A CSV (.csv) or JSON Lines (.jsonl, .ndjson) file.", exists=True, dir_okay=False)
]
ImportId = Annotated[str, typer.Argument(help="Id of an import, as printed when the file was sent.")]
Id = Annotated[str, typer.Option("--id", help="The import's id. The same file under the same id is one import.")]
Detach = Annotated[bool, typer.Option("--detach", help="Do not wait for its end.")]


@files.command()
def catalogue(
    *,
    file: File,
    import_id: Id = "",
    detach: Detach = False,
    url: Url = None,
    token: Token = "",
    directory: Directory = state.DEFAULT_DIRECTORY,
) -> None:
    """A supplier's list of prices and stock, for inventory."""
    _import("catalogue", file, import_id, detach=detach, access=(url, token, directory))


@files.command()
def orders(
    *,
    file: File,
    import_id: Id = "",
    detach: Detach = False,
    url: Url = None,
    token: Token = "",
    directory: Directory = state.DEFAULT_DIRECTORY,
) -> None:
    """Orders, for the orchestrator. They run beside the customers' own, and after them."""
    _import("orders", file, import_id, detach=detach, access=(url, token, directory))


@files.command()
def pause(
    import_id: ImportId, url: Url = None, token: Token = "", directory: Directory = state.DEFAULT_DIRECTORY
) -> None:
    """Begin nothing more until it is resumed; what is under way goes on."""
    _ask((url, token, directory), lambda imports: imports.act(import_id, "pause"))
    screen.say(f"{import_id} is paused until: waybill import resume {import_id}")


@files.command()
def resume(
    import_id: ImportId, url: Url = None, token: Token = "", directory: Directory = state.DEFAULT_DIRECTORY
) -> None:
    """Go on."""
    _ask((url, token, directory), lambda imports: imports.act(import_id, "resume"))
    screen.say(f"{import_id} goes on")


@files.command()
def cancel(
    import_id: ImportId, url: Url = None, token: Token = "", directory: Directory = state.DEFAULT_DIRECTORY
) -> None:
    """Begin nothing more, for good; what is under way goes on."""
    _ask((url, token, directory), lambda imports: imports.act(import_id, "cancel"))
    screen.say(f"{import_id} is cancelled")


@app.command()
def watch(
    import_id: ImportId, url: Url = None, token: Token = "", directory: Directory = state.DEFAULT_DIRECTORY
) -> None:
    """Follow an import to its end. Exits with 1 if it failed or was cancelled."""
    raise typer.Exit(_ask((url, token, directory), lambda imports: _watch(imports, import_id)))


Access = tuple[list[str] | None, str, Path]


def _import(kind: str, file: Path, import_id: str, *, detach: bool, access: Access) -> None:
    chosen, size = import_id or new_id(file), file.stat().st_size

    async def work(imports: Imports) -> int:
        bar = Progress(TextColumn("sending"), BarColumn(), DownloadColumn(), console=screen, transient=True)
        with bar:
            task = bar.add_task("", total=size)
            rows = await imports.send(kind, file, chosen, lambda gone: bar.update(task, completed=gone))
        screen.say(f"{OWNERS[kind]} has taken {rows} rows as the import {chosen} (waybill watch {chosen})")
        return 0 if detach else await _watch(imports, chosen)

    raise typer.Exit(_ask(access, work))


async def _watch(imports: Imports, import_id: str) -> int:
    bar = Progress(TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[said]}"), console=screen)
    last = ""
    with bar:
        task = bar.add_task(import_id, total=None, said="")
        async for now in imports.follow(import_id):
            said = describe(now)
            if now.progress is not None:
                bar.update(task, completed=now.progress.done, total=now.progress.total)
            bar.update(task, said=said)
            phase = f"{now.status} {now.progress.phase if now.progress else ''}"
            if not screen.is_terminal and phase != last:
                screen.say(f"{import_id}: {said}")
            last = phase
    if not now.ended:
        return VIOLATED
    if not screen.is_terminal:
        screen.say(f"{import_id}: {describe(now)}")
    await _show_end(imports, now)
    return 0 if now.status == "completed" else VIOLATED


async def _show_end(imports: Imports, end: State) -> None:
    result = dict(end.result or {})
    for name, value in {**result, **result.get("outcomes", {})}.items():
        if isinstance(value, int | str):
            screen.say(f"  {name}: {value}")
    rejected = await imports.rejections(end.kind, end.import_id, SHOWN_REJECTIONS)
    for item in rejected:
        screen.say(f"  line {item['line']}: {item['reason']}")
    if len(rejected) == SHOWN_REJECTIONS:
        screen.say(f"  … (all: GET /imports/{end.import_id}/rejections of {OWNERS[end.kind]})")


def describe(now: State) -> str:
    """A moment of an import, in one line."""
    moment = now.progress
    if moment is None:
        return now.status
    of = "" if moment.total is None else f" of {moment.total}"
    words = [now.status if now.ended or now.status == "paused" else moment.phase, f"{moment.done}{of}"]
    if moment.percent is not None:
        words[-1] += f" ({moment.percent:.0f} %)"
    if moment.failed:
        words.append(f"{moment.failed} failed")
    if moment.rate:
        words.append(f"{moment.rate:.0f}/s" if moment.rate >= 10 else f"{moment.rate:.1f}/s")
    if now.ended:
        words.append(f"{moment.elapsed_seconds:.1f} s")
    elif moment.eta_seconds is not None:
        words.append(f"{_duration(moment.eta_seconds)} left")
    return ", ".join(words)


def _duration(seconds: float) -> str:
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    return f"{whole // 60} min {whole % 60} s" if whole < 3600 else f"{whole / 3600:.1f} h"


def _ask(access: Access, work: Callable[[Imports], Awaitable[T]]) -> T:
    url, token, directory = access
    asked_of = deployment(url, token, directory, tuple(OWNERS.values()))

    async def asked() -> T:
        async with aiohttp.ClientSession() as session:
            return await work(Imports(session, asked_of.urls, asked_of.token))

    return run(asked())
