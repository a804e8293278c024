import asyncio
import json
import socket
import uuid
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, SecretStr
from sqlalchemy.exc import InterfaceError, OperationalError

from chassis.database import AWAY
from chassis.problems import DATABASE_AWAY, Problem, operators_only, problem_middleware, read_json
from chassis.testing.serving import serve_app

TOKEN = "tökén-of-the-operators"


class Line(BaseModel):
    model_config = ConfigDict(extra="forbid")

    sku: str
    quantity: int = Field(ge=1)
    sure: bool = False


class Body(BaseModel):
    lines: list[Line] = Field(max_length=3)


async def echo(request: web.Request) -> web.Response:
    return web.json_response((await read_json(request, Body)).model_dump())


async def fail(request: web.Request) -> web.Response:
    match request.match_info["how"]:
        case "operational":
            raise OperationalError("SELECT", {}, Exception("the server is gone"))
        case "interface":
            raise InterfaceError("SELECT", {}, Exception("the connection is closed"))
        case "redirect":
            raise web.HTTPFound("/elsewhere")
        case "teapot":
            raise web.HTTPConflict(text="twice is once too often")
        case "problem":
            raise Problem(409, "Conflict", "it is taken", "name", error="taken")
        case other:
            raise RuntimeError(f"not foreseen: {other}")


async def operate(_: web.Request) -> web.Response:
    return web.json_response({"operated": True})


def application() -> web.Application:
    app = web.Application(middlewares=[problem_middleware], client_max_size=1000)
    app[DATABASE_AWAY] = AWAY
    guard = operators_only(SecretStr(TOKEN))
    app.add_routes([web.post("/echo", echo), web.get("/fail/{how}", fail), web.get("/operate", guard(operate))])
    return app


@pytest_asyncio.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    async with serve_app(application()) as url, aiohttp.ClientSession(url) as session:
        yield session


async def problem(response: aiohttp.ClientResponse, status: int) -> dict[str, Any]:
    assert response.status == status, await response.text()
    assert response.content_type == "application/problem+json"
    document: dict[str, Any] = json.loads(await response.text())
    assert document["type"] == "about:blank"
    assert document["status"] == status
    assert document["title"]
    assert document["detail"]
    return document


async def post(client: aiohttp.ClientSession, data: bytes | str, content_type: str = "application/json") -> Any:
    return await client.post("/echo", data=data, headers={"Content-Type": content_type})


async def test_a_body_that_fits_is_read(client: aiohttp.ClientSession) -> None:
    response = await post(client, '{"lines": [{"sku": "a", "quantity": 1}]}', "application/json; charset=utf-8")
    assert response.status == 200
    assert await response.json() == {"lines": [{"sku": "a", "quantity": 1, "sure": False}]}


@pytest.mark.parametrize(
    "body",
    [
        "",
        "{",
        "nothing",
        '{"lines": NaN}',
        '{"lines": [Infinity]}',
        b"\xff\xfe\xfd",
        '{"lines": [{"sku": "\\ud800", "quantity": 1}]}',
        '{"lines": []}'.encode("utf-16"),
        "[" * 900,
        "9" * 990 + "}",
        '{"lines": [{"sku": "a", "quantity": 1, "quantity": 2}]}',
    ],
)
async def test_400_for_what_is_no_json(client: aiohttp.ClientSession, body: str | bytes) -> None:
    assert (await problem(await post(client, body), 400))["title"] == "Malformed JSON"


async def test_400_for_a_body_that_is_not_encoded_as_it_says(client: aiohttp.ClientSession) -> None:
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    # aiohttp's client would encode the body itself.
    with socket.create_connection(("127.0.0.1", int(str(client._base_url).rpartition(":")[2].strip("/")))) as plain:
        lines = ["POST /echo HTTP/1.1", "Host: here", *(f"{name}: {value}" for name, value in headers.items())]
        plain.sendall("\r\n".join([*lines, "Content-Length: 4", "Connection: close", "", "nope"]).encode())
        answer = await asyncio.to_thread(lambda: plain.makefile("rb").read())
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"application/problem+json" in answer


async def test_400_for_numbers_too_long_and_nesting_too_deep() -> None:
    app = application()
    app._client_max_size = 10**7
    async with serve_app(app) as url, aiohttp.ClientSession(url) as client:
        for body in ("9" * 5000, "[" * 200_000):
            await problem(await post(client, body), 400)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ("[]", "body"),
        ("null", "body"),
        ("{}", "lines"),
        ('{"lines": {}}', "lines"),
        ('{"lines": [{"sku": "a", "quantity": 1}, {"sku": "a", "quantity": 0}]}', "lines.1.quantity"),
        ('{"lines": [{"sku": "a", "quantity": 1.5}]}', "lines.0.quantity"),
        ('{"lines": [{"sku": "a", "quantity": "1"}]}', "lines.0.quantity"),
        ('{"lines": [{"sku": "a", "quantity": true}]}', "lines.0.quantity"),
        ('{"lines": [{"sku": "a", "quantity": 1, "sure": 1}]}', "lines.0.sure"),
        ('{"lines": [{"sku": "a", "quantity": 1, "more": 1}]}', "lines.0.more"),
    ],
)
async def test_422_names_the_first_field_that_does_not_fit(
    client: aiohttp.ClientSession, body: str, field: str
) -> None:
    document = await problem(await post(client, body), 422)
    assert document["field"] == field
    assert document["detail"].startswith(f"{field}: ")
    assert document["errors"][0]["field"] == field


