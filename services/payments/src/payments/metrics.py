"""What payments counts: what became of payments, accounts and settlements, once each, where their rows change."""

from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter

from chassis.metrics import primed
from payments.model import Kind

AUTHORISE, CAPTURE, VOID, REFUND = "authorise", "capture", "void", "refund"
DONE, DECLINED, FAILED, NOTHING, REFUSED = "done", "declined", "failed", "nothing", "refused"
RESULTS = {
    AUTHORISE: (DONE, DECLINED, FAILED),
    CAPTURE: (DONE, DECLINED, FAILED),
    VOID: (DONE, NOTHING, FAILED),
    REFUND: (DONE, FAILED),
}
"""What can become of each operation on a payment. A void of nothing is an undo that came before its step, or after a
decline."""
ACCOUNT_KINDS = (Kind.DEPOSIT, Kind.WITHDRAWAL, Kind.RESERVE, Kind.RELEASE, Kind.REFUND)
"""Bookings that move a store-credit account."""


class PaymentsMetrics:
    """Payments' own metrics, in a registry of their own. See ``docs/telemetry.md``."""

    def __init__(self) -> None:
        """Make them, all at 0."""
        self.registry = registry = CollectorRegistry()
        self._payments = Counter(
            "payments",
            "Operations on payments by what became of them; each attempt that failed is one.",
            ["operation", "result"],
            registry=registry,
        )
        for operation, results in RESULTS.items():
            primed(self._payments, [operation], results)
        self._bookings = primed(
            Counter(
                "account_bookings", "Bookings of store-credit accounts by kind.", ["kind", "result"], registry=registry
            ),
            ACCOUNT_KINDS,
            [DONE, REFUSED],
        )
        self._settlements = primed(
            Counter(
                "settlements", "Settlements that were made, and attempts that failed.", ["result"], registry=registry
            ),
            [DONE, FAILED],
        )

    def payment(self, operation: str, result: str) -> None:
        """Something became of a payment."""
        self._payments.labels(operation, result).inc()

    @contextmanager
    def attempt(self, operation: str) -> Iterator[None]:
        """Count an attempt that raises: nobody knows yet what becomes of the operation."""
        try:
            yield
        except Exception:
            self.payment(operation, FAILED)
            raise

    def booked(self, kind: Kind, result: str) -> None:
        """An account was moved, or refused to be."""
        self._bookings.labels(kind, result).inc()

    def settled(self, result: str) -> None:
        """A settlement was made, or could not be."""
        self._settlements.labels(result).inc()
