"""Files of orders over HTTP, with a real database and a real Temporal server, and no worker."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web
from sqlalchemy import RowMapping, func, select
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.testing import WorkflowEnvironment

from chassis.connection import Connection
from chassis.health import HEALTH
from chassis.problems import problem_middleware
from chassis.testing.fixtures import FreshDatabase
from chassis.testing.serving import serve_app
from chassis.testing.waiting import eventually
from orchestrator.import_contract import ImportStatus, import_id_of
from orchestrator.import_intake import LATEST, ImportIntake
from orchestrator.import_store import ImportStore
from orchestrator.imports_api import ImportsApi
from orchestrator.metrics import OrchestratorMetrics
from orchestrator.tables import import_rows, import_uploads
from orchestrator.uploads import UploadStore
from orchestrator.worker import compose

from .import_world import TOKEN, Depot, a_depot, a_line, a_settings, some_lines

JSON_LINES, CSV = "application/x-ndjson", "text/csv"
HEADER = "order_id,currency,lines,card_token,name,street,city,postcode,country,email"
ROW = "EUR,TEA-250:2 POT-1:1,tok_ok,A. Reader,Main Street 1,Delft,2611,NL,a@example.org"


@dataclass
class Gate:
    url: str
    http: aiohttp.ClientSession
    depot: Depot
    connection: Connection
    client: Client

    async def send(
        self, body: Any, content_type: str = JSON_LINES, path: str = "/imports", **headers: str
    ) -> tuple[int, Any]:
        async with self.http.post(
            self.url + path,
            data=body,
            headers={"Content-Type": content_type, "Authorization": f"Bearer {TOKEN}"} | headers,
        ) as response:
            return response.status, await response.json(content_type=None)

    async def get(self, path: str) -> tuple[int, Any]:
        async with self.http.get(self.url + path, headers={"Authorization": f"Bearer {TOKEN}"}) as response:
            return response.status, await response.json(content_type=None)

    async def staged(self) -> tuple[int, int]:
        """Uploads and rows."""
        async with self.depot.database.engine.connect() as connection:
            uploads = await connection.execute(select(func.count()).select_from(import_uploads))
            rows = await connection.execute(select(func.count()).select_from(import_rows))
            return uploads.scalar_one(), rows.scalar_one()


@pytest_asyncio.fixture(loop_scope="session")
async def away(fresh_database: FreshDatabase, dev_server: WorkflowEnvironment) -> AsyncIterator[Gate]:
    """While Temporal is away."""
    database = await fresh_database("orchestrator.migrations")
    connection = Connection("orchestrator")
    service = compose(a_settings(database, start_seconds=2, import_max_bytes=400_000), connection)
    app = service.app()
    app[HEALTH].storing = True
    async with (
        a_depot(dev_server.client, database) as depot,
        serve_app(app) as url,
        aiohttp.ClientSession() as http,
    ):
        yield Gate(url, http, depot, connection, dev_server.client)
    await service.database.close()


@pytest_asyncio.fixture(loop_scope="session")
async def gate(away: Gate) -> Gate:
    """With Temporal there."""
    away.connection.use(away.client)
    return away


def a_file(count: int = 3) -> bytes:
    return "\n".join(some_lines(count)[1]).encode()


def a_key() -> str:
    return f"i-{uuid.uuid4().hex[:12]}"


async def test_a_file_becomes_an_import_whose_workflow_is_started(gate: Gate) -> None:
    key = a_key()
    async with gate.http.post(
        gate.url + "/imports?window=7",
        data=a_file(3),
        headers={"Content-Type": JSON_LINES, "Authorization": f"Bearer {TOKEN}", "Idempotency-Key": key},
    ) as response:
        assert (response.status, response.headers["Location"]) == (202, f"/imports/{key}")
        assert await response.json() == {"import_id": key, "rows": 3}
    _, document = await gate.get(f"/imports/{key}")
    assert (document["kind"], document["status"], document["window"], document["result"]) == (
        "orders",
        "accepted",
        7,
        None,
    )
    assert document["progress"]["total"] == 3
    assert set(document["progress"]) == {
        "phase",
        "done",
        "total",
        "failed",
        "elapsed_seconds",
        "rate",
        "eta_seconds",
        "percent",
    }
    description = await gate.client.get_workflow_handle(import_id_of(key)).describe()
    assert description.workflow_type == "orchestrator.ImportOrders"
    assert description.raw_description.workflow_execution_info.priority.priority_key == 5


async def test_the_same_file_is_the_same_import_and_another_under_its_key_a_conflict(gate: Gate) -> None:
    file, key = a_file(), a_key()
    answers = await asyncio.gather(*(gate.send(file, **{"Idempotency-Key": key}) for _ in range(4)))
    assert [status for status, _ in answers] == [202] * 4
    assert await gate.staged() == (1, 3)
    status, problem = await gate.send(a_file(), **{"Idempotency-Key": key})
    assert (status, problem["field"]) == (409, "Idempotency-Key")
    other = a_file()
    first, again = await gate.send(other), await gate.send(other)
    assert first == again
    assert (await gate.send(file, **{"Idempotency-Key": a_key()}))[0] == 202
    assert await gate.staged() == (3, 9)


async def test_a_file_of_many_chunks_is_read_line_by_line(gate: Gate) -> None:
    ids, lines = some_lines(700)
    file = ("\r\n".join(lines) + "\r\n\r\n").encode()

    async def trickle() -> AsyncIterator[bytes]:
        for start in range(0, len(file), 1000):
            yield file[start : start + 1000]

    status, answer = await gate.send(trickle())
    assert (status, answer["rows"]) == (202, 700)
    taken = await gate.depot.importing.store.take(answer["import_id"], 0, 500)
    assert [order["order_id"] for order in taken.orders] == ids[: len(taken.orders)]


async def test_csv_has_one_order_a_line_and_is_read_by_the_same_rules(gate: Gate) -> None:
    mark = uuid.uuid4().hex[:8]
    lines = [
        "\ufeff" + HEADER + ",allow_partial,expected_total,account_id,approval_limit_seconds",
        f"{mark}-1,{ROW},true,3000,,60",
        f'{mark}-2,EUR,TEA-250:2,,"Reader, A.",Main Street 1,Delft,2611,NL,a@example.org,,,C-7,',
        f"{mark}-3,{ROW},maybe,,,",
        f"{mark}-4,{ROW}",
        f'{mark}-5,EUR,"TEA-250:2',
        f"{mark}-6,EUR,TEA-250:x,tok_ok,A,B,C,1,NL,a@example.org,,,,",
        f"{mark}-7,EUR,TEA-250:2,4111111111111111,A,B,C,1,NL,a@example.org,,,,",
    ]
    status, answer = await gate.send("\n".join(lines).encode(), CSV)
    assert (status, answer["rows"]) == (202, 7)
    taken = await gate.depot.importing.store.take(answer["import_id"], 0, 50)
    first, second = taken.orders
    assert first["lines"] == [{"sku": "TEA-250", "quantity": 2}, {"sku": "POT-1", "quantity": 1}]
    assert (first["allow_partial"], first["expected_total"], first["approval_seconds"]) == (True, 3000, 60)
    assert (second["account_id"], second["card_token"], second["address"]["name"]) == ("C-7", "", "Reader, A.")
    _, page = await gate.get(f"/imports/{answer['import_id']}/rejections")
    assert page["next"] is None
    assert [(item["line"], item["reason"]) for item in page["items"]] == [(n, "malformed") for n in range(4, 9)]
    details = [item["detail"] for item in page["items"]]
    assert details[0].startswith("allow_partial")
    assert details[1] == "it has 10 cells, and the header 14"
    assert details[2].startswith("it is no CSV")
    assert details[3].startswith("lines.0.quantity")
    assert details[4].startswith("card_token")
    _, first_page = await gate.get(f"/imports/{answer['import_id']}/rejections?limit=2")
    assert (len(first_page["items"]), first_page["next"]) == (2, 5)


async def test_an_order_that_is_refused_over_http_is_refused_in_a_file(gate: Gate) -> None:
    bad = [
        a_line(currency="XXX"),
        a_line(sku="tea"),
        a_line(coupon="FREE"),
        a_line(order_id="a:b"),
        "[]",
        "null",
        "NaN",
    ]
    status, answer = await gate.send("\n".join(bad).encode())
    assert status == 202
    _, page = await gate.get(f"/imports/{answer['import_id']}/rejections?limit=1000")
    assert [item["line"] for item in page["items"]] == list(range(1, len(bad) + 1))


UNREADABLE: dict[str, tuple[str, Callable[[], bytes], int, str]] = {
    "empty": (JSON_LINES, lambda: b"", 1, "without a single order"),
    "only line breaks": (JSON_LINES, lambda: b"\n\n\n", 3, "without a single order"),
    "only a header": (CSV, lambda: HEADER.encode() + b"\n", 1, "without a single order"),
    "binary": (JSON_LINES, lambda: a_file(2) + b"\n\xff\xfe\x00", 3, "no text"),
    "null characters": (CSV, lambda: HEADER.encode() + b"\na\0b\n", 2, "null character"),
    "a column missing": (CSV, lambda: HEADER.replace(",email", "").encode() + b"\n" + ROW.encode(), 1, "lacks email"),
    "a strange column": (CSV, lambda: (HEADER + ",coupon").encode() + b"\n" + ROW.encode(), 1, "coupon"),
    "a column twice": (CSV, lambda: (HEADER + ",email").encode() + b"\n" + ROW.encode(), 1, "twice"),
    "no header": (CSV, ROW.encode, 1, "lacks"),
    "a broken header": (CSV, lambda: b'"' + HEADER.encode() + b"\n", 1, "no CSV"),
    "a long line": (JSON_LINES, lambda: a_file(1) + b"\n" + b"x" * 70_000 + b"\n", 2, "65536 bytes"),
    "a long last line": (JSON_LINES, lambda: a_file(1) + b"\n" + b"x" * 70_000, 2, "65536 bytes"),
}


@pytest.mark.parametrize("what", UNREADABLE)
async def test_a_file_that_is_none_is_refused_with_the_line_and_leaves_nothing(gate: Gate, what: str) -> None:
    content_type, file, line, said = UNREADABLE[what]
    status, problem = await gate.send(file(), content_type)
    assert (status, problem["line"]) == (422, line)
    assert said in problem["detail"]
    assert await gate.staged() == (0, 0)


async def test_a_file_that_is_too_large_is_refused_and_leaves_nothing(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.uploads.FORGET", 100)
    status, _ = await gate.send(a_file(2000))
    assert status == 413
    assert await gate.staged() == (0, 0)


async def test_an_upload_that_breaks_off_leaves_nothing(gate: Gate) -> None:
    host, port = gate.url.removeprefix("http://").split(":")
    _, writer = await asyncio.open_connection(host, int(port))
    writer.write(
        f"POST /imports HTTP/1.1\r\nHost: x\r\nContent-Type: {JSON_LINES}\r\nContent-Length: 200000\r\n"
        f"Authorization: Bearer {TOKEN}\r\n\r\n".encode()
    )
    writer.write(a_file(100))
    await writer.drain()

    async def begun() -> bool:
        return (await gate.staged())[0] == 1

    await eventually(begun)
    writer.close()

    async def gone() -> bool:
        return await gate.staged() == (0, 0)

    await eventually(gone)


async def test_what_a_killed_process_left_of_an_upload_is_swept_up(gate: Gate) -> None:
    uploads = UploadStore(gate.depot.database.engine, OrchestratorMetrics())
    await uploads.stage(
        await uploads.begin_upload(), [{"line": 1, "order_id": None, "request": None, "digest": None, "detail": "x"}]
    )
    _, answer = await gate.send(a_file(2))
    assert await uploads.discard_abandoned(timedelta()) == 1
    assert await gate.staged() == (1, 2)
    assert (await gate.get(f"/imports/{answer['import_id']}"))[0] == 200


async def test_while_temporal_is_away_an_import_is_accepted_and_started_later(away: Gate) -> None:
    key = a_key()
    assert (await away.send(a_file(), **{"Idempotency-Key": key}))[0] == 202
    assert (await away.get(f"/imports/{key}"))[1]["status"] == "accepted"
    assert (await away.send(b"", path=f"/imports/{key}/pause"))[0] == 503
    engine = away.depot.database.engine
    intake = ImportIntake(
        ImportStore(engine, OrchestratorMetrics()),
        UploadStore(engine, OrchestratorMetrics()),
        away.connection,
        start_seconds=2,
        every_seconds=0.05,
        sweep_seconds=0.05,
    )
    loop = asyncio.create_task(intake.run(away.connection))
    away.connection.use(away.client)

    async def started() -> bool:
        return await away.depot.importing.store.open(started=False, limit=1) == []

    await eventually(started)
    handle = away.client.get_workflow_handle(import_id_of(key))
    assert (await handle.describe()).status is WorkflowExecutionStatus.RUNNING
    await handle.terminate()

    async def written_off() -> bool:
        return bool((await away.get(f"/imports/{key}"))[1]["status"] == "failed")

    await eventually(written_off)
    loop.cancel()


async def test_an_import_is_paused_resumed_and_cancelled(gate: Gate) -> None:
    key = a_key()
    await gate.send(a_file(30), **{"Idempotency-Key": key})
    async with gate.depot.worker():
        await eventually(lambda: len(gate.depot.orders.under_way) == 20)
        for update, status in (
            ("pause", "paused"),
            ("pause", "paused"),
            ("resume", "running"),
            ("cancel", "cancelled"),
        ):
            assert await gate.send(b"", path=f"/imports/{key}/{update}") == (200, {"import_id": key, "status": status})
            assert (await gate.get(f"/imports/{key}"))[1]["status"] == status
        await gate.client.get_workflow_handle(import_id_of(key)).result()
        assert (await gate.send(b"", path=f"/imports/{key}/resume"))[0] == 409
        gate.depot.orders.gate.set()
        await eventually(lambda: len(gate.depot.orders.ended) == 20)
    assert (await gate.get(f"/imports/{key}"))[1]["result"]["outcomes"] == {"fulfilled": 20, "not_started": 10}


class StoreWhoseImportsEnd(ImportStore):
    """Imports that end as soon as somebody has read them."""

    async def get(self, import_id: str) -> RowMapping | None:
        row = await super().get(import_id)
        await self.note(import_id, ImportStatus.COMPLETED, LATEST)
        return row


async def test_who_pauses_an_import_that_ends_meanwhile_is_told_how_it_ended(gate: Gate) -> None:
    key = a_key()
    await gate.send(a_file(), **{"Idempotency-Key": key})
    await gate.client.get_workflow_handle(import_id_of(key)).terminate()
    parts, metrics = gate.depot.importing, OrchestratorMetrics()
    api = ImportsApi(
        store=StoreWhoseImportsEnd(gate.depot.database.engine, metrics),
        uploads=UploadStore(gate.depot.database.engine, metrics),
        views=parts.views,
        intake=parts.intake,
        connection=gate.connection,
        settings=gate.depot.settings,
    )
    app = web.Application(middlewares=[problem_middleware])
    app.add_routes(api.routes())
    async with serve_app(app) as url:
        gate.url = url
        status, problem = await gate.send(b"", path=f"/imports/{key}/pause")
    assert (status, problem["detail"].split(". ")[1]) == (409, "It was last seen as completed.")


async def test_what_was_not_handed_out_is_forgotten_with_its_personal_data(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.import_store.FORGET", 4)
    key = a_key()
    await gate.send(a_file(30), **{"Idempotency-Key": key})
    async with gate.depot.worker():
        await eventually(lambda: len(gate.depot.orders.under_way) == 20)
        assert (await gate.send(b"", path=f"/imports/{key}/cancel"))[0] == 200
        gate.depot.orders.gate.set()
        await eventually(lambda: len(gate.depot.orders.ended) == 20)
    async with gate.depot.database.engine.connect() as connection:
        kept = await connection.execute(select(func.count(import_rows.c.request)))
        assert kept.scalar_one() == 0


async def test_wrong_requests_are_problems(gate: Gate) -> None:
    for window in ("0", "-1", "501", "many", "1e2", "²"):
        status, problem = await gate.send(a_file(), path=f"/imports?window={window}")
        assert (status, problem["field"]) == (400, "window")
    for key in ("a:b", "x" * 65, "ä"):
        assert (await gate.send(a_file(), **{"Idempotency-Key": key}))[0] == 400
    assert (await gate.send(a_file(), "application/json"))[0] == 415
    assert (await gate.get("/imports/none"))[0] == 404
    assert (await gate.get("/imports/a%00b"))[0] == 404
    assert (await gate.send(b"", path="/imports/none/cancel"))[0] == 404
    for path in ("/imports/x", "/imports/x/rejections"):
        async with gate.http.get(gate.url + path) as response:
            assert response.status == 401
    async with gate.http.post(gate.url + "/imports", data=a_file()) as response:
        assert response.status == 401
    _, answer = await gate.send(a_file())
    assert (await gate.get(f"/imports/{answer['import_id']}/rejections?after=x"))[0] == 400
