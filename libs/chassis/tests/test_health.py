import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest_asyncio
from aiohttp import web

from chassis.health import HEALTH, Health, livez, readyz, storing_middleware
from chassis.problems import problem_middleware
from chassis.testing.serving import serve_app


async def well() -> None:
    """Nothing is wrong."""


async def away() -> None:
    raise ConnectionError("nobody is at home\nand more that is of no use")


async def silent() -> None:
    raise TimeoutError


def ready() -> Health:
    return Health({"database": well, "temporal": well}, storing=True, polling=True)


async def hello(_: web.Request) -> web.Response:
    return web.json_response("hello")


@pytest_asyncio.fixture
async def served() -> AsyncIterator[tuple[Health, aiohttp.ClientSession]]:
    app = web.Application(middlewares=[problem_middleware, storing_middleware])
    app[HEALTH] = health = ready()
    app.add_routes([web.get("/livez", livez), web.get("/readyz", readyz), web.get("/hello", hello)])
    async with serve_app(app) as url, aiohttp.ClientSession(url) as session:
        yield health, session


async def test_all_is_well() -> None:
    assert set((await ready().report()).values()) == {"ok"}


async def test_each_part_that_is_not_well_is_named() -> None:
    health = Health({"database": away, "temporal": silent}, draining=True)
    assert await health.report() == {
        "database": "nobody is at home",
        "temporal": "TimeoutError",
        "worker": "not polling yet",
        "process": "draining",
    }


async def test_a_database_that_answers_is_not_enough_while_its_schema_is_old() -> None:
    health = ready()
    health.storing = False
    assert (await health.report())["database"] == "schema not up to date yet"


async def test_checks_are_asked_side_by_side() -> None:
    both = asyncio.Barrier(2)

    async def meet() -> None:
        await both.wait()

    async with asyncio.timeout(10):
        assert (await Health({"one": meet, "other": meet}).report())["one"] == "ok"


async def test_readyz_says_503_until_all_is_well(served: tuple[Health, aiohttp.ClientSession]) -> None:
    health, session = served
    for status in (200, 503, 200):
        health.polling = status == 200
        async with session.get("/readyz") as response:
            document = await response.json()
        assert (response.status, document["ready"]) == (status, status == 200)


async def test_a_provider_that_is_away_is_told_and_leaves_the_service_ready(
    served: tuple[Health, aiohttp.ClientSession],
) -> None:
    health, session = served
    health.providers["mail"] = away
    async with session.get("/readyz") as response:
        assert response.status == 200
        assert (await response.json())["providers"] == {"mail": "nobody is at home"}


async def test_livez_does_not_hang_on_anything(served: tuple[Health, aiohttp.ClientSession]) -> None:
    health, session = served
    health.checks["database"] = away
    health.storing = health.polling = False
    async with session.get("/livez") as response:
        assert response.status == 200


async def test_requests_are_told_to_wait_while_there_is_no_database(
    served: tuple[Health, aiohttp.ClientSession],
) -> None:
    health, session = served
    health.storing = False
    async with session.get("/hello") as response:
        assert (response.status, response.content_type) == (503, "application/problem+json")
    health.storing = True
    async with session.get("/hello") as response:
        assert response.status == 200
