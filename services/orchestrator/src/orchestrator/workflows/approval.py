"""Waiting for a person: a reminder at half time, an escalation shortly before the end, both off with the decision."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any

from temporalio import workflow
from temporalio.exceptions import ActivityError, is_cancelled_exception

from orchestrator.workflows.options import MESSAGE_TIMEOUT, PATIENT

with workflow.unsafe.imports_passed_through():
    from orchestrator import contract
    from orchestrator.activities import Activities, Reminder

REMINDED, ESCALATED = 1 / 2, 5 / 6
"""Shares of the time to decide after which somebody is told."""
REMINDERS = "approval-reminders"
"""Patch: histories from before it have the limit's timer only."""

Record = Callable[[str | None, str | None], Awaitable[None]]
"""Writes the order's state, with a reason and a detail."""


class ApprovalWatch:
    """As a context it reminds until it is left. Nothing that goes wrong with a reminder reaches the order."""

    def __init__(self, order: contract.Order, total: int, record: Record) -> None:
        """Note when the approval was asked for.

        Args:
            order: The order.
            total: What it costs, minor units.
            record: How the order's state is written.
        """
        now = workflow.now()
        self._order = order
        self._total = total
        self._record = record
        self._limit = timedelta(seconds=order.approval_seconds)
        # Asked for here and not where it is used, which is behind a local activity: a patch that is met in the same
        # workflow task behind one makes a replay of a history that ends there fail.
        self._reminding = workflow.patched(REMINDERS)
        self._reminders: list[asyncio.Task[None]] = []
        self.approval = contract.Approval(now, now + self._limit)

    def decided(self, decision: contract.Decision) -> None:
        """Note who decided, and when."""
        self.approval = replace(
            self.approval,
            decided_at=workflow.now(),
            decided_by=decision.approver,
            decision="approve" if decision.approved else "refuse",
        )

    def document(self) -> dict[str, Any]:
        """What is known, for the orders table."""
        return {
            name: value.isoformat() if isinstance(value, datetime) else value
            for name, value in asdict(self.approval).items()
        }

    def __enter__(self) -> None:
        if self._reminding:
            self._reminders = [
                asyncio.create_task(self._remind(REMINDED, contract.APPROVAL_REMINDER)),
                asyncio.create_task(self._remind(ESCALATED, contract.APPROVAL_ESCALATED)),
            ]

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for reminder in self._reminders:
            # It is not waited for: a mail provider that does not answer must not hold up a decision.
            reminder.cancel()

    async def _remind(self, share: float, template: str) -> None:
        await workflow.sleep(self._limit * share)
        try:
            await workflow.execute_activity_method(
                Activities.remind,
                Reminder(self._order.order_id, template, self._total, self._order.currency, self.approval.deadline),
                start_to_close_timeout=MESSAGE_TIMEOUT,
                retry_policy=PATIENT,
            )
            now = workflow.now()
            if template == contract.APPROVAL_REMINDER:
                self.approval = replace(self.approval, reminded_at=now)
                await self._record(None, "The approver was reminded.")
            else:
                self.approval = replace(self.approval, escalated_at=now)
                await self._record(None, "The missing approval was escalated.")
        except ActivityError as error:
            if not is_cancelled_exception(error):
                workflow.logger.warning("%s was not sent: %s", template, error.cause)