async def test_422_does_not_repeat_what_was_sent(client: aiohttp.ClientSession) -> None:
    document = await problem(await post(client, '{"lines": [{"sku": "a", "quantity": "4111111111111111"}]}'), 422)
    assert "4111" not in json.dumps(document)


async def test_404_for_a_path_that_is_not_there(client: aiohttp.ClientSession) -> None:
    assert "/nowhere" in (await problem(await client.get("/nowhere"), 404))["detail"]


async def test_405_says_what_is_allowed(client: aiohttp.ClientSession) -> None:
    response = await client.delete("/echo")
    assert response.headers["Allow"] == "POST"
    assert "DELETE" in (await problem(response, 405))["detail"]


async def test_413_for_a_body_that_is_too_large(client: aiohttp.ClientSession) -> None:
    await problem(await post(client, json.dumps({"lines": ["x" * 1000]})), 413)


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "application/jsonp"])
async def test_415_for_a_body_of_another_type(client: aiohttp.ClientSession, content_type: str) -> None:
    await problem(await post(client, "{}", content_type), 415)


async def test_500_says_nothing_of_the_inside(client: aiohttp.ClientSession, caplog: pytest.LogCaptureFixture) -> None:
    inside = uuid.uuid4().hex
    document = await problem(await client.get(f"/fail/{inside}"), 500)
    assert inside not in json.dumps(document)
    [record] = [record for record in caplog.records if record.message == "request failed"]
    assert inside in str(record.exc_info)
    assert record.__dict__["route"] == "/fail/{how}"


@pytest.mark.parametrize("how", ["operational", "interface"])
async def test_503_when_the_database_does_not_answer(client: aiohttp.ClientSession, how: str) -> None:
    response = await client.get(f"/fail/{how}")
    assert response.headers["Retry-After"] == "1"
    await problem(response, 503)


async def test_an_application_without_a_database_answers_500_and_needs_none() -> None:
    app = web.Application(middlewares=[problem_middleware])
    app.add_routes([web.get("/fail/{how}", fail)])
    async with serve_app(app) as url, aiohttp.ClientSession(url) as client:
        await problem(await client.get("/fail/operational"), 500)


async def test_a_problem_has_the_members_that_it_was_given(client: aiohttp.ClientSession) -> None:
    document = await problem(await client.get("/fail/problem"), 409)
    assert (document["detail"], document["field"], document["error"]) == ("it is taken", "name", "taken")


async def test_other_errors_of_aiohttp_are_problems_too_and_redirections_are_not(
    client: aiohttp.ClientSession,
) -> None:
    assert (await problem(await client.get("/fail/teapot"), 409))["detail"] == "twice is once too often"
    response = await client.get("/fail/redirect", allow_redirects=False)
    assert (response.status, response.headers["Location"]) == (302, "/elsewhere")


async def raw(url: str, *headers: bytes) -> bytes:
    """The first line of the answer to a request whose headers no client would send."""
    import asyncio

    host, port = url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"\r\n".join([b"GET /operate HTTP/1.1", b"Host: x", b"Connection: close", *headers, b"", b""]))
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer.split(b"\r\n", 1)[0]


@pytest.mark.parametrize(
    ("header", "status"),
    [
        (b"Authorization: Bearer " + TOKEN.encode(), b"200"),
        (b"X-Other: 1", b"401"),
        (b"Authorization:", b"401"),
        (b"Authorization: Bearer", b"401"),
        (b"Authorization: Bearer ", b"401"),
        (b"Authorization: Bearer token-of-the-operators", b"401"),
        (b"Authorization: Basic " + TOKEN.encode(), b"401"),
        (b"Authorization: " + TOKEN.encode(), b"401"),
        (b"Authorization: Bearer " + TOKEN.encode("latin-1"), b"401"),
        (b"Authorization: Bearer \xff\xfe", b"401"),
        ("Authorization: Bearer Ünïcødé".encode(), b"401"),
    ],
)
async def test_only_operators_with_the_token_get_in(
    client: aiohttp.ClientSession, header: bytes, status: bytes
) -> None:
    assert (await raw(str(client._base_url).rstrip("/"), header)).split()[1] == status


async def test_401_says_what_is_needed(client: aiohttp.ClientSession) -> None:
    response = await client.get("/operate")
    assert response.headers["WWW-Authenticate"] == "Bearer"
    await problem(response, 401)
