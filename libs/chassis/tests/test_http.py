import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web

from chassis.http import HttpClient, reachable
from chassis.testing.ports import free_ports
from chassis.testing.serving import serve_app


@pytest_asyncio.fixture
async def url() -> AsyncIterator[str]:
    async def fail(_: web.Request) -> web.Response:
        return web.Response(status=500)

    async def hang(request: web.Request) -> web.Response:
        await asyncio.Event().wait()
        raise AssertionError("it was never set")

    app = web.Application()
    app.add_routes([web.get("/fail", fail), web.get("/hang", hang)])
    async with serve_app(app) as url:
        yield url


async def test_it_has_one_session_until_it_is_closed() -> None:
    client = HttpClient(timeout_seconds=1)
    await client.close()  # nothing to close yet
    first = client.session
    assert client.session is first
    await client.close()
    assert first.closed
    assert client.session is not first
    await client.close()


def test_it_is_made_where_no_loop_runs() -> None:
    HttpClient(timeout_seconds=1)


async def test_a_request_that_takes_too_long_is_given_up(url: str) -> None:
    client = HttpClient(timeout_seconds=0.1)
    with pytest.raises(TimeoutError):
        await client.session.get(f"{url}/hang")
    await client.close()


@pytest.mark.parametrize("path", ["/fail", "/nowhere"])
async def test_any_answer_is_a_sign_of_life(url: str, path: str) -> None:
    await reachable(url + path)


async def test_no_answer_is_none(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    [nobody] = free_ports(1)
    with pytest.raises(aiohttp.ClientError):
        await reachable(f"http://127.0.0.1:{nobody}")
    monkeypatch.setattr("chassis.http.REACHABLE_SECONDS", 0.1)
    with pytest.raises(TimeoutError):
        await reachable(f"{url}/hang")
