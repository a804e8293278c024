"""The HTTP surface, with a real database and a real Temporal server."""

import asyncio
import io
import json
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, cast

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web
from pydantic import SecretStr
from sqlalchemy import RowMapping
from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment

from chassis.connection import Connection
from chassis.health import HEALTH
from chassis.problems import problem_middleware
from chassis.testing.fixtures import FreshDatabase
from chassis.testing.serving import serve_app
from chassis.testing.waiting import eventually
from orchestrator import contract, models, openapi
from orchestrator.api import Api
from orchestrator.intake import Intake
from orchestrator.metrics import OrchestratorMetrics
from orchestrator.settings import Settings
from orchestrator.states import State
from orchestrator.store import Store
from orchestrator.worker import compose

TOKEN = "operator-token"
OPERATOR = {"Authorization": f"Bearer {TOKEN}"}


@dataclass
class Front:
    url: str
    http: aiohttp.ClientSession
    store: Store
    connection: Connection
    client: Client

    async def post(self, path: str, body: Any, **options: Any) -> tuple[int, Any]:
        async with self.http.post(self.url + path, json=body, **options) as response:
            return response.status, await response.json(content_type=None)

    async def get(self, path: str, **options: Any) -> tuple[int, Any]:
        async with self.http.get(self.url + path, **options) as response:
            return response.status, await response.json(content_type=None)

    async def rows(self) -> int:
        return len(await self.store.newest(None, None, 1000))


@pytest_asyncio.fixture(loop_scope="session")
async def away(fresh_database: FreshDatabase, dev_server: WorkflowEnvironment) -> AsyncIterator[Front]:
    """The API while Temporal is away."""
    database = await fresh_database("orchestrator.migrations")
    settings = Settings(
        database_url=database.engine.url.set(drivername="postgresql").render_as_string(hide_password=False),
        operator_token=SecretStr(TOKEN),
        mailbox_url="http://127.0.0.1:1",
        start_seconds=2,
    )
    connection = Connection("orchestrator")
    service = compose(settings, connection)
    app = service.app()
    app[HEALTH].storing = True
    async with serve_app(app) as url, aiohttp.ClientSession() as http:
        yield Front(url, http, Store(database.engine, OrchestratorMetrics()), connection, dev_server.client)
    await service.database.close()


@pytest_asyncio.fixture(loop_scope="session")
async def front(away: Front) -> Front:
    """The API with Temporal there, and no worker: orders stay where they are."""
    away.connection.use(away.client)
    return away


def a_body(**terms: Any) -> dict[str, Any]:
    return {
        "order_id": f"o-{uuid.uuid4().hex[:12]}",
        "currency": "EUR",
        "lines": [{"sku": "TEA-250", "quantity": 2}],
        "card_token": "tok_ok",
        "address": {"name": "A", "street": "B 1", "city": "C", "postcode": "1000", "country": "NL"},
        "email": "a@example.org",
    } | terms


async def test_an_accepted_order_is_there_at_once_and_its_workflow_is_started(front: Front) -> None:
    body = a_body()
    async with front.http.post(front.url + "/orders", json=body) as response:
        assert response.status == 202
        assert response.headers["Location"] == f"/orders/{body['order_id']}"
    status, order = await front.get(f"/orders/{body['order_id']}")
    assert (status, order["status"], order["lines"]) == (200, "reserving", [{"sku": "TEA-250", "quantity": 2}])
    description = await front.client.get_workflow_handle(contract.fulfil_id(body["order_id"])).describe()
    assert description.workflow_type == "orchestrator.FulfilOrder"


async def test_store_credit_pays_instead_of_a_card(front: Front) -> None:
    body = a_body(account_id="C-7")
    del body["card_token"]
    assert (await front.post("/orders", body))[0] == 202
    history = await front.client.get_workflow_handle(contract.fulfil_id(body["order_id"])).fetch_history()
    [given] = history.events[0].workflow_execution_started_event_attributes.input.payloads
    order = json.loads(given.data)
    assert (order["account_id"], order["card_token"]) == ("C-7", "")


def test_the_digest_of_an_order_stays_what_it_was_when_orders_learn_something_new() -> None:
    class LaterBody(models.OrderBody):
        """As after a deployment."""

        gift: bool = False
        """New, and left out by everybody who does not know it."""

    body = json.dumps(a_body(order_id="A-1"))
    digest = models.OrderBody.model_validate_json(body).digest()
    assert digest == "0d26ec48f2bdbd5a9e88ac3b6c114144f48bf8b65097356b9f5770bd2a1aa175"
    assert LaterBody.model_validate_json(body).digest() == digest
    assert LaterBody.model_validate_json(json.dumps(a_body(gift=True))).digest() != digest


