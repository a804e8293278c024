import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from chassis.paging import page, page_args
from chassis.problems import Problem, problem_middleware
from chassis.testing.serving import serve_app

KEYS = [f"k{number:03}" for number in range(450)]


def asked(query: str) -> tuple[str, int]:
    return page_args(make_mocked_request("GET", f"/audit?{query}"))


@pytest.mark.parametrize(
    ("query", "args"),
    [
        ("", ("", 200)),
        ("after=&limit=1", ("", 1)),
        ("limit=1000", ("", 1000)),
        ("after=o-1%20%C3%A9", ("o-1 é", 200)),
        (f"after={'a' * 200}", ("a" * 200, 200)),
    ],
)
def test_a_page_is_asked_for(query: str, args: tuple[str, int]) -> None:
    assert asked(query) == args


@pytest.mark.parametrize(
    "limit", ["", "0", "-1", "1001", "1.5", "ten", "+5", "%20 5", "%D9%A5", "1" * 5000, "1_0", "00000000001"]
)
def test_a_limit_that_is_none_is_refused(limit: str) -> None:
    with pytest.raises(Problem) as refused:
        asked(f"limit={limit}")
    assert (refused.value.status, refused.value.field) == (400, "limit")


@pytest.mark.parametrize("after", ["a" * 201, "a%00", "a%0Ab", "%7F"])
def test_what_cannot_be_a_key_is_refused(after: str) -> None:
    with pytest.raises(Problem) as refused:
        asked(f"after={after}")
    assert (refused.value.status, refused.value.field) == (400, "after")


@pytest.mark.parametrize(("limit", "pages"), [("1000", 1), ("450", 2), ("200", 3), ("449", 2)])
async def test_following_next_from_page_to_page_finds_everything_once(limit: str, pages: int) -> None:
    async def audit(request: web.Request) -> web.Response:
        after, limit = page_args(request)
        return page([{"key": key} for key in KEYS if key > after][:limit], limit, "key")

    app = web.Application(middlewares=[problem_middleware])
    app.add_routes([web.get("/audit", audit)])
    found: list[str] = []
    after: str | None = ""
    async with serve_app(app) as url, aiohttp.ClientSession(url) as client:
        while after is not None:
            async with client.get("/audit", params={"after": after, "limit": limit}) as response:
                body = await response.json()
            found += [item["key"] for item in body["items"]]
            after = body["next"]
            pages -= 1
    assert found == KEYS
    assert pages == 0
