"""``waybill plan``."""

import json
from pathlib import Path
from typing import Annotated

import rich.box
import typer
from rich.markup import escape
from rich.table import Table as Drawn

from waybill.cli.common import fail, screen
from waybill.load.conduct import DEFAULT_FOLDER
from waybill.load.report.files import write
from waybill.load.report.model import Table
from waybill.planning import reports, tables
from waybill.planning.forecast import USUAL_RATES, Options
from waybill.planning.measured import PlanError
from waybill.planning.plan import Plan, make

app = typer.Typer()
USUAL = Options()


@app.command("plan")
def command(
    *,
    orders_per_second: Annotated[
        list[float] | None,
        typer.Option(
            metavar="R",
            help="For how many. May be repeated. By default for "
            + ", ".join(f"{rate:g}" for rate in USUAL_RATES)
            + ".",
            show_default=False,
        ),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(
            help=f"report.json of a run of waybill load, or its folder. By default the newest in {DEFAULT_FOLDER}.",
            show_default=False,
        ),
    ] = None,
    check: Annotated[
        Path | None,
        typer.Option(
            help="Report of another run, at another rate say: sets beside what it measured what is predicted for it.",
            show_default=False,
        ),
    ] = None,
    utilisation: Annotated[
        float, typer.Option(min=0.05, max=1, help="Share of a core and of slots that is in use in the mean, at most.")
    ] = USUAL.utilisation,
    at_least: Annotated[
        int, typer.Option(min=1, max=1000, help="Replicas of each pool, at least. With 2 one may fail.")
    ] = USUAL.least,
    retention_days: Annotated[
        float, typer.Option(min=1, max=3650, help="For how long Temporal keeps the histories of what has ended.")
    ] = USUAL.retention_days,
    to: Annotated[
        Path | None,
        typer.Option(help="Folder: also write a page, report.json and the tables as CSV.", show_default=False),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document, and nothing else.")] = False,
) -> None:
    """Plan capacity from a measured run: replicas, cores, memory, and what Temporal and the databases have to do.

    Figures are what an order cost in that run, times orders a second. What is beyond the run's own rate is marked as
    extrapolation. Measure with: waybill load --rate 2 --seconds 120 --delivery-seconds 6
    """
    if to is not None and reports.holds_a_run(to):
        fail(f"{to} holds the report of a run, which would be lost (--to names another folder)")
    options = Options(utilisation, at_least, retention_days)
    try:
        run = reports.read(report) if report is not None else reports.newest(DEFAULT_FOLDER)
        beside = reports.read(check) if check is not None else None
        plan = make(run, orders_per_second or USUAL_RATES, options, beside)
        page = write(to, plan.document(to.resolve().name)) if to is not None else None
    except (PlanError, OSError) as error:
        fail(str(error))
    if as_json:
        screen.print_json(json.dumps(plan.as_json()))
        return
    _show(plan)
    if page is not None:
        screen.say(f"\nPage: {page}")


def _show(plan: Plan) -> None:
    for line in tables.text(plan.run, plan.options):
        screen.say(line)
    for line in plan.warnings:
        screen.say(f"! {line}", style="yellow")
    for table in tables.tables(plan.forecasts, plan.options):
        _draw(table)
    screen.say("")
    for line in tables.legend(plan.forecasts, plan.run):
        screen.say(line)
    _draw(tables.per_order(plan.run))
    if plan.check is not None and plan.comparison is not None:
        shown = plan.document("").sections[-1]
        screen.say(f"\n{shown.title}", style="bold")
        for line in shown.text:
            screen.say(line)
        for line in shown.warnings:
            screen.say(f"! {line}", style="yellow")
        for table in shown.tables:
            _draw(table)


def _draw(table: Table) -> None:
    screen.say(f"\n{table.title}", style="bold")
    drawn = Drawn(box=rich.box.SIMPLE_HEAD if screen.is_terminal else None, pad_edge=False)
    for place, column in enumerate(table.columns):
        drawn.add_column(escape(column), justify="left" if place == 0 else "right", overflow="fold", no_wrap=place == 0)
    for row in table.rows:
        drawn.add_row(*(escape(cell) for cell in row))
    screen.print(drawn, soft_wrap=False)