async def test_an_order_shows_what_it_lacks_and_who_approved_it(front: Front) -> None:
    at = datetime(2026, 11, 24, 12, tzinfo=UTC)
    approval = {"requested_at": at.isoformat(), "deadline": at.isoformat(), "reminded_at": None, "escalated_at": None}
    approval |= {"decided_at": at.isoformat(), "decided_by": "mara", "decision": "approve"}
    state = State(uuid.uuid4().hex, 1, contract.Status.PARTIALLY_FULFILLED, at, "EUR", (("TEA-250", 2), ("POT-1", 1)))
    await front.store.record(replace(state, missing=(("POT-1", 1),), approval=approval))
    _, order = await front.get(f"/orders/{state.order_id}")
    assert order["missing"] == [{"sku": "POT-1", "quantity": 1, "reason": "out_of_stock", "attempts": 1}]
    assert order["approval"] == approval
    assert models.OrderDocument.model_validate_json(json.dumps(order)).approval is not None


async def test_while_temporal_is_away_an_order_is_accepted_and_started_later(away: Front) -> None:
    body = a_body()
    assert (await away.post("/orders", body))[0] == 202
    assert (await away.get(f"/orders/{body['order_id']}"))[1]["status"] == "accepted"
    intake = Intake(away.store, away.connection, start_seconds=0.1, every_seconds=0.05)
    loop = asyncio.create_task(intake.run(away.connection))
    away.connection.use(away.client)

    async def started() -> bool:
        row = await away.store.get(body["order_id"])
        return row is not None and row["started_at"] is not None

    await eventually(started)
    loop.cancel()
    await away.client.get_workflow_handle(contract.fulfil_id(body["order_id"])).describe()


async def test_a_request_waits_for_a_temporal_that_is_gone_no_longer_than_it_is_told(away: Front) -> None:
    class Gone:
        async def start_workflow(self, *_: Any, **__: Any) -> None:
            await asyncio.Event().wait()  # the client's own attempts outlast the time-out of one

    away.connection.use(cast(Client, Gone()))
    body = a_body()
    assert (await away.post("/orders", body))[0] == 202
    assert (await away.post(f"/orders/{body['order_id']}/cancellation", {}))[0] == 503


async def test_the_same_order_twice_is_one_and_another_body_is_a_conflict(front: Front) -> None:
    body = a_body()
    answers = await asyncio.gather(*(front.post("/orders", body) for _ in range(10)))
    assert {status for status, _ in answers} == {202}
    assert await front.rows() == 1
    status, problem = await front.post("/orders", body | {"email": "b@example.org"})
    assert (status, problem["field"]) == (409, "order_id")
    assert await front.rows() == 1


async def test_an_idempotency_key_makes_one_order_and_takes_no_other_body(front: Front) -> None:
    body = a_body()
    del body["order_id"]
    key = {"Idempotency-Key": uuid.uuid4().hex}
    first = await front.post("/orders", body, headers=key)
    assert first[0] == 202
    assert (await front.post("/orders", body, headers=key))[1]["order_id"] == first[1]["order_id"]
    status, problem = await front.post("/orders", body | {"currency": "USD"}, headers=key)
    assert (status, problem["field"]) == (409, "Idempotency-Key")
    assert (await front.post("/orders", body))[1]["order_id"] != first[1]["order_id"]


async def test_an_id_that_is_taken_is_what_conflicts_and_not_the_fresh_key(front: Front) -> None:
    body = a_body()
    await front.post("/orders", body)
    key = {"Idempotency-Key": uuid.uuid4().hex}
    status, problem = await front.post("/orders", body | {"email": "b@example.org"}, headers=key)
    assert (status, problem["field"]) == (409, "order_id")
    assert "under this id" in problem["detail"]


async def test_a_repeat_finds_its_order_whatever_the_shop_takes_by_then(front: Front) -> None:
    body = a_body(approval_limit_seconds=3600)
    assert (await front.post("/orders", body))[0] == 202
    shop = Settings(
        database_url="postgresql://nobody@127.0.0.1:1/none",
        operator_token=SecretStr(TOKEN),
        mailbox_url="http://127.0.0.1:1",
        approval_thresholds={"USD": 1},
        approval_limit_seconds=60,
    )
    later = Api(
        front.store, Intake(front.store, front.connection, start_seconds=1, every_seconds=1), front.connection, shop
    )
    app = web.Application(middlewares=[problem_middleware])
    app.add_routes(later.routes())
    async with serve_app(app) as url:
        front.url = url
        assert (await front.post("/orders", body)) == (202, {"order_id": body["order_id"], "status": "reserving"})
        assert (await front.post("/orders", body | {"email": "b@example.org"}))[0] == 409
        status, problem = await front.post("/orders", a_body())
        assert (status, problem["field"]) == (422, "currency")
    assert await front.rows() == 1


