"""Pick waves over HTTP, as the composition root makes them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web
from pydantic import SecretStr
from temporalio.testing import WorkflowEnvironment

from chassis.connection import Connection
from chassis.health import HEALTH
from chassis.problems import problem_middleware
from chassis.service import Service
from chassis.testing.serving import serve_app
from shipping import picking
from shipping.pick_api import PickDesk
from shipping.picks import Picks, Wave, WaveState
from shipping.settings import Settings
from shipping.worker import compose

from .world import World, new_order, until

OPERATOR = {"Authorization": "Bearer operator-token"}


def service_of(world: World, connection: Connection) -> Service:
    settings = Settings(
        database_url=world.database.engine.url.render_as_string(hide_password=False),
        operator_token=SecretStr("operator-token"),
        webhook_secret=SecretStr("webhook-secret"),
        carriers_url="http://127.0.0.1:1/carriers",
        pick_seconds=0.1,
    )
    return compose(settings, connection)


@asynccontextmanager
async def served(service: Service) -> AsyncIterator[aiohttp.ClientSession]:
    app = service.app()
    app[HEALTH].storing = True
    async with serve_app(app) as url, aiohttp.ClientSession(url, headers=OPERATOR) as session:
        yield session
    await service.database.close()


@pytest_asyncio.fixture
async def away(world: World) -> AsyncIterator[aiohttp.ClientSession]:
    """Shipping while Temporal is away."""
    async with served(service_of(world, Connection("shipping"))) as session:
        yield session


@pytest_asyncio.fixture
async def http(dev_server: WorkflowEnvironment, world: World) -> AsyncIterator[aiohttp.ClientSession]:
    """Shipping with its worker and its background."""
    connection = Connection("shipping")
    connection.use(dev_server.client)
    service = service_of(world, connection)
    async with served(service) as session, service.worker(dev_server.client):
        parts = [asyncio.ensure_future(part(connection)) for part in service.background]
        yield session
        for part in parts:
            part.cancel()
        await asyncio.gather(*parts, return_exceptions=True)


@pytest.fixture
def let_go(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Set it to let hands pick: a wave of which something is to be seen is not over before it was."""
    pick, let_go = Picks.pick, asyncio.Event()

    async def held(self: Picks, asked: picking.Pick) -> picking.Picked:
        await let_go.wait()
        return await pick(self, asked)

    monkeypatch.setattr(Picks, "pick", held)
    return let_go


