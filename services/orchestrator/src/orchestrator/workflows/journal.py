"""What an order says of itself on its way: the states that customers see."""

from typing import Any, NamedTuple

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from orchestrator import contract
    from orchestrator.contract import Status
    from orchestrator.contracts import inventory
    from orchestrator.states import Passed, State


class Found(NamedTuple):
    """What an order found out on its way, as far as it got.

    Attributes:
        parcels: How many; 0 while that is not known.
    """

    reservation: inventory.Reservation | None
    parcels: int
    tracking_numbers: tuple[str, ...]
    decision: contract.Decision | None
    approval: dict[str, Any] | None


class Journal:
    """Numbers the states of one order.

    A write is a local activity: an event of the history, and a transaction. Where one state follows another within
    moments, ``passed`` notes the first, and the write of the second carries it.
    """

    def __init__(self) -> None:
        """Nothing happened yet."""
        self._sequence = 0
        self._passed: list[Passed] = []

    def passed(self, status: Status) -> None:
        """Note a state that is not written by itself."""
        self._passed.append(Passed(self._number(), status, workflow.now()))

    def state(
        self, order: contract.Order, status: Status, found: Found, reason: str | None = None, detail: str | None = None
    ) -> State:
        """What is to be written, with all that was passed since the last write.

        Args:
            order: The order.
            status: Where it is.
            found: What is known of it.
            reason: Why it stops, in a word.
            detail: The same for people.
        """
        passed, self._passed = tuple(self._passed), []
        reservation, decision = found.reservation, found.decision
        return State(
            order_id=order.order_id,
            sequence=self._number(),
            status=status,
            at=workflow.now(),
            currency=order.currency,
            lines=tuple((line.sku, line.quantity) for line in order.lines),
            reason=reason,
            detail=detail,
            total=None if reservation is None else reservation.total,
            units=None if reservation is None else sum(line.quantity for line in reservation.lines),
            parcels=found.parcels or None,
            tracking_numbers=found.tracking_numbers,
            decision=None
            if decision is None
            else {"approved": decision.approved, "approver": decision.approver, "note": decision.note},
            approval=found.approval,
            missing=() if reservation is None else tuple((line.sku, line.quantity) for line in reservation.missing),
            passed=passed,
        )

    def _number(self) -> int:
        # Time rather than a count: a run that was reset counts anew, and its writes would all look old.
        self._sequence = max(self._sequence + 1, workflow.time_ns() // 1000)
        return self._sequence
