"""The command that draws what became of one order, from the spans that processes kept."""

import json
import re
import shutil
from pathlib import Path
from typing import Annotated

import typer

from waybill.cli.common import Directory, run, screen
from waybill.stack import state
from waybill.stack.directory import SPANS
from waybill.tracing.document import document
from waybill.tracing.drawing import NARROWEST, draw
from waybill.tracing.spans import Reading, read
from waybill.tracing.tree import NoTrace, Part, of_order, of_trace

app = typer.Typer()

PIPE_WIDTH = 120
"""Columns where there is no terminal."""
TRACE_ID = re.compile(r"[0-9a-f]{8,32}")


@app.command()
def trace(
    order_id: Annotated[str, typer.Argument(help="Of the order; or a trace id from a log, or its first eight digits.")],
    *,
    everything: Annotated[bool, typer.Option("--all", help="Show every span: each call, each SQL statement.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
    width: Annotated[
        int | None,
        typer.Option(min=NARROWEST, max=1000, help="Columns. By default the terminal's.", show_default=False),
    ] = None,
    spans: Annotated[
        list[Path] | None,
        typer.Option(help="A file with spans, or a folder of such files, where they are no stack's. May be repeated."),
    ] = None,
    directory: Directory = state.DEFAULT_DIRECTORY,
) -> None:
    """Draw the trace of one order: which service did what when, how long it took, and what it waited for."""
    places = spans or [directory / SPANS]

    async def find() -> list[Part]:
        return parts(read(places), order_id.removeprefix("fulfil:"), places)

    found = run(find())
    if as_json:
        screen.say(json.dumps(document(found), indent=2))
        return
    columns = width or (shutil.get_terminal_size().columns if screen.is_terminal else PIPE_WIDTH)
    plain = not screen.encoding.lower().startswith("utf")
    for line in draw(found, title=order_id, width=columns, everything=everything, plain=plain):
        line.rstrip()
        screen.print(line, soft_wrap=True)


def parts(reading: Reading, name: str, places: list[Path]) -> list[Part]:
    """The traces of what somebody named.

    Raises:
        NoTrace: If there are none.
    """
    where = ", ".join(str(place) for place in places)
    if not reading.spans:
        raise NoTrace(
            f"no spans are kept in {where} (make demo keeps them there, unless OTEL_EXPORTER_OTLP_ENDPOINT sends them "
            "to a collector; elsewhere a process keeps them with OTEL_TRACES_EXPORTER=file and WAYBILL_SPANS_FILE)"
        )
    try:
        return of_order(reading.spans, name)
    except NoTrace:
        ids = {span.trace_id for span in reading.spans if span.trace_id.startswith(name)}
        if not TRACE_ID.fullmatch(name) or len(ids) != 1:
            raise
    return of_trace(reading.spans, ids.pop())