async def call(http: aiohttp.ClientSession, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    async with http.request(method, path, json=body) as response:
        return response.status, await response.json(content_type=None)


def new_wave() -> str:
    return f"wave-{new_order()}"


async def test_a_wave_is_asked_for_watched_paused_resumed_and_its_result_kept(
    http: aiohttp.ClientSession, dev_server: WorkflowEnvironment, world: World, let_go: asyncio.Event
) -> None:
    for _ in range(12):
        await world.booked(new_order())
    wave_id = new_wave()
    asked = {"wave_id": wave_id, "warehouse": "north", "pickers": 2}
    async with http.post("/pick-waves", json=asked) as response:
        assert (response.status, response.headers["Location"]) == (202, f"/pick-waves/{wave_id}")
        assert await response.json() == asked
    path = f"/pick-waves/{wave_id}"

    async def running() -> bool:
        _, shown = await call(http, "GET", path)
        return bool(shown["progress"] and shown["progress"]["total"] == 12)

    async def paused_still() -> bool:
        return bool((await call(http, "GET", path))[1]["status"] == "paused")

    await until(running)
    status, one = await call(http, "POST", f"{path}/pause", {"picker": 2})
    assert (status, one["status"], one["hands"][1]["state"]) == (200, "running", "paused")
    status, shown = await call(http, "POST", f"{path}/pause", {})
    assert (status, shown["status"], shown["progress"]["phase"]) == (200, "paused", "paused")
    assert (await call(http, "GET", path))[1]["status"] == "paused"
    assert (await call(http, "POST", f"{path}/pause", {"picker": 3}))[0] == 422
    # The same again is the same wave; another one of its id is not.
    assert (await call(http, "POST", "/pick-waves", asked))[0] == 202
    assert (await call(http, "POST", "/pick-waves", {**asked, "pickers": 3}))[0] == 409
    await until(paused_still)
    let_go.set()
    status, shown = await call(http, "POST", f"{path}/resume", {})
    assert (status, shown["status"]) == (200, "running")

    async def completed() -> bool:
        return bool((await call(http, "GET", path))[1]["status"] == "completed")

    await until(completed)
    _, shown = await call(http, "GET", path)
    assert (shown["result"]["total"], shown["result"]["picked"], shown["progress"]) == (12, 12, None)
    assert (await call(http, "POST", f"{path}/pause", {}))[0] == 409
    assert (await call(http, "POST", "/pick-waves", asked))[0] == 202


async def test_a_wave_whose_workflow_was_terminated_is_stopped_until_it_is_asked_for_again(
    http: aiohttp.ClientSession, dev_server: WorkflowEnvironment, world: World, let_go: asyncio.Event
) -> None:
    for _ in range(6):
        await world.booked(new_order())
    asked = {"wave_id": new_wave(), "warehouse": "north", "pickers": 1}
    path = f"/pick-waves/{asked['wave_id']}"
    await call(http, "POST", "/pick-waves", asked)

    async def shows(state: str) -> bool:
        return bool((await call(http, "GET", path))[1]["status"] == state)

    await until(lambda: shows("running"))
    handle = dev_server.client.get_workflow_handle(picking.wave_workflow_id(str(asked["wave_id"])))
    await handle.terminate()
    await until(lambda: shows("stopped"))
    assert (await call(http, "POST", f"{path}/pause", {}))[0] == 409
    await call(http, "POST", "/pick-waves", asked)
    let_go.set()
    await until(lambda: shows("completed"))
    assert (await call(http, "GET", path))[1]["result"]["picked"] == 6


class PicksThatEnd(Picks):
    """Waves that end as soon as somebody has read them."""

    async def wave(self, wave_id: str) -> Wave | None:
        wave = await super().wave(wave_id)
        await self.close(wave_id, WaveState.COMPLETED)
        return wave


@pytest_asyncio.fixture
async def ending(dev_server: WorkflowEnvironment, world: World) -> AsyncIterator[aiohttp.ClientSession]:
    """A desk whose running waves come to their end between its look at the table and its question to Temporal."""
    connection = Connection("shipping")
    connection.use(dev_server.client)
    picks = PicksThatEnd(world.database.engine, world.metrics)
    desk = PickDesk(picks, connection, SecretStr("operator-token"), lease_seconds=1)
    app = web.Application(middlewares=[problem_middleware])
    app.add_routes(desk.routes())
    async with serve_app(app) as url, aiohttp.ClientSession(url, headers=OPERATOR) as session:
        yield session


async def running_wave(world: World) -> str:
    """One that its table says is running. Nobody works on it."""
    wave_id = new_wave()
    await world.picks.accept(wave_id, "north", 1)
    await world.picks.started(wave_id)
    return f"/pick-waves/{wave_id}"


async def test_a_wave_that_completes_while_it_is_asked_for_is_completed_and_not_stopped(
    ending: aiohttp.ClientSession, world: World
) -> None:
    status, shown = await call(ending, "GET", await running_wave(world))
    assert (status, shown["status"]) == (200, "completed")
    assert (shown["result"]["total"], shown["progress"]) == (0, None)


async def test_who_would_pause_a_wave_that_completes_meanwhile_is_told_so(
    ending: aiohttp.ClientSession, world: World
) -> None:
    status, problem = await call(ending, "POST", f"{await running_wave(world)}/pause", {})
    assert (status, problem["detail"]) == (409, "The wave is completed.")


async def test_a_wave_is_accepted_while_temporal_is_away(away: aiohttp.ClientSession, world: World) -> None:
    status, made = await call(away, "POST", "/pick-waves", {"warehouse": "north", "pickers": 2})
    assert status == 202
    path = f"/pick-waves/{made['wave_id']}"
    assert (await call(away, "GET", path))[1] == {
        **made,
        "status": "accepted",
        "progress": None,
        "hands": [],
        "result": None,
    }
    assert [wave.wave_id for wave in await world.picks.to_start()] == [made["wave_id"]]
    assert (await call(away, "POST", f"{path}/pause", {}))[0] == 503
    await world.picks.gather(made["wave_id"])
    assert (await call(away, "GET", path))[0] == 503


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"warehouse": "north", "pickers": 0}, "pickers"),
        ({"warehouse": "north", "pickers": -1}, "pickers"),
        ({"warehouse": "north", "pickers": 51}, "pickers"),
        ({"warehouse": "north", "pickers": "2"}, "pickers"),
        ({"warehouse": "north", "pickers": True}, "pickers"),
        ({"warehouse": "", "pickers": 1}, "warehouse"),
        ({"warehouse": "a\u0000b", "pickers": 1}, "warehouse"),
        ({"pickers": 1}, "warehouse"),
        ({"wave_id": "../x", "warehouse": "north", "pickers": 1}, "wave_id"),
        ({"wave_id": "a b", "warehouse": "north", "pickers": 1}, "wave_id"),
        ({"wave_id": "", "warehouse": "north", "pickers": 1}, "wave_id"),
    ],
)
async def test_a_wave_that_makes_no_sense_is_refused_by_field(
    away: aiohttp.ClientSession, body: dict[str, Any], field: str
) -> None:
    status, problem = await call(away, "POST", "/pick-waves", body)
    assert (status, problem["field"]) == (422, field)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/pick-waves"),
        ("GET", "/pick-waves/w"),
        ("POST", "/pick-waves/w/pause"),
        ("POST", "/pick-waves/w/resume"),
    ],
)
async def test_waves_are_for_operators_only(away: aiohttp.ClientSession, method: str, path: str) -> None:
    async with away.request(method, path, json={}, headers={"Authorization": "Bearer wrong"}) as response:
        assert response.status == 401


async def test_a_wave_that_nobody_asked_for_is_not_found(away: aiohttp.ClientSession) -> None:
    for method, path in (("GET", "/pick-waves/w"), ("POST", "/pick-waves/w/pause"), ("POST", "/pick-waves/w/resume")):
        assert (await call(away, method, path, {}))[0] == 404
    assert (await call(away, "POST", "/pick-waves/w/pause", {"picker": 0}))[0] == 422
