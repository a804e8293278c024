import dataclasses
import hashlib
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web

from chassis.progress import Progress
from chassis.testing.serving import serve_app
from waybill import imports
from waybill.cli.imports import describe
from waybill.imports import Imports, ImportsError, State

CONTENT = b"sku,price\n" + b"TEA,1250\n" * 50_000
BEGUN = datetime(2026, 1, 2, tzinfo=UTC)


def progress(done: int, failed: int = 0) -> Progress:
    now = BEGUN + timedelta(seconds=10)
    return Progress.of("rows", done=done, total=100, failed=failed, started=BEGUN, now=now)


class FakeService:
    """A service that takes imports; it fails as often as it is told, before it takes or after."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.taken: dict[str, str] = {}
        self.attempts = 0
        self.acts: list[str] = []
        self.errors_after_effect = 0
        self.states: list[dict[str, Any]] = []

    def app(self) -> web.Application:
        app = web.Application()
        app.add_routes(
            [
                web.post("/imports", self.take),
                web.get("/imports/{id}", self.tell),
                web.get("/imports/{id}/rejections", self.reject),
                web.post("/imports/{id}/{action}", self.act),
            ]
        )
        return app

    async def take(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.attempts += 1
        if request.headers["Authorization"] != "Bearer token":
            return web.json_response({"title": "Unauthorized"}, status=401)
        if request.content_type != "text/csv":
            return web.json_response({"field": "Content-Type", "detail": "is not CSV"}, status=415)
        digest, key = hashlib.sha256(body).hexdigest(), request.headers["Idempotency-Key"]
        if self.taken.setdefault(key, digest) != digest:
            return web.json_response({"title": "Conflict", "detail": "another file has this id"}, status=409)
        if self.errors_after_effect:
            self.errors_after_effect -= 1
            return web.json_response({"title": "Internal Server Error"}, status=500)
        return web.json_response({"import_id": key, "rows": body.count(b"\n")}, status=202)

    async def tell(self, request: web.Request) -> web.Response:
        if request.match_info["id"] not in self.taken:
            return web.json_response({"title": "Not Found"}, status=404)
        told = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        return web.json_response({"import_id": request.match_info["id"], "kind": self.kind, **told})

    async def reject(self, request: web.Request) -> web.Response:
        return web.json_response({"items": [{"line": 3, "reason": "no such currency"}], "next": None})

    async def act(self, request: web.Request) -> web.Response:
        if request.match_info["action"] == "resume":
            return web.json_response({"title": "Conflict", "detail": "it is not paused"}, status=409)
        self.acts.append(request.match_info["action"])
        return web.json_response({})


@pytest.fixture
def inventory() -> FakeService:
    return FakeService("catalogue")


@pytest.fixture
def orchestrator() -> FakeService:
    return FakeService("orders")


@pytest_asyncio.fixture
async def client(
    inventory: FakeService, orchestrator: FakeService, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Imports]:
    monkeypatch.setattr(imports, "PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(imports, "LOOK_SECONDS", 0.01)
    async with (
        serve_app(inventory.app()) as one,
        serve_app(orchestrator.app()) as other,
        aiohttp.ClientSession() as session,
    ):
        yield Imports(session, {"inventory": one, "orchestrator": other}, "token")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "Spring list (2).csv"
    path.write_bytes(CONTENT)
    return path


async def test_a_file_goes_to_the_service_that_owns_its_kind(
    client: Imports, inventory: FakeService, orchestrator: FakeService, file: Path
) -> None:
    sent: list[int] = []
    assert await client.send("catalogue", file, "I-1", sent.append) == 50_001
    assert sent[-1] == len(CONTENT)
    assert sent == sorted(sent)
    assert inventory.taken == {"I-1": hashlib.sha256(CONTENT).hexdigest()}
    assert orchestrator.taken == {}


async def test_a_file_whose_answer_was_lost_is_sent_again_under_the_same_id(
    client: Imports, inventory: FakeService, file: Path
) -> None:
    inventory.errors_after_effect = 2
    assert await client.send("catalogue", file, "I-1") == 50_001
    assert (inventory.attempts, len(inventory.taken)) == (3, 1)


async def test_another_file_under_the_same_id_is_refused_with_what_the_service_says(
    client: Imports, file: Path, tmp_path: Path
) -> None:
    await client.send("catalogue", file, "I-1")
    other = tmp_path / "other.csv"
    other.write_text("sku,price\n")
    with pytest.raises(ImportsError, match=r"inventory does not take .*: another file has this id"):
        await client.send("catalogue", other, "I-1")


async def test_a_file_whose_name_does_not_say_what_it_is_is_not_sent(client: Imports, tmp_path: Path) -> None:
    with pytest.raises(ImportsError, match=r"must end with one of \.csv, \.jsonl, \.ndjson"):
        await client.send("catalogue", tmp_path / "list.xlsx", "I-1")


async def test_a_refusal_names_the_field(client: Imports, tmp_path: Path) -> None:
    lines = tmp_path / "list.jsonl"
    lines.write_text("{}\n")
    with pytest.raises(ImportsError, match="Content-Type: is not CSV"):
        await client.send("catalogue", lines, "I-1")


async def test_an_import_is_followed_to_its_end_whichever_service_has_it(
    client: Imports, orchestrator: FakeService
) -> None:
    orchestrator.taken["O-1"] = "digest"
    half, whole = progress(50), progress(100, failed=1)
    orchestrator.states = [
        {"status": "accepted", "progress": None, "result": None},
        {"status": "running", "progress": dataclasses.asdict(half), "result": None},
        {"status": "completed", "progress": dataclasses.asdict(whole), "result": {"placed": 99}},
    ]
    seen = [state async for state in client.follow("O-1")]
    assert [(state.status, state.progress) for state in seen] == [
        ("accepted", None),
        ("running", half),
        ("completed", whole),
    ]
    assert (seen[-1].kind, seen[-1].result, seen[-1].ended) == ("orders", {"placed": 99}, True)
    assert [item["line"] for item in await client.rejections("orders", "O-1", 10)] == [3]


async def test_an_import_that_nobody_knows_is_told(client: Imports) -> None:
    with pytest.raises(ImportsError, match="nobody knows an import 'I-9'"):
        await client.state("I-9")


async def test_pause_and_cancel_reach_the_service_and_a_refusal_is_told(
    client: Imports, orchestrator: FakeService
) -> None:
    orchestrator.taken["O-1"] = "digest"
    orchestrator.states = [{"status": "running", "progress": None, "result": None}]
    await client.act("O-1", "pause")
    await client.act("O-1", "cancel")
    assert orchestrator.acts == ["pause", "cancel"]
    with pytest.raises(ImportsError, match="it is not paused"):
        await client.act("O-1", "resume")


def test_an_id_is_unique_and_names_the_file(file: Path) -> None:
    one, other = imports.new_id(file), imports.new_id(file)
    assert one != other
    assert "spring-list" in one
    assert json.dumps(one).isascii()


@pytest.mark.parametrize(
    ("state", "said"),
    [
        (State("I", "orders", "accepted", None, None), "accepted"),
        (State("I", "orders", "running", progress(40), None), "rows, 40 of 100 (40 %), 4.0/s, 15 s left"),
        (State("I", "orders", "paused", progress(40, 2), None), "paused, 40 of 100 (40 %), 2 failed, 4.0/s, 15 s left"),
        (State("I", "orders", "completed", progress(100), {}), "completed, 100 of 100 (100 %), 10/s, 10.0 s"),
        (State("I", "orders", "running", progress(0), None), "rows, 0 of 100 (0 %)"),
    ],
)
def test_a_moment_is_one_line(state: State, said: str) -> None:
    assert describe(state) == said
