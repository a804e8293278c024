"""The orchestrator's side effects: its own rows, and messages to customers."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from temporalio import activity

from chassis.http import HttpClient
from orchestrator import contract
from orchestrator.metrics import OrchestratorMetrics
from orchestrator.states import DeliveryState, State
from orchestrator.store import Store

logger = logging.getLogger(__name__)

FINAL = frozenset({400, 413, 422})
"""Statuses that say that this message will never be taken. Others, a wrong token's among them, may pass."""


@dataclass(frozen=True, slots=True)
class Message:
    """A message to a customer.

    Attributes:
        template: Which one; an order gets each at most once.
    """

    order_id: str
    template: str
    to: str
    subject: str
    body: str


@dataclass(frozen=True, slots=True)
class Conclusion:
    """How an order ended, for everybody to see, and what its customer is told."""

    state: State
    message: Message


@dataclass(frozen=True, slots=True)
class Reminder:
    """A message to those who approve orders.

    Attributes:
        template: Which one; it also says to whom.
        total: What is to be approved, in minor units.
        deadline: When it is too late.
    """

    order_id: str
    template: str
    total: int
    currency: str
    deadline: datetime


class Activities:
    """Each may run twice and takes effect once."""

    def __init__(
        self,
        store: Store,
        http: HttpClient,
        mailbox_url: str,
        approvers: Mapping[str, str],
        metrics: OrchestratorMetrics,
    ) -> None:
        """Take what they work with.

        Args:
            store: Of orders.
            http: Client for the mail provider.
            mailbox_url: Its base URL.
            approvers: Who gets a reminder, by its template.
            metrics: Count the messages.
        """
        self._store = store
        self._http = http
        self._mailbox = mailbox_url.rstrip("/")
        self._approvers = approvers
        self._metrics = metrics

    def all(self) -> Sequence[Callable[..., Any]]:
        """For the worker."""
        return [self.record_state, self.record_delivery, self.conclude, self.send_message, self.remind]

    @activity.defn(name="orchestrator.record_state")
    async def record_state(self, state: State) -> None:
        """Write a state of an order. Older ones never replace newer ones."""
        await self._store.record(state)

    @activity.defn(name="orchestrator.record_delivery")
    async def record_delivery(self, state: DeliveryState) -> None:
        """Write where an order's parcels are."""
        await self._store.record_delivery(state)

    @activity.defn(name="orchestrator.conclude")
    async def conclude(self, conclusion: Conclusion) -> None:
        """Write how an order ended, and then tell the customer, which the order's row shows too.

        Raises:
            aiohttp.ClientError: As ``send_message``; the end is written all the same.
        """
        await self._store.record(conclusion.state)
        if await self._send(conclusion.message):
            await self._store.mark_notified(conclusion.message.order_id)

    @activity.defn(name="orchestrator.send_message")
    async def send_message(self, message: Message) -> None:
        """Send a message once, whatever happens: the provider knows it by its key.

        Raises:
            aiohttp.ClientError: If the provider does not take it now; to be tried again. One that it refuses for good
                is logged and counted, and the workflow goes on: nobody is told.
        """
        await self._send(message)

    @activity.defn(name="orchestrator.remind")
    async def remind(self, reminder: Reminder) -> None:
        """Tell somebody that an order waits for an approval; once, as every message.

        Raises:
            aiohttp.ClientError: If the provider does not take it; to be tried again.
        """
        order_id = reminder.order_id
        until = reminder.deadline.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
        await self._send(
            Message(
                order_id,
                reminder.template,
                self._approvers[reminder.template],
                f"Order {order_id} waits for an approval",
                f"Its total is {reminder.total} {reminder.currency} in minor units. Without a decision"
                f" (POST /orders/{order_id}/approval) it is rejected at {until}.",
            )
        )

    async def _send(self, message: Message) -> bool:
        """Whether the provider took it. What it does not take today it does not take tomorrow."""
        async with self._http.session.post(
            f"{self._mailbox}/v1/messages",
            headers={"Idempotency-Key": contract.message_key(message.order_id, message.template)},
            json={
                "reference": message.order_id,
                "template": message.template,
                "to": message.to,
                "subject": message.subject,
                "body": message.body,
            },
        ) as response:
            if response.status in FINAL:
                about = {"order_id": message.order_id, "template": message.template, "status": response.status}
                logger.error("the mail provider refuses a message", extra=about)
                self._metrics.messaged("refused")
                return False
            response.raise_for_status()
            self._metrics.messaged("sent")
            return True
