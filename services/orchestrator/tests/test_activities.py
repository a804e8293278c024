"""Messages to customers, against a mail provider that fails."""

import uuid
from datetime import UTC, datetime

import aiohttp
import pytest
from aiohttp import web

from chassis.http import HttpClient
from chassis.testing.fixtures import FreshDatabase
from chassis.testing.serving import serve_app
from orchestrator.activities import Activities, Conclusion, Message, Reminder
from orchestrator.contract import Status
from orchestrator.metrics import OrchestratorMetrics
from orchestrator.states import State
from orchestrator.store import Store

APPROVERS = {"approval_reminder": "mara@example.org", "approval_escalated": "boss@example.org"}


class FakeMailbox:
    """Keeps one message for each key, and fails as often as it is told."""

    def __init__(self) -> None:
        self.messages: dict[str, dict[str, str]] = {}
        self.failures = 0
        self.status = 503

    def app(self) -> web.Application:
        app = web.Application()
        app.add_routes([web.post("/mailbox/v1/messages", self.take)])
        return app

    async def take(self, request: web.Request) -> web.Response:
        if self.failures:
            self.failures -= 1
            return web.json_response({}, status=self.status)
        self.messages.setdefault(request.headers["Idempotency-Key"], await request.json())
        return web.json_response({"id": "m"}, status=201)


def an_end(order_id: str) -> Conclusion:
    state = State(order_id, 7, Status.FULFILLED, datetime.now(UTC), "EUR", (("A", 1),))
    return Conclusion(state, Message(order_id, "fulfilled", "a@example.org", "It is on its way", "Tracking: 1."))


async def test_the_end_is_written_before_its_customer_is_told_once_and_the_order_shows_both(
    fresh_database: FreshDatabase,
) -> None:
    order_id = uuid.uuid4().hex
    store = Store((await fresh_database("orchestrator.migrations")).engine, OrchestratorMetrics())
    mailbox, http = FakeMailbox(), HttpClient(timeout_seconds=5)
    mailbox.failures = 1
    async with serve_app(mailbox.app()) as url:
        activities = Activities(store, http, f"{url}/mailbox/", APPROVERS, OrchestratorMetrics())
        conclusion = an_end(order_id)
        with pytest.raises(aiohttp.ClientResponseError):
            await activities.conclude(conclusion)
        row = await store.get(order_id)
        assert row is not None
        assert (row["status"], row["notified"]) == (Status.FULFILLED, False)
        await activities.conclude(conclusion)
        await activities.conclude(conclusion)
    await http.close()
    assert list(mailbox.messages) == [f"order:{order_id}:message:fulfilled"]
    row = await store.get(order_id)
    assert row is not None
    assert row["notified"] is True
    assert [step["status"] for step in await store.steps_of(order_id)] == [Status.FULFILLED]


@pytest.mark.parametrize("status", [400, 413, 422])
async def test_a_message_that_is_refused_for_good_is_noted_and_nobody_counts_as_told(
    fresh_database: FreshDatabase, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    order_id = uuid.uuid4().hex
    store = Store((await fresh_database("orchestrator.migrations")).engine, OrchestratorMetrics())
    mailbox, http = FakeMailbox(), HttpClient(timeout_seconds=5)
    mailbox.failures, mailbox.status = 1, status
    async with serve_app(mailbox.app()) as url:
        activities = Activities(store, http, f"{url}/mailbox", APPROVERS, OrchestratorMetrics())
        await activities.conclude(an_end(order_id))
    await http.close()
    assert [record.levelname for record in caplog.records if "refuses a message" in record.getMessage()] == ["ERROR"]
    row = await store.get(order_id)
    assert row is not None
    assert row["notified"] is False


@pytest.mark.parametrize("status", [401, 404, 408, 429, 500, 503])
async def test_a_message_that_is_not_taken_now_is_tried_again(fresh_database: FreshDatabase, status: int) -> None:
    store = Store((await fresh_database("orchestrator.migrations")).engine, OrchestratorMetrics())
    mailbox, http = FakeMailbox(), HttpClient(timeout_seconds=5)
    mailbox.failures, mailbox.status = 1, status
    async with serve_app(mailbox.app()) as url:
        activities = Activities(store, http, f"{url}/mailbox", APPROVERS, OrchestratorMetrics())
        with pytest.raises(aiohttp.ClientResponseError):
            await activities.send_message(Message(uuid.uuid4().hex, "fulfilled", "a@example.org", "s", "b"))
    await http.close()


async def test_a_review_request_is_no_news_of_how_the_order_ended(fresh_database: FreshDatabase) -> None:
    order_id = uuid.uuid4().hex
    store = Store((await fresh_database("orchestrator.migrations")).engine, OrchestratorMetrics())
    await store.record(State(order_id, 1, Status.FULFILLED, datetime.now(UTC), "EUR", (("A", 1),)))
    mailbox, http = FakeMailbox(), HttpClient(timeout_seconds=5)
    async with serve_app(mailbox.app()) as url:
        activities = Activities(store, http, f"{url}/mailbox", APPROVERS, OrchestratorMetrics())
        await activities.send_message(Message(order_id, "review", "a@example.org", "s", "b"))
    await http.close()
    row = await store.get(order_id)
    assert row is not None
    assert row["notified"] is False


async def test_a_reminder_goes_once_to_who_is_to_get_it_and_tells_no_customer(fresh_database: FreshDatabase) -> None:
    order_id = uuid.uuid4().hex
    store = Store((await fresh_database("orchestrator.migrations")).engine, OrchestratorMetrics())
    await store.record(State(order_id, 1, Status.AWAITING_APPROVAL, datetime.now(UTC), "EUR", (("A", 1),)))
    mailbox, http = FakeMailbox(), HttpClient(timeout_seconds=5)
    deadline = datetime(2026, 11, 24, 12, 30, tzinfo=UTC)
    async with serve_app(mailbox.app()) as url:
        activities = Activities(store, http, f"{url}/mailbox", APPROVERS, OrchestratorMetrics())
        for template in ("approval_reminder", "approval_reminder", "approval_escalated"):
            await activities.remind(Reminder(order_id, template, 123456, "EUR", deadline))
    await http.close()
    assert {key: message["to"] for key, message in mailbox.messages.items()} == {
        f"order:{order_id}:message:approval_reminder": "mara@example.org",
        f"order:{order_id}:message:approval_escalated": "boss@example.org",
    }
    body = mailbox.messages[f"order:{order_id}:message:approval_reminder"]["body"]
    assert "123456 EUR" in body
    assert "2026-11-24 12:30 UTC" in body
    row = await store.get(order_id)
    assert row is not None
    assert row["notified"] is False