NONSENSE: list[tuple[dict[str, Any], str]] = [
    ({"lines": [{"sku": "TEA-250", "quantity": 0}]}, "lines.0.quantity"),
    ({"lines": [{"sku": "TEA-250", "quantity": -1}]}, "lines.0.quantity"),
    ({"lines": [{"sku": "TEA-250", "quantity": 10**9}]}, "lines.0.quantity"),
    ({"lines": [{"sku": "TEA-250", "quantity": 10**40}]}, "lines.0.quantity"),
    ({"lines": [{"sku": "TEA-250", "quantity": 1.5}]}, "lines.0.quantity"),
    ({"lines": [{"sku": "TEA-250", "quantity": 2.0}]}, "lines.0.quantity"),
    ({"lines": [{"sku": "TEA-250", "quantity": True}]}, "lines.0.quantity"),
    ({"lines": [{"sku": "TEA-250", "quantity": "2"}]}, "lines.0.quantity"),
    ({"lines": [{"sku": "tea\u0000", "quantity": 1}]}, "lines.0.sku"),
    ({"lines": []}, "lines"),
    ({"lines": [{"sku": "A", "quantity": 1}, {"sku": "A", "quantity": 1}]}, "lines"),
    ({"lines": [{"sku": f"A-{n}", "quantity": 1} for n in range(101)]}, "lines"),
    ({"currency": "XXX"}, "currency"),
    ({"currency": "eur"}, "currency"),
    ({"order_id": "a\u0007b"}, "order_id"),
    ({"order_id": "a:b"}, "order_id"),
    ({"order_id": "x" * 65}, "order_id"),
    ({"order_id": 7}, "order_id"),
    ({"card_token": "4111111111111111"}, "card_token"),
    ({"card_token": None}, "card_token"),
    ({"account_id": "A-1"}, "card_token"),
    ({"card_token": None, "account_id": ""}, "account_id"),
    ({"card_token": None, "account_id": "a b"}, "account_id"),
    ({"email": "nobody"}, "email"),
    ({"address": {}}, "address.name"),
    ({"expected_total": 1.5}, "expected_total"),
    ({"expected_total": -1}, "expected_total"),
    ({"allow_partial": 1}, "allow_partial"),
    ({"approval_limit_seconds": 0}, "approval_limit_seconds"),
    ({"approval_limit_seconds": 10**9}, "approval_limit_seconds"),
    ({"coupon": "FREE"}, "coupon"),
]


@pytest.mark.parametrize(("terms", "field"), NONSENSE, ids=[f"{field}-{n}" for n, (_, field) in enumerate(NONSENSE)])
async def test_nonsense_is_refused_by_name_and_nothing_is_written(
    front: Front, terms: dict[str, Any], field: str
) -> None:
    status, problem = await front.post("/orders", a_body(**terms))
    assert (status, problem["field"]) == (422, field)
    assert await front.rows() == 0


@pytest.mark.parametrize(
    ("raw", "content_type", "expected"),
    [
        (b"{", "application/json", 400),
        (b"", "application/json", 400),
        (b"\xff\xfe", "application/json", 400),
        (b'{"currency": NaN}', "application/json", 400),
        (b"[" * 100_000, "application/json", 400),
        (b"[]", "application/json", 422),
        (b"null", "application/json", 422),
        (b"a=b", "application/x-www-form-urlencoded", 415),
        (json.dumps({"x": "y" * 5_000_000}).encode(), "application/json", 413),
    ],
    ids=["brace", "empty", "binary", "nan", "deep", "list", "null", "form", "5MB"],
)
async def test_a_body_that_is_none_is_a_problem(front: Front, raw: bytes, content_type: str, expected: int) -> None:
    headers = {"Content-Type": content_type}
    async with front.http.post(front.url + "/orders", data=io.BytesIO(raw), headers=headers) as response:
        assert (response.status, response.content_type) == (expected, "application/problem+json")
    assert await front.rows() == 0


async def test_wrong_methods_paths_and_parameters_are_problems(front: Front) -> None:
    async with front.http.delete(front.url + "/orders") as response:
        assert (response.status, response.content_type) == (405, "application/problem+json")
        assert "POST" in response.headers["Allow"]
    assert (await front.get("/nowhere"))[0] == 404
    assert (await front.get("/orders/none"))[0] == 404
    assert (await front.get("/orders/a%00b"))[0] == 404
    for query in ("limit=0", "limit=1001", "limit=-1", "limit=1e3", "status=lost", "after=xyz", "after=²"):
        status, problem = await front.get(f"/orders?{query}")
        assert status == 400
        assert problem["field"] in query
    assert (await front.post("/orders/none/cancellation", {}))[0] == 404


