"""The command ``waybill``."""

import typer

from waybill.cli import bench, cluster, imports, load, orders, plan, samples, schedules, stack, trace

app = typer.Typer(
    help="Run, watch, break and audit a Waybill deployment.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for part in (stack, samples, orders, trace, imports, bench, plan):
    app.add_typer(part.app)
app.add_typer(imports.files, name="import")
app.add_typer(load.app, name="load")
app.add_typer(schedules.app, name="schedules")
app.add_typer(cluster.commands, name="cluster")
