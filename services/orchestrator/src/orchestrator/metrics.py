"""What the orchestrator counts: orders, once each, where their rows change."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from temporalio.client import Client
from temporalio.runtime import Runtime

from chassis.metrics import listed, primed
from orchestrator import contract
from orchestrator.contract import FINISHED, Status
from orchestrator.contracts import inventory, payments, shipping

QUEUES = (inventory.TASK_QUEUE, payments.TASK_QUEUE, shipping.TASK_QUEUE)
"""The queues that the orchestrator calls. It measures them too: a pool that is gone cannot say so itself."""

API, IMPORT = "api", "import"
"""Channels by which orders come."""

NONE = "none"
"""Reason of an order that went well."""
REASONS = frozenset(
    {
        NONE,
        "by_customer",
        "by_operator",
        "unforeseen",
        "unreadable",
        "workflow_ended",
        *(str(each) for refusals in (inventory, payments, shipping, contract) for each in refusals.Refusal),
    }
)
"""Why an order can end as it does; whatever else is ``other``."""

GOOD = (Status.FULFILLED, Status.PARTIALLY_FULFILLED)
UNFINISHED = tuple(status for status in Status if status not in FINISHED)
DONE, STOPPED, FAILED = "done", "stopped", "failed"

COMPENSATIONS, COMPENSATIONS_MEAN = "compensations", "Rounds of undos by what came of them."
UNDOS = ("ReleaseStock", "ReversePayment", "CancelShipment")
"""Values of its label ``step``."""

MESSAGES = ("sent", "refused")
IMPORTED = ("done", "failed", "duplicate", "malformed", "lost")

ORDER_BUCKETS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200, 21600, 86400)
"""Seconds; to a day, which is how long an approver may take."""


class OrchestratorMetrics:
    """The orchestrator's own metrics, in a registry of their own. See ``docs/telemetry.md``."""

    def __init__(self) -> None:
        """Make them, those with known labels at 0."""
        self.registry = registry = CollectorRegistry()
        self._accepted = primed(
            Counter("orders_accepted", "Orders that were written down.", ["channel"], registry=registry), [API, IMPORT]
        )
        self._finished = primed(
            Counter("orders_finished", "Orders that ended.", ["outcome", "reason"], registry=registry),
            sorted(GOOD),
            [NONE],
        )
        for reason in sorted(REASONS - {NONE}):
            for outcome in (Status.REJECTED, Status.CANCELLED, Status.FAILED):
                if _fits(outcome, reason):
                    self._finished.labels(outcome, reason)
        self._duration = Histogram(
            "order_duration_seconds",
            "Time from an order's acceptance to its end.",
            ["outcome"],
            buckets=ORDER_BUCKETS,
            registry=registry,
        )
        self._state_duration = Histogram(
            "order_state_duration_seconds",
            "Time that orders spent in a state, and whether they went on or were stopped.",
            ["status", "result"],
            buckets=ORDER_BUCKETS,
            registry=registry,
        )
        for outcome in sorted(FINISHED):
            self._duration.labels(outcome)
        self._in_progress = Gauge("orders_in_progress", "Orders that have not ended.", ["status"], registry=registry)
        self._oldest = Gauge(
            "orders_oldest_in_progress_seconds",
            "Age of the oldest order that has not ended and waits for no approver.",
            registry=registry,
        )
        self._messages = primed(
            Counter("messages_sent", "Messages by what the mail provider said.", ["result"], registry=registry),
            MESSAGES,
        )
        self._imported = primed(
            Counter("import_orders", "Rows of imports by what became of them.", ["result"], registry=registry), IMPORTED
        )

    def accepted(self, channel: str, orders: int = 1) -> None:
        """Orders were written down that were not there."""
        self._accepted.labels(channel).inc(orders)

    def left(self, status: str, spent: timedelta, *, to: str) -> None:
        """An order left a state for another.

        Args:
            status: The state it left.
            spent: How long it was there.
            to: The state it went to.
        """
        stopped = to == Status.COMPENSATING or to in (Status.REJECTED, Status.CANCELLED, Status.FAILED)
        result = STOPPED if stopped and status != Status.COMPENSATING else DONE
        self._state_duration.labels(listed(status, tuple(Status)), result).observe(_seconds(spent))

    def finished(self, outcome: Status, reason: str | None, took: timedelta, *, imported: bool) -> None:
        """An order that had not ended has ended.

        Args:
            outcome: How.
            reason: Why so.
            took: Since it was accepted.
            imported: Whether it came with an import.
        """
        self._finished.labels(outcome, listed(reason or NONE, REASONS)).inc()
        self._duration.labels(outcome).observe(_seconds(took))
        if imported:
            self.imported("done" if outcome in GOOD else "failed")

    def messaged(self, result: str) -> None:
        """The mail provider took a message, or refused it for good."""
        self._messages.labels(result).inc()

    def imported(self, result: str, rows: int = 1) -> None:
        """Something became of rows of an import."""
        self._imported.labels(result).inc(rows)

    def in_progress(self, orders: Mapping[str, int], oldest: datetime | None, now: datetime) -> None:
        """Show the orders that have not ended.

        Args:
            orders: How many, by state.
            oldest: When the oldest of those was accepted that wait for no approver.
            now: By the same clock.
        """
        for status in UNFINISHED:
            self._in_progress.labels(status).set(orders.get(status, 0))
        self._oldest.set(0 if oldest is None else _seconds(now - oldest))


def prime_compensations(client: Client) -> None:
    """Have the undos' counter at 0 before the first of them.

    The workflow counts with the SDK's meter, which knows about replays; this gives it the same labels.

    Args:
        client: Of the worker.
    """
    meter = (client.service_client.config.runtime or Runtime.default()).metric_meter
    counter = meter.create_counter(COMPENSATIONS, COMPENSATIONS_MEAN)
    of_workflow = {
        "namespace": client.namespace,
        "task_queue": contract.TASK_QUEUE,
        "workflow_type": "orchestrator.FulfilOrder",
    }
    for step in UNDOS:
        for result in (DONE, FAILED):
            counter.add(0, {**of_workflow, "step": step, "result": result})


def _fits(outcome: Status, reason: str) -> bool:
    """Whether an order can end so for such a reason."""
    match reason:
        case "by_customer" | "by_operator":
            return outcome is Status.CANCELLED
        case "unforeseen" | "unreadable" | "workflow_ended":
            return outcome is Status.FAILED
        case _:
            return outcome is Status.REJECTED


def _seconds(span: timedelta) -> float:
    """Of different clocks: never below 0."""
    return max(0.0, span.total_seconds())