async def test_approvals_and_the_audit_are_for_operators(front: Front) -> None:
    decision = {"decision": "approve", "approver": "mara"}
    assert (await front.post("/orders/x/approval", decision))[0] == 401
    assert (await front.get("/audit"))[0] == 401
    assert (await front.get("/audit", headers={"Authorization": "Bearer wrong"}))[0] == 401
    assert (await front.get("/audit", headers={"Authorization": "Bearer w\u00fcrg"}))[0] == 401
    assert (await front.get("/audit", headers=OPERATOR))[0] == 200
    assert (await front.post("/orders/x/approval", decision, headers=OPERATOR))[0] == 404


async def test_while_temporal_is_away_an_update_is_said_to_be_unknown(away: Front) -> None:
    body = a_body()
    await away.post("/orders", body)
    status, problem = await away.post(f"/orders/{body['order_id']}/cancellation", {})
    assert (status, problem["title"]) == (503, "Service Unavailable")


async def test_an_update_of_an_ended_order_is_a_conflict(front: Front) -> None:
    body = a_body()
    await front.post("/orders", body)
    await front.client.get_workflow_handle(contract.fulfil_id(body["order_id"])).terminate()
    status, _ = await front.post(f"/orders/{body['order_id']}/cancellation", {})
    assert status == 409


class StoreWhoseOrdersEnd(Store):
    """Orders that end as soon as somebody has read them."""

    async def get(self, order_id: str) -> RowMapping | None:
        row = await super().get(order_id)
        await self.fail(order_id, "fell", "It fell over.")
        return row


async def test_who_asks_an_order_that_ends_meanwhile_is_told_how_it_ended(
    front: Front, fresh_database: FreshDatabase
) -> None:
    database = await fresh_database("orchestrator.migrations")
    store = StoreWhoseOrdersEnd(database.engine, OrchestratorMetrics())
    order_id = f"o-{uuid.uuid4().hex[:12]}"
    await store.accept(order_id, "digest", {"lines": [], "currency": "EUR"})
    await store.mark_started(order_id)
    settings = Settings(
        database_url="postgresql://nobody@127.0.0.1:1/none",
        operator_token=SecretStr(TOKEN),
        mailbox_url="http://127.0.0.1:1",
    )
    api = Api(store, Intake(store, front.connection, start_seconds=5, every_seconds=1), front.connection, settings)
    app = web.Application(middlewares=[problem_middleware])
    app.add_routes(api.routes())
    async with serve_app(app) as url:
        front.url = url
        status, problem = await front.post(f"/orders/{order_id}/cancellation", {})
    assert (status, problem["detail"].split(". ")[1]) == (409, "It was last seen as failed.")


async def test_orders_are_listed_by_status_in_pages(front: Front) -> None:
    placed = [a_body() for _ in range(5)]
    for body in placed:
        await front.post("/orders", body)
    seen: list[str] = []
    after = ""
    while True:
        _, page = await front.get(f"/orders?status=reserving&limit=2{after}")
        seen += [item["order_id"] for item in page["items"]]
        if page["next"] is None:
            break
        after = f"&after={page['next']}"
    assert seen == [body["order_id"] for body in reversed(placed)]
    assert (await front.get("/orders?status=fulfilled"))[1]["items"] == []


async def test_the_openapi_document_names_every_route(front: Front) -> None:
    status, document = await front.get("/openapi.json")
    assert (status, document["openapi"]) == (200, "3.1.0")
    assert document == json.loads(json.dumps(openapi.document()))
    described = {
        (method, path) for path, item in document["paths"].items() for method in item if method != "parameters"
    }
    assert described == {
        ("post", "/orders"),
        ("get", "/orders"),
        ("get", "/orders/{order_id}"),
        ("post", "/orders/{order_id}/approval"),
        ("post", "/orders/{order_id}/cancellation"),
    }
    references = {part.split('"')[0] for part in json.dumps(document).split("#/components/schemas/")[1:]}
    assert references <= set(document["components"]["schemas"])


async def test_before_the_database_is_ready_the_api_says_so(front: Front, fresh_database: FreshDatabase) -> None:
    database = await fresh_database("orchestrator.migrations")
    settings = Settings(
        database_url=database.engine.url.set(drivername="postgresql").render_as_string(hide_password=False),
        operator_token=SecretStr(TOKEN),
        mailbox_url="http://127.0.0.1:1",
    )
    service = compose(settings, Connection("orchestrator"))
    async with serve_app(service.app()) as url:
        async with front.http.post(url + "/orders", json=a_body()) as response:
            assert response.status == 503
        async with front.http.get(url + "/readyz") as response:
            checks = (await response.json())["checks"]
            assert response.status == 503
            assert checks["temporal"] == "Temporal has not answered yet"
        async with front.http.get(url + "/livez") as response:
            assert response.status == 200
    await service.database.close()
