import asyncio
import sys

from aiohttp import web

from chassis.testing.ports import free_ports
from chassis.testing.serving import serve_app


async def check(*urls: str) -> tuple[int | None, list[str]]:
    """Exit code and lines of the program."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "chassis.healthcheck", *urls, stderr=asyncio.subprocess.PIPE
    )
    _, said = await process.communicate()
    return process.returncode, said.decode().splitlines()


def app() -> web.Application:
    async def readyz(_: web.Request) -> web.Response:
        return web.Response()

    async def unready(_: web.Request) -> web.Response:
        return web.Response(status=503)

    made = web.Application()
    made.add_routes([web.get("/readyz", readyz), web.get("/unready", unready)])
    return made


async def test_what_answers_is_healthy() -> None:
    async with serve_app(app()) as url:
        assert await check(f"{url}/readyz", f"{url}/readyz") == (0, [])


async def test_one_that_is_not_ready_is_unhealthy_and_named() -> None:
    async with serve_app(app()) as url:
        code, said = await check(f"{url}/readyz", f"{url}/unready")
    assert code == 1
    assert len(said) == 1
    assert said[0].startswith(f"{url}/unready: ")
    assert "503" in said[0]


async def test_where_nobody_listens_is_unhealthy() -> None:
    [port] = free_ports(1)
    code, said = await check(f"http://127.0.0.1:{port}/readyz")
    assert code == 1
    assert len(said) == 1


async def test_nonsense_and_nothing_are_unhealthy() -> None:
    assert (await check("nonsense"))[0] == 1
    assert await check() == (1, ["usage: python -m chassis.healthcheck URL…"])
