"""How far a long piece of work is, in one form for queries, HTTP and progress bars.

Only the standard library: workflows import it.
"""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Progress:
    """A moment of a long piece of work. The numbers can be shown as they are."""

    phase: str
    """What is being done now, in one word."""
    done: int
    """Items that are through, the failed ones among them. Never more than ``total``."""
    total: int | None
    """Items in all; None while nobody knows."""
    failed: int
    """Items that are through and did not succeed."""
    elapsed_seconds: float
    """Since the work began, never negative."""
    rate: float
    """Items a second. 0 before the first."""
    eta_seconds: float | None
    """Seconds until the end at this rate; 0 at the end, None where nothing can be said."""
    percent: float | None
    """From 0 to 100; None while the total is not known."""

    @classmethod
    def of(
        cls,
        phase: str,
        *,
        done: int,
        total: int | None,
        failed: int,
        started: datetime,
        now: datetime,
        already: int = 0,
    ) -> "Progress":
        """Work out rate, time left and share.

        Args:
            phase: What is being done now.
            done: Items that are through.
            total: Items in all, if known.
            failed: Those of ``done`` that did not succeed.
            started: When the work began, or was taken up again. In a workflow: by the workflow's clock.
            now: The moment.
            already: Items that were through when it was taken up again. They say nothing of the rate.

        Returns:
            The moment, without a division by zero and without a share over 100.
        """
        through = max(done, 0) if total is None else min(max(done, 0), max(total, 0))
        elapsed = max((now - started).total_seconds(), 0.0)
        rate = max(through - already, 0) / elapsed if elapsed > 0 else 0.0
        left = None if total is None else max(total, 0) - through
        return cls(
            phase=phase,
            done=through,
            total=total,
            failed=min(max(failed, 0), through),
            elapsed_seconds=elapsed,
            rate=rate,
            eta_seconds=0.0 if left == 0 else (left / rate if left is not None and rate > 0 else None),
            percent=None if total is None else (100.0 if left == 0 else 100.0 * through / total),
        )
