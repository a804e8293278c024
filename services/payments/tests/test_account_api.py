"""The accounts over HTTP."""

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web
from pydantic import SecretStr
from temporalio.testing import WorkflowEnvironment

from chassis.connection import Connection
from chassis.problems import problem_middleware
from chassis.testing.serving import serve_app
from payments.account_api import AccountApi
from payments.account_terms import Balance, Booked, Move
from payments.store_credit import StoreCredit, Unanswered

from .conftest import World, account_with, balance_of, new_account, new_key, serving

OPERATOR = {"Authorization": "Bearer operator-token"}


class Service:
    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def get(self, path: str) -> tuple[int, Any]:
        async with self._session.get(path, headers=OPERATOR) as response:
            return response.status, await response.json()

    async def post(self, path: str, body: Any = None) -> tuple[int, Any]:
        async with self._session.post(path, headers=OPERATOR, json=body) as response:
            return response.status, await response.json()


def _app(world: World, credit: StoreCredit) -> web.Application:
    app = web.Application(middlewares=[problem_middleware])
    app.add_routes(AccountApi(world.accounts, credit).routes(SecretStr("operator-token")))
    return app


@pytest_asyncio.fixture
async def service(world: World, dev_server: WorkflowEnvironment) -> AsyncIterator[Service]:
    connection = Connection("payments")
    connection.use(dev_server.client)
    async with (
        serving(world, dev_server),
        serve_app(_app(world, StoreCredit(connection, world.accounts))) as url,
        aiohttp.ClientSession(url) as session,
    ):
        yield Service(session)


@pytest_asyncio.fixture
async def without_temporal(world: World) -> AsyncIterator[Service]:
    credit = StoreCredit(Connection("payments"), world.accounts)
    async with serve_app(_app(world, credit)) as url, aiohttp.ClientSession(url) as session:
        yield Service(session)


def _body(amount: int = 500, currency: str = "EUR", key: str | None = None) -> dict[str, Any]:
    return {"booking_key": key or new_key(), "amount": amount, "currency": currency}


async def test_an_account_is_filled_emptied_closed_and_opened(world: World, service: Service) -> None:
    path = f"/accounts/{(account_id := new_account())}"
    deposit = _body(500)
    status, first = await service.post(f"{path}/deposits", deposit)
    assert (status, await service.post(f"{path}/deposits", deposit)) == (200, (200, first))
    assert first.pop("booked_at")
    assert first == {
        "account_id": account_id,
        "booking_key": deposit["booking_key"],
        "kind": "deposit",
        "amount": 500,
        "currency": "EUR",
        "entry": 1,
        "balance_after": 500,
        "order_id": None,
    }
    status, second = await service.post(f"{path}/withdrawals", _body(120))
    assert (status, second["amount"], second["balance_after"]) == (200, -120, 380)
    status, closed = await service.post(f"{path}/close")
    assert (status, closed["open"], closed["balance"]) == (200, False, 380)
    for what in ("deposits", "withdrawals"):
        status, problem = await service.post(f"{path}/{what}", _body(1))
        assert (status, problem["error"]) == (409, "account_closed")
    assert (await service.post(f"{path}/reopen"))[1]["open"]
    status, shown = await service.get(path)
    assert shown.pop("created_at") < shown.pop("updated_at")
    assert (status, shown) == (
        200,
        {"account_id": account_id, "currency": "EUR", "balance": 380, "open": True, "entries": 2},
    )
    assert await balance_of(world, account_id) == 380


async def test_what_an_account_will_not_do_is_a_conflict_that_says_why(service: Service) -> None:
    path = f"/accounts/{new_account()}"
    deposit = _body(500)
    await service.post(f"{path}/deposits", deposit)
    for what, body, error in (
        ("withdrawals", _body(501), "insufficient_funds"),
        ("withdrawals", _body(1, "USD"), "currency_mismatch"),
        ("deposits", _body(1, "USD"), "currency_mismatch"),
        ("deposits", deposit | {"amount": 1}, "booking_conflict"),
    ):
        status, problem = await service.post(f"{path}/{what}", body)
        assert (status, problem["error"]) == (409, error)


