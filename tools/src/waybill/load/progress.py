"""What somebody sees who waits: rate, orders in flight, backlogs, latency of the last seconds, errors."""

import csv
import io
from collections.abc import Callable
from itertools import takewhile
from typing import Self

from rich.live import Live
from rich.table import Table

from waybill.demo.screen import Screen
from waybill.load.latency import Latencies
from waybill.load.report.axes import number
from waybill.load.session import Session
from waybill.load.watch import EVERY_SECONDS, KINDS, Sample
from waybill.stack import SERVICES

RECENT_SECONDS = 10.0
"""Rates and latencies are of so much, or of what there was until then."""
PLAIN_EVERY = 5
"""Without a terminal each so-manieth sample becomes a line."""
REFRESH_PER_SECOND = 4


def now(session: Session, sample: Sample) -> dict[str, float]:
    """The figures of a moment, by name."""
    since = sample.at - RECENT_SECONDS
    # In the first seconds there was no more than these; and one look is no rate.
    of = min(RECENT_SECONDS, max(sample.at - session.began, EVERY_SECONDS))
    sent = sum(1 for _ in takewhile(lambda each: each.sent >= since, reversed(session.ledger.entries)))
    found = Latencies(each.latency for each in session.ledger.ended_since(since) if each.latency is not None)
    figures = {
        "seconds": sample.at - session.began,
        "sent_per_second": sent / of,
        "ended_per_second": found.count / of,
        "in_flight": float(session.ledger.under_way),
        "p50_seconds": found.percentile(50.0) or 0.0,
        "p99_seconds": found.percentile(99.0) or 0.0,
        "errors": sample.values.get("orders_failed", 0.0),
        "held": float(session.pace.held),
    }
    for queue in SERVICES:
        figures[f"backlog_{queue}"] = sum(sample.values.get(f"backlog/{queue}/{kind}", 0.0) for kind in KINDS)
    return figures


class Progress:
    """A live table on a terminal, lines elsewhere, or a table for machines."""

    def __init__(self, screen: Screen, *, as_csv: bool = False, silent: bool = False) -> None:
        """Prepare.

        Args:
            screen: To show it on.
            as_csv: A line each second, as CSV, and nothing else.
            silent: Show nothing.
        """
        self._screen = screen
        self._csv = as_csv
        self._silent = silent
        self._figures: dict[str, float] = {}
        self._lines = 0
        live = screen.is_terminal and not as_csv and not silent
        self._live = (
            Live(console=screen, refresh_per_second=REFRESH_PER_SECOND, get_renderable=self._table, transient=True)
            if live
            else None
        )

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def tell(self, line: str) -> None:
        """Say what goes on; above the table."""
        if not self._csv and not self._silent:
            self._screen.say(line)

    def watch(self, session: Session) -> Callable[[Sample], None]:
        """What is to be told of each sample."""

        def changed(sample: Sample) -> None:
            self._figures = now(session, sample)
            if self._csv:
                self._row()
            elif self._live is None and not self._silent and self._lines % PLAIN_EVERY == 0:
                self._line()
            self._lines += 1

        return changed

    def _row(self) -> None:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        if self._lines == 0:
            writer.writerow(self._figures)
        writer.writerow(f"{value:.3f}".rstrip("0").rstrip(".") for value in self._figures.values())
        self._screen.say(text.getvalue().rstrip("\n"))

    def _line(self) -> None:
        told = self._figures
        backlog = ", ".join(f"{queue} {told[f'backlog_{queue}']:.0f}" for queue in SERVICES)
        self._screen.say(
            f"  {told['seconds']:4.0f} s: {number(told['sent_per_second'])} sent a second, "
            f"{number(told['ended_per_second'])} ended; {told['in_flight']:.0f} in flight; "
            f"p50 {number(told['p50_seconds'])} s, p99 {number(told['p99_seconds'])} s; "
            f"backlog {backlog}; {told['errors']:.0f} errors"
        )

    def _table(self) -> Table:
        table = Table(box=None, pad_edge=False, show_header=False)
        for name, value in self._figures.items():
            words = name.replace("_", " ").replace(" per second", " a second")
            table.add_row(words, number(value))
        return table
