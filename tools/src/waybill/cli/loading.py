"""What the commands of ``waybill load`` share: what is loaded, where the report goes, and how that is told."""

import json
import time
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryFile
from typing import Annotated

import typer

from waybill.audit.reading import KEEPERS
from waybill.cli.common import TOKEN_FILE, complain, fail, find, parse_pairs, run, screen, token_from_file
from waybill.load import targets
from waybill.load.conduct import DEFAULT_FOLDER, GOOD, Conclusion, Experiment, Trial, conduct
from waybill.load.mix import KINDS, USUAL, Mix, MixError, parse
from waybill.load.progress import Progress
from waybill.load.report.files import PAGE
from waybill.stack import plan

Stack = Annotated[
    Path | None,
    typer.Option("--directory", help="Of a running stack. Without it and --url a stack of its own is started."),
]
Address = Annotated[
    str,
    typer.Option(envvar="TEMPORAL_ADDRESS", help="With --url: of Temporal. Without it backlogs are some seconds old."),
]
Namespace = Annotated[str, typer.Option(envvar="TEMPORAL_NAMESPACE", help="With --address.")]
Name = Annotated[str, typer.Option(help="Of the run, and of the report's folder. By default the time.")]
Folder = Annotated[Path, typer.Option("--to", help="Folder of the folders of reports.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the report as one JSON document, and nothing else.")]
AsCsv = Annotated[bool, typer.Option("--csv", help="Print a line each second as CSV, and nothing else.")]
Kinds = Annotated[str, typer.Option("--mix", help=f"Orders, as NAME=WEIGHT,…; names: {', '.join(KINDS)}.")]
Failures = Annotated[float, typer.Option(min=0, max=1, help="Share of orders that must be refused, besides.")]
MostOrders = Annotated[int, typer.Option(min=1, max=1_000_000, help="Most orders of a phase.")]
MostInFlight = Annotated[
    int,
    typer.Option(
        min=1, max=50_000, help="Most orders in flight; beyond it the loop is closed, and the report says so."
    ),
]
WarmUp = Annotated[int, typer.Option(min=0, max=10_000, help="Orders before anything is measured.")]
Histories = Annotated[int, typer.Option(min=0, max=1_000, help="Orders whose histories are read afterwards.")]
USUAL_MIX = ",".join(f"{name}={weight:g}" for name, weight in USUAL.items())


@dataclass(frozen=True)
class Where:
    """What is loaded, and where the report goes: as the options say."""

    url: list[str] | None = None
    token: str = ""
    directory: Path | None = None
    address: str = ""
    namespace: str = plan.NAMESPACE
    name: str = ""
    to: Path = DEFAULT_FOLDER
    as_json: bool = False
    as_csv: bool = False
    delivery_seconds: float | None = None
    begun: str = field(default_factory=lambda: time.strftime("%Y%m%d-%H%M%S"))

    @property
    def folder(self) -> Path:
        """Of the report."""
        return self.to / (self.name or self.begun)

    @property
    def urls(self) -> dict[str, str]:
        """Of the services that ``--url`` names. Ends the command if it does not name them so."""
        return parse_pairs(self.url or [], KEEPERS)

    def target(self, progress: Progress) -> AbstractAsyncContextManager[targets.Target]:
        """What is loaded. Ends the command if that cannot be said."""
        if self.url:
            token = self.token or token_from_file()
            if not token:
                fail(f"the operators' token is missing (--token, WAYBILL_OPERATOR_TOKEN or {TOKEN_FILE})")
            return targets.remote(self.urls, token, self.address or None, self.namespace)
        if self.directory is not None:
            find(self.directory)
            return targets.running(self.directory)
        world = {} if self.delivery_seconds is None else {"SANDBOX_DELIVERY_SECONDS": f"{self.delivery_seconds:g}"}
        return targets.embedded(self.folder / "stack", {"sandbox": world}, lambda line: progress.tell(f"  {line}"))


def try_out(folder: Path) -> None:
    """Make the report's folder, and write into it. Ends the command if that fails: after the load it would be lost."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            pass
    except OSError as error:
        fail(f"the report cannot be written into {folder}: {error.strerror} (--to names another folder)")


def mixed(text: str, failures: float = 0.0) -> Mix:
    """The mix that the options name. Ends the command if it is none."""
    try:
        return parse(text, failures)
    except MixError as error:
        fail(f"--mix: {error}")


def carry_out(
    where: Where,
    title: str,
    experiments: Sequence[Experiment],
    settings: dict[str, object],
    conclusions: Sequence[Conclusion] = (),
) -> None:
    """Run experiments, tell what came out, and end the command with the exit code that says it."""
    progress = Progress(screen, as_csv=where.as_csv, silent=where.as_json)
    target = where.target(progress)
    try_out(where.folder)
    if not where.url and where.directory is None:
        progress.tell(f"Starting a stack of its own (logs: {where.folder}/stack/logs).")
    trial = Trial(where.folder.name, title, where.folder, target, experiments, settings, conclusions)
    code, document = run(conduct(trial, progress))
    if document is None:
        complain("ended at once, without a report")
        raise typer.Exit(code)
    if where.as_json:
        screen.print_json(json.dumps(document.as_json()))
    elif not where.as_csv:
        for section in document.sections:
            screen.say(f"\n{section.title}", style="bold")
            for line in (*section.text, *section.warnings):
                screen.say(line)
        screen.say("")
        for violation in document.violations:
            screen.say(violation, style="bold red")
        screen.say(document.verdict, style="bold green" if code == GOOD else "bold red")
        screen.say(f"Report: {where.folder / PAGE}")
    raise typer.Exit(code)