async def test_accounts_are_read_from_the_table_while_temporal_is_away(world: World, without_temporal: Service) -> None:
    account_id = await account_with(world, 500)
    for amount in (10, 20, 30):
        await world.accounts.withdraw(account_id, Move(new_key(), amount, "EUR"))
    path = f"/accounts/{account_id}"
    assert (await without_temporal.get(path))[1]["balance"] == 440
    _, first = await without_temporal.get(f"{path}/statement?limit=3")
    _, second = await without_temporal.get(f"{path}/statement?limit=3&after={first['next']}")
    assert ([line["amount"] for line in first["items"] + second["items"]], second["next"]) == (
        [500, -10, -20, -30],
        None,
    )
    _, listed = await without_temporal.get("/accounts")
    assert [(item["account_id"], item["ledger"], item["balanced"]) for item in listed["items"]] == [
        (account_id, 440, True)
    ]
    for what in ("deposits", "withdrawals"):
        status, problem = await without_temporal.post(f"{path}/{what}", _body(1))
        assert (status, problem["title"]) == (503, "Service Unavailable")
    assert (await without_temporal.post(f"{path}/close"))[0] == 503
    assert await balance_of(world, account_id) == 440


async def test_what_became_of_a_lost_answer_is_looked_up_in_the_table(world: World) -> None:
    class Losing(StoreCredit):
        async def deposit(self, account_id: str, move: Move) -> Booked:
            await world.accounts.deposit(account_id, move)
            raise Unanswered("lost")

        async def set_open(self, account_id: str, *, open: bool) -> Balance:  # noqa: A002 - as production has it
            await world.accounts.set_open(account_id, open=False)
            raise Unanswered("lost")

    account_id, body = new_account(), _body(500)
    credit = Losing(Connection("payments"), world.accounts)
    async with serve_app(_app(world, credit)) as url, aiohttp.ClientSession(url) as session:
        status, booked = await Service(session).post(f"/accounts/{account_id}/deposits", body)
        closed, account = await Service(session).post(f"/accounts/{account_id}/close")
        reopened, _ = await Service(session).post(f"/accounts/{account_id}/reopen")
    assert (closed, account["open"], reopened) == (200, False, 503)
    assert (status, booked["booking_key"], booked["balance_after"]) == (200, body["booking_key"], 500)


GOOD = {"booking_key": "k", "amount": 1, "currency": "EUR"}


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        (GOOD | {"amount": 0}, 422, "amount"),
        (GOOD | {"amount": -5}, 422, "amount"),
        (GOOD | {"amount": 10**11 + 1}, 422, "amount"),
        (GOOD | {"amount": 1.5}, 422, "amount"),
        (GOOD | {"amount": True}, 422, "amount"),
        (GOOD | {"amount": "1"}, 422, "amount"),
        (GOOD | {"currency": "euro"}, 422, "currency"),
        (GOOD | {"booking_key": ""}, 422, "booking_key"),
        (GOOD | {"booking_key": "a\x00b"}, 422, "booking_key"),
        (GOOD | {"booking_key": "payment:o:authorise"}, 422, "booking_key"),
        (GOOD | {"order_id": "o"}, 422, "order_id"),
        ({"amount": 1, "currency": "EUR"}, 422, "booking_key"),
        ([], 422, "body"),
    ],
)
async def test_nonsense_is_answered_with_a_problem(
    world: World, without_temporal: Service, body: Any, status: int, field: str
) -> None:
    account_id = await account_with(world, 500)
    for what in ("deposits", "withdrawals"):
        answered, problem = await without_temporal.post(f"/accounts/{account_id}/{what}", body)
        assert (answered, problem["field"]) == (status, field)


@pytest.mark.parametrize("path", ["/accounts/-x", "/accounts/a%2Fb", f"/accounts/{'x' * 65}", "/accounts/a:b"])
async def test_what_cannot_be_an_account_is_no_account(without_temporal: Service, path: str) -> None:
    status, problem = await without_temporal.get(path)
    assert (status, problem["field"]) == (400, "account_id")


@pytest.mark.parametrize("after", ["x", "-1", "1.5", "9" * 30])
async def test_a_statement_begins_after_a_number(world: World, without_temporal: Service, after: str) -> None:
    path = f"/accounts/{await account_with(world, 500)}/statement?after={after}"
    status, problem = await without_temporal.get(path)
    assert (status, problem["field"]) == (400, "after")


async def test_an_account_that_is_not_there_is_not_made_by_asking(without_temporal: Service) -> None:
    path = f"/accounts/{new_account()}"
    for asked in (
        without_temporal.get(path),
        without_temporal.get(f"{path}/statement"),
        without_temporal.post(f"{path}/withdrawals", GOOD),
        without_temporal.post(f"{path}/close"),
        without_temporal.post(f"{path}/reopen"),
    ):
        assert (await asked)[0] == 404


async def test_only_operators_may_look_and_change(world: World) -> None:
    credit = StoreCredit(Connection("payments"), world.accounts)
    app = _app(world, credit)
    async with serve_app(app) as url, aiohttp.ClientSession(url) as session:
        for route in app.router.routes():
            resource = route.resource
            assert resource is not None
            path = resource.canonical.replace("{account_id}", "a")
            async with session.request(route.method, path) as response:
                assert response.status == 401
