"""Everything that a test does to a running Waybill, and everything that it looks at."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import aiohttp
import psycopg
from temporalio.api.enums.v1 import PendingActivityState
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.service import RPCError, RPCStatusCode

from chassis.testing.waiting import eventually
from waybill.audit.reading import Reader
from waybill.audit.rules import Violation, judge, judge_account, judge_shelf
from waybill.stack import SERVICES, Stack
from waybill.stack.spec import State

FINISHED = frozenset({"fulfilled", "partially_fulfilled", "rejected", "cancelled", "failed"})
PATIENCE_SECONDS = 90.0
"""How long a test waits for what must come. A killed worker's activity is repeated after 15 s; the rest is noise."""
NO_FAULTS: dict[str, dict[str, Any]] = {name: {} for name in ("gateway", "swift", "steady", "budget", "mailbox")}
EXPENSIVE = 129_900
"""A price, in minor units, above which an approver is asked."""


@dataclass(frozen=True)
class Answer:
    """What a service answers."""

    status: int
    document: dict[str, Any]
    headers: Mapping[str, str]


@dataclass
class World:
    """One test's view of the stack. It remembers the orders that the test places."""

    stack: Stack
    client: Client
    session: aiohttp.ClientSession
    placed: list[str] = field(default_factory=list)

    @property
    def _operator(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.stack.operator_token}"}

    async def ask(
        self, method: str, name: str, path: str, body: object = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """One request, as an operator, whatever the answer is."""
        url = self.stack.urls[name] + path
        async with self.session.request(method, url, json=body, headers={**self._operator, **(headers or {})}) as got:
            document = await got.json(content_type=None) if got.content_length != 0 else {}
            return Answer(got.status, document, got.headers)

    async def insist(self, method: str, name: str, path: str, body: object = None) -> Answer:
        """The same request until the answer is no error of the server's: all that we ask may be repeated."""

        async def answered() -> Answer:
            try:
                answer = await self.ask(method, name, path, body)
            except (aiohttp.ClientError, TimeoutError) as error:
                raise AssertionError(f"{name} does not answer {method} {path}: {error!r}") from error
            assert answer.status < 500, f"{name} answers {answer.status} to {method} {path}: {answer.document}"
            return answer

        return await eventually(answered, timeout=PATIENCE_SECONDS)

    async def product(self, price: int = 1_250, **stock: int) -> str:
        """A new product, with so many units, if any, in each warehouse. Returns its SKU."""
        sku = f"E2E-{uuid.uuid4().hex[:12].upper()}"
        put = await self.insist("PUT", "inventory", f"/catalogue/{sku}", {"weight": 250, "prices": {"EUR": price}})
        assert put.status < 300, put
        for warehouse, quantity in stock.items():
            if not quantity:
                continue
            receipt = {"receipt_id": f"{sku}-{warehouse}", "sku": sku, "warehouse": warehouse, "quantity": quantity}
            posted = await self.insist("POST", "inventory", "/receipts", receipt)
            assert posted.status < 300, posted
        return sku

    def body(
        self, skus: Mapping[str, int] | str, *, card: str = "tok_ok", postcode: str = "1011AB", **extra: Any
    ) -> dict[str, Any]:
        """The body of an order with an id of its own, remembered for the audit. An empty card is none."""
        order_id = f"e2e-{uuid.uuid4().hex[:16]}"
        self.placed.append(order_id)
        quantities = {skus: 1} if isinstance(skus, str) else skus
        return {
            "order_id": order_id,
            "currency": "EUR",
            "lines": [{"sku": sku, "quantity": quantity} for sku, quantity in quantities.items()],
            **({"card_token": card} if card else {}),
            "address": {
                "name": "Eve Tester",
                "street": "1 Canal Street",
                "city": "Amsterdam",
                "postcode": postcode,
                "country": "NL",
            },
            "email": "eve@example.com",
            **extra,
        }

    async def place(self, skus: Mapping[str, int] | str | None = None, *, price: int = 1_250, **choices: Any) -> str:
        """Place an order, for a product of its own if none is named. Returns its id."""
        body = self.body(skus or await self.product(price, north=10), **choices)
        answer = await self.insist("POST", "orchestrator", "/orders", body)
        assert answer.status == 202, answer
        return str(body["order_id"])

    async def order(self, order_id: str) -> dict[str, Any]:
        """The order's document."""
        answer = await self.insist("GET", "orchestrator", f"/orders/{order_id}")
        assert answer.status == 200, answer
        return answer.document

    async def reached(self, order_id: str, *statuses: str) -> dict[str, Any]:
        """Wait until an order is in one of some states. Fails at once if it ended in another."""
        wanted: Collection[str] = statuses or FINISHED

        async def there() -> dict[str, Any] | None:
            document = await self.order(order_id)
            return document if document["status"] in wanted or document["status"] in FINISHED else None

        document: dict[str, Any] | None = await eventually(there, timeout=PATIENCE_SECONDS)
        assert document is not None
        assert document["status"] in wanted, f"{order_id} ended as {document['status']}: {document['detail']}"
        return document

    async def ended(self, order_id: str) -> tuple[str, str | None]:
        """Wait until an order has ended. Returns its status and the reason."""
        document = await self.reached(order_id)
        return document["status"], document["reason"]

    async def told(self, order_id: str) -> None:
        """Wait until the customer was told how an order ended, which is the last thing about it."""

        async def notified() -> bool:
            return bool((await self.order(order_id))["notified"])

        await eventually(notified, timeout=PATIENCE_SECONDS)

    async def all_ended(self, order_ids: Collection[str]) -> set[tuple[str, str | None]]:
        """Wait until several orders have ended. Returns in which ways."""
        return set(await asyncio.gather(*(self.ended(order_id) for order_id in order_ids)))

    async def delivered(self, order_ids: Collection[str]) -> None:
        """Wait until all parcels have come."""

        async def there(order_id: str) -> None:
            async def come() -> bool:
                document = await self.order(order_id)
                states = [parcel["state"] for parcel in document["delivery"]]
                assert len(states) == document["parcels"], f"{order_id}: {states}"
                assert set(states) == {"delivered"}, f"{order_id}: {states}"
                return True

            await eventually(come, timeout=PATIENCE_SECONDS)

        await asyncio.gather(*(there(order_id) for order_id in order_ids))

    async def states_of(self, order_id: str) -> list[str]:
        """All states that an order went through, as its customer sees them."""
        return [step["status"] for step in (await self.order(order_id))["steps"]]

    async def decide(self, order_id: str, decision: str) -> Answer:
        """Approve or refuse."""
        body = {"decision": decision, "approver": "ada", "note": "e2e"}
        return await self.insist("POST", "orchestrator", f"/orders/{order_id}/approval", body)

    async def cancel(self, order_id: str) -> Answer:
        """Cancel as the customer."""
        return await self.insist("POST", "orchestrator", f"/orders/{order_id}/cancellation", {"reason": "e2e"})

    async def busy(self, workflow_id: str) -> str:
        """Wait until a worker is in the middle of an activity of a workflow. Returns the worker's identity."""

        async def at_work() -> str | None:
            try:
                description = await self.client.get_workflow_handle(workflow_id).describe()
            except RPCError as error:
                if error.status not in {RPCStatusCode.NOT_FOUND, RPCStatusCode.UNAVAILABLE}:
                    raise
                return None
            for activity in description.raw_description.pending_activities:
                if activity.state == PendingActivityState.PENDING_ACTIVITY_STATE_STARTED:
                    return str(activity.last_worker_identity)
            assert description.status is WorkflowExecutionStatus.RUNNING, f"{workflow_id}: {description.status}"
            return None

        identity = await eventually(at_work, timeout=PATIENCE_SECONDS)
        assert identity is not None
        return identity

    async def tried_twice(self, workflow_id: str, *, after: str = "") -> str:
        """Wait until an activity of a workflow has failed at least once and is tried again.

        Args:
            workflow_id: The workflow's id.
            after: A run that is over, or about to be: another one of the same id is waited for.

        Returns:
            The run's id.
        """

        async def again() -> str | None:
            try:
                description = await self.client.get_workflow_handle(workflow_id).describe()
            except RPCError as error:
                if error.status is not RPCStatusCode.NOT_FOUND:
                    raise
                return None
            if description.run_id == after:
                return None
            activities = description.raw_description.pending_activities
            return description.run_id if any(activity.attempt > 1 for activity in activities) else None

        run_id = await eventually(again, timeout=PATIENCE_SECONDS)
        assert run_id is not None
        return run_id

    async def told_to_stop(self, workflow_id: str) -> None:
        """Wait until a cancellation has reached a workflow's history."""

        async def told() -> bool:
            history = await self.client.get_workflow_handle(workflow_id).fetch_history()
            return any(
                event.HasField("workflow_execution_cancel_requested_event_attributes") for event in history.events
            )

        await eventually(told, timeout=PATIENCE_SECONDS)

    async def closed(self, workflow_id: str) -> WorkflowExecutionStatus:
        """Wait until a workflow has closed. Returns how."""

        async def over() -> WorkflowExecutionStatus | None:
            try:
                status = (await self.client.get_workflow_handle(workflow_id).describe()).status
            except RPCError as error:
                if error.status not in {RPCStatusCode.NOT_FOUND, RPCStatusCode.UNAVAILABLE}:
                    raise
                return None
            return None if status is WorkflowExecutionStatus.RUNNING else status

        status = await eventually(over, timeout=PATIENCE_SECONDS)
        assert status is not None
        return status

    @asynccontextmanager
    async def stock_locked(self, sku: str) -> AsyncIterator[None]:
        """Hold every transaction of inventory's that touches a product, by the locks of its stock."""
        address = f"postgresql://postgres@127.0.0.1:{self.stack.ports['postgres']}/inventory"
        async with await psycopg.AsyncConnection.connect(address) as connection:
            await connection.execute("SELECT FROM stock WHERE sku = %s FOR UPDATE", (sku,))
            yield
            await connection.rollback()

    async def faults(self, **faults: Mapping[str, Any]) -> None:
        """Change what is wrong with providers outside."""
        answer = await self.insist("PUT", "sandbox", "/faults", faults)
        assert answer.status == 200, answer

    async def counts(self, key: str) -> dict[str, dict[str, int]]:
        """How often each kind of effect was asked for, and happened, under an idempotency key at the providers."""
        answer = await self.ask("GET", "sandbox", f"/effects?key={key}")
        kinds: dict[str, dict[str, int]] = answer.document["kinds"]
        return kinds

    async def happened(self, key: str) -> dict[str, int]:
        """How often each kind of effect happened under an idempotency key."""
        return {kind: count["effects"] for kind, count in (await self.counts(key)).items() if count["effects"]}

    async def requested(self, key: str, kind: str) -> None:
        """Wait until a request for an effect has reached its provider, whatever became of it."""

        async def come() -> bool:
            return kind in await self.counts(key)

        await eventually(come, timeout=PATIENCE_SECONDS)

    async def messages(self, order_id: str) -> list[str]:
        """Which messages the customer got about an order, in their order."""
        answer = await self.insist("GET", "sandbox", f"/mailbox/v1/messages?reference={order_id}")
        return [message["template"] for message in answer.document["messages"]]

    async def readiness(self, name: str) -> dict[str, str]:
        """What a service says of what it needs."""
        answer = await self.ask("GET", name, "/readyz")
        checks: dict[str, str] = answer.document["checks"]
        assert (answer.status == 200) == all(said == "ok" for said in checks.values()), answer
        return checks

    async def made_whole(self) -> None:
        """Bring back whatever a test broke."""
        for name in SERVICES:
            if len(self.stack.replicas(name)) != 1:
                await self.stack.scale(name, 1)
        for status in await self.stack.status():
            if status.state is State.PAUSED:
                self.stack.resume(status.name)
            if status.ready != "ready":
                await self.stack.start(status.name)
        await self.faults(**NO_FAULTS)

    async def audited(self) -> list[Violation]:
        """Wait until the test's orders have ended, and audit them. Returns what must not be."""
        reader = Reader(self.session, self.stack.urls, self.stack.operator_token)

        found: list[Violation] = []

        async def judged() -> bool:
            reading = await reader.read()
            now = datetime.now(UTC)
            verdicts = [judge(books, now) for books in reading.books if books.order_id in self.placed]
            assert {verdict.order_id for verdict in verdicts} == set(self.placed)
            waiting = [f"{verdict.order_id}: {verdict.waits_for}" for verdict in verdicts if verdict.waits_for]
            assert not waiting, waiting
            found.extend(violation for verdict in verdicts for violation in verdict.violations)
            found.extend(judge_shelf(shelf) for shelf in reading.shelves)
            found.extend(violation for account in reading.accounts for violation in judge_account(account))
            return True

        await eventually(judged, timeout=PATIENCE_SECONDS)
        return found
