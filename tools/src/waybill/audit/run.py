"""The audit as a whole: read, judge, wait, report."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from waybill.audit.reading import Reader
from waybill.audit.rules import STUCK_AFTER, Verdict, Violation, judge, judge_account, judge_shelf

PAUSE_SECONDS = 0.5
"""Between two readings."""


@dataclass(frozen=True)
class Report:
    """What an audit found.

    Attributes:
        checked: How many orders.
        in_flight: How many of them are under way.
        violations: What must not be.
    """

    checked: int
    in_flight: int
    violations: tuple[Violation, ...]

    def as_json(self) -> dict[str, object]:
        """For a machine."""
        return {
            "checked": self.checked,
            "in_flight": self.in_flight,
            "violations": [str(violation) for violation in self.violations],
        }


async def audit(reader: Reader, *, wait_seconds: float | None = None, stuck_after: timedelta = STUCK_AFTER) -> Report:
    """Check every order.

    Args:
        reader: Of the books.
        wait_seconds: Wait so long at most until no order is under way; one that still is then is a violation. None
            does not wait, and lets orders be under way.
        stuck_after: How long an order may stay in one status.

    Raises:
        BooksError: If books cannot be read.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + (wait_seconds or 0)
    while True:
        reading = await reader.read()
        now = datetime.now(UTC)
        verdicts = [judge(each, now, stuck_after) for each in reading.books]
        under_way = [verdict for verdict in verdicts if verdict.waits_for is not None]
        if wait_seconds is None or not under_way or loop.time() >= deadline:
            break
        await asyncio.sleep(PAUSE_SECONDS)
    found = [violation for verdict in verdicts for violation in verdict.violations]
    found += [judge_shelf(shelf) for shelf in reading.shelves]
    found += [violation for account in reading.accounts for violation in judge_account(account)]
    if wait_seconds is not None:
        found += _overdue(under_way, wait_seconds)
    return Report(len(verdicts), len(under_way), tuple(found))


def _overdue(under_way: list[Verdict], waited: float) -> list[Violation]:
    """Orders that somebody waited for in vain, unless they are called stuck already."""
    return [
        Violation(verdict.order_id, "stuck", f"{verdict.waits_for} after a wait of {waited:g} s")
        for verdict in under_way
        if all(violation.rule != "stuck" for violation in verdict.violations)
    ]
