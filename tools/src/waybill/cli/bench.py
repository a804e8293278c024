"""``waybill bench``."""

from pathlib import Path
from typing import Annotated

import typer

from waybill.bench.harness import MIN_PAIRS, BenchError
from waybill.bench.run import DEFAULT_REPORT, bench, chosen
from waybill.cli.common import fail, run, screen

app = typer.Typer()


@app.command("bench")
def measure(
    only: Annotated[
        list[str] | None, typer.Option(help="Name of a benchmark, or a pattern such as 'fanout_*'.")
    ] = None,
    pairs: Annotated[int, typer.Option(min=1, max=100, help="How often each side is measured.")] = MIN_PAIRS,
    *,
    names: Annotated[bool, typer.Option("--list", help="Only list what there is.")] = False,
    report: Annotated[Path, typer.Option(help="Where the results are written.")] = DEFAULT_REPORT,
    csv: Annotated[
        Path | None,
        typer.Option(
            help="Where every pair's figures are written too. In a file that is there, those of other benchmarks stay."
        ),
    ] = None,
) -> None:
    """Measure two things in turns, and say how they compare. The machine should have nothing else to do."""
    if names:
        try:
            found = chosen(only or [])
        except BenchError as error:
            fail(str(error))
        for name in found:
            screen.say(name)
        return
    run(bench(screen, only or [], pairs, report, csv=csv))
