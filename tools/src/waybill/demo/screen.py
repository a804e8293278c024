"""What the demo shows: a live table on a terminal, plain lines elsewhere."""

import os
import sys
import time
from collections.abc import Iterable, Sequence
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from waybill.demo.day import Row
from waybill.demo.jobs import Job

PLAIN_WIDTH = 200
"""Columns where there is no terminal: long lines are for whoever reads them to wrap."""
REFRESH_PER_SECOND = 8


class Screen(Console):
    """A console that falls silent when its reader goes away: that must not end, or hold up, what it tells about."""

    def __init__(self) -> None:
        super().__init__(highlight=False, soft_wrap=True)
        if not self.is_terminal:
            self.width = PLAIN_WIDTH

    def on_broken_pipe(self) -> None:
        """Say nothing more; what the interpreter still flushes goes nowhere."""
        self.quiet = True
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

    def say(self, line: str, style: str | None = None) -> None:
        """Print a line as it is."""
        self.print(escape(line), style=style)


class Board:
    """The table of samples, for as long as they run."""

    def __init__(self, screen: Screen) -> None:
        """Prepare.

        Args:
            screen: To show it on.
        """
        self.rows: Sequence[Row] = ()
        self._screen = screen
        self._live = (
            Live(console=screen, refresh_per_second=REFRESH_PER_SECOND, get_renderable=self._table)
            if screen.is_terminal
            else None
        )

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def changed(self, row: Row) -> None:
        """A row is not as it was."""
        if self._live is None:
            if row.actual is None:
                self._screen.say(f"  {row.order_id}: {row.status}")
            else:
                verdict = "as expected" if row.right else f"EXPECTED {row.sample.expected}"
                self._screen.say(f"  {row.order_id}: {row.actual} after {row.seconds:.1f} s, {verdict}")

    def told(self, job: Job) -> None:
        """A job has ended; above the table, or in its place."""
        verdict = "as expected" if job.right else f"EXPECTED {job.expected}"
        self._screen.say(f"  {job.name}: {job.actual} after {job.seconds:.1f} s, {verdict}")

    def _table(self) -> Table:
        return table(self.rows)


def table(rows: Iterable[Row]) -> Table:
    """All samples, how they are and how they must end."""
    result = Table(box=None, pad_edge=False)
    for name in ("order", "now", "expected", "seconds"):
        result.add_column(name, justify="right" if name == "seconds" else "left", overflow="fold")
    for row in rows:
        now = row.actual if row.actual is not None else row.status
        style = "dim" if row.began is None else "yellow" if row.actual is None else "green" if row.right else "bold red"
        seconds = row.seconds
        if seconds is None and row.began is not None:
            seconds = time.monotonic() - row.began
        result.add_row(
            row.order_id,
            f"[{style}]{escape(now)}[/]",
            escape(row.sample.expected),
            "" if seconds is None else f"{seconds:.1f}",
        )
    return result
