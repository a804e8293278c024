import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any

import aiohttp
import pytest
from sqlalchemy import text
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowFailureError, WorkflowHandle
from temporalio.testing import WorkflowEnvironment
from yarl import URL

from chassis.database import Database
from chassis.service import Service
from chassis.testing.waiting import eventually
from inventory import jobs
from inventory.books import Books
from inventory.contract import Line, ReserveRequest
from inventory.imports import ImportStore
from inventory.parsing import NotAListError
from inventory.settings import Settings
from inventory.staging import Staging
from inventory.store import Store
from inventory.workflows.import_catalogue import ImportCatalogue

Stocked = Callable[..., Awaitable[str]]
Shelf = Callable[[str], Awaitable[dict[str, tuple[int, int]]]]
Record = Callable[[WorkflowHandle[Any, Any], str], Awaitable[None]]
HEADER = "sku,weight,currency,price,warehouse,quantity"


def new() -> str:
    return uuid.uuid4().hex


def line(sku: str, quantity: object, *, price: object = 500, warehouse: str = "east", **changes: object) -> str:
    row = {"weight": 200, "currency": "EUR", **changes}
    return f"{sku},{row['weight']},{row['currency']},{price},{warehouse},{quantity}"


def listed(lines: Iterable[str]) -> bytes:
    return "\n".join([HEADER, *lines, ""]).encode()


async def upload(http: aiohttp.ClientSession, body: Any, key: str | None = None, kind: str = "text/csv") -> str:
    headers = {"Content-Type": kind, **({"Idempotency-Key": key} if key else {})}
    async with http.post("/imports", data=body, headers=headers) as answer:
        found = await answer.json()
        assert answer.status == 202, found
        assert answer.headers["Location"] == f"/imports/{found['import_id']}"
        return str(found["import_id"])


async def document(http: aiohttp.ClientSession, import_id: str) -> dict[str, Any]:
    async with http.get(f"/imports/{import_id}") as answer:
        assert answer.status == 200
        found: dict[str, Any] = await answer.json()
        return found


async def ended(http: aiohttp.ClientSession, import_id: str, status: str = "completed") -> dict[str, Any]:
    async def over() -> dict[str, Any] | None:
        found = await document(http, import_id)
        return found if found["result"] is not None else None

    found = await eventually(over)
    assert found is not None
    assert found["status"] == status
    result: dict[str, Any] = found["result"]
    return result


async def rejections(http: aiohttp.ClientSession, import_id: str) -> dict[int, str]:
    async with http.get(f"/imports/{import_id}/rejections?limit=1000") as answer:
        return {item["line"]: item["reason"] for item in (await answer.json())["items"]}


async def count(database: Database, query: str, **values: Any) -> int:
    async with database.engine.connect() as connection:
        return int((await connection.execute(text(query), values)).scalar_one())


async def movements(database: Database, import_id: str) -> int:
    query = "SELECT count(*) FROM movements WHERE kind = 'import' AND reference LIKE :mine"
    return await count(database, query, mine=f"import:{import_id}:%")


async def test_a_list_sets_weight_price_and_stock(
    client: Client, http: aiohttp.ClientSession, stocked: Stocked, books: Books, record: Record, database: Database
) -> None:
    known, same, fresh = await stocked(east=9, west=2), await stocked(east=4), new()
    body = listed([line(known, 5), line(same, 4, price=250, weight=100), line(fresh, 7, warehouse="west")])
    import_id = await upload(http, body)
    result = await ended(http, import_id)
    assert (result["rows"], result["applied"], result["rejected"], result["skipped"]) == (3, 3, 0, 0)
    assert await books.product(known) == {
        "sku": known,
        "weight": 200,
        "prices": {"EUR": 500},
        "warehouses": [
            {"warehouse": "east", "on_hand": 5, "held": 0, "free": 5},
            {"warehouse": "west", "on_hand": 2, "held": 0, "free": 2},
        ],
    }
    product = await books.product(fresh)
    assert product is not None
    assert product["warehouses"] == [{"warehouse": "west", "on_hand": 7, "held": 0, "free": 7}]
    assert await books.discrepancies() == []
    # What is as the list says needs no movement.
    assert await movements(database, import_id) == 2
    assert await rejections(http, import_id) == {}
    assert await count(database, "SELECT count(*) FROM import_rows") == 0
    handle = client.get_workflow_handle(jobs.import_id_of(import_id))
    await handle.result()
    await record(handle, "import_catalogue")
    await record(client.get_workflow_handle(jobs.partition_id(import_id, 0)), "import_partition")


async def test_all_of_an_import_has_the_lowest_priority_on_the_queue(
    client: Client, http: aiohttp.ClientSession
) -> None:
    import_id = await upload(http, listed([line(new(), 1)]))
    await ended(http, import_id)
    for workflow_id in (jobs.import_id_of(import_id), jobs.partition_id(import_id, 0)):
        history = await client.get_workflow_handle(workflow_id).fetch_history()
        started = history.events[0].workflow_execution_started_event_attributes
        activities = [
            event.activity_task_scheduled_event_attributes.priority.priority_key
            for event in history.events
            if event.HasField("activity_task_scheduled_event_attributes")
        ]
        assert {started.priority.priority_key, *activities} == {jobs.BULK}


async def test_bad_rows_are_listed_with_their_lines_and_the_good_ones_land(
    client: Client, http: aiohttp.ClientSession, stocked: Stocked, store: Store, shelf: Shelf
) -> None:
    promised, good = await stocked(east=5), new()
    await store.reserve(ReserveRequest(new(), "EUR", (Line(promised, 3),)))
    lines = [
        line(promised, 2),  # 2: less than what is held
        line(good, 1),  # 3
        line(new(), 1, currency="XXX"),  # 4
        line(new(), -1),  # 5
        line(new(), "1.5"),  # 6
        line(new(), 1, price="9999999999"),  # 7
        line(new(), 10**12),  # 8
        line("", 1),  # 9
        "",  # 10: empty lines are none
        "nonsense",  # 11
    ]
    import_id = await upload(http, listed(lines))
    result = await ended(http, import_id)
    assert (result["rows"], result["applied"], result["rejected"]) == (9, 1, 8)
    found = await rejections(http, import_id)
    assert list(found) == [2, 4, 5, 6, 7, 8, 9, 11]
    assert found[2] == "quantity is 2, less than the 3 that are held for orders"
    assert found[4] == 'currency is "XXX", not one of EUR, GBP, USD'
    assert "from 1 to 1000000000" in found[7]
    assert await shelf(promised) == {"east": (5, 3)}
    assert await shelf(good) == {"east": (1, 0)}
    async with http.get(f"/imports/{import_id}/rejections?after=4&limit=2") as answer:
        page = await answer.json()
    assert [(item["line"], item["attempts"]) for item in page["items"]] == [(5, 1), (6, 1)]
    assert page["next"] == 6


async def test_the_last_line_counts_where_a_list_contradicts_itself(
    client: Client, http: aiohttp.ClientSession, books: Books
) -> None:
    sku, priced = new(), new()
    lines = [
        line(sku, 1),  # 2: said again in line 5
        line(sku, 2, warehouse="west", weight=999),  # 3: another weight than line 5
        line(priced, 3, price=1),  # 4: another price than line 6
        line(sku, 4),  # 5
        line(priced, 5, warehouse="west", price=2),  # 6
        line(priced, 6, warehouse="north", price=3, currency="USD"),  # 7: another currency is another price
    ]
    import_id = await upload(http, listed(lines))
    assert (await ended(http, import_id))["applied"] == 3
    assert await rejections(http, import_id) == {
        2: "line 5 says it again: the last line of a SKU and warehouse counts",
        3: "weight is 999, but 200 in line 5",
        4: "price is 1, but 2 in line 6",
    }
    product = await books.product(sku)
    assert product is not None
    assert [(each["warehouse"], each["on_hand"]) for each in product["warehouses"]] == [("east", 4)]
    other = await books.product(priced)
    assert other is not None
    assert other["prices"] == {"EUR": 2, "USD": 3}


async def test_json_lines_are_taken_too(client: Client, http: aiohttp.ClientSession, shelf: Shelf) -> None:
    sku = new()
    row = {"sku": sku, "weight": 1, "currency": "USD", "price": 1, "warehouse": "east", "quantity": 3}
    body = "\n".join([json.dumps(row), "{}", "no json"])
    import_id = await upload(http, body, kind="application/x-ndjson")
    result = await ended(http, import_id)
    assert (result["applied"], list(await rejections(http, import_id))) == (1, [2, 3])
    assert await shelf(sku) == {"east": (3, 0)}


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "the list is empty"),
        (HEADER.encode(), "the list is empty: it has no rows"),
        (f"{HEADER}\n\n\n".encode(), "the list is empty: it has no rows"),
        (b"\x7fELF\x00\x01\xff", "line 1: no text"),
        (f"{HEADER}\nTEA,\0".encode(), "line 2: no text"),
        (f"{HEADER}\n".encode() + b"TEA\xff", "line 2: no text in UTF-8"),
        (b"sku,price\nTEA,1\n", "line 1: the header must be"),
        (f"{HEADER}\n{'x' * 20_000}\n".encode(), "line 2: longer than 10000 bytes"),
        (f"{HEADER}\n{'x' * 300_000}".encode(), "line 2: longer than 10000 bytes"),
    ],
)
async def test_what_is_no_list_is_refused_and_leaves_nothing(
    body: bytes, says: str, http: aiohttp.ClientSession, database: Database
) -> None:
    async with http.post("/imports", data=body, headers={"Content-Type": "text/csv"}) as answer:
        assert (answer.status, answer.content_type) == (422, "application/problem+json")
        assert says in (await answer.json())["detail"]
    for table in ("imports", "import_rows", "import_uploads"):
        assert await count(database, f"SELECT count(*) FROM {table}") == 0


async def test_a_list_larger_than_any_other_body_is_streamed(http: aiohttp.ClientSession, database: Database) -> None:
    body = listed(line(f"{new()}", 1) for _ in range(20_000))
    assert len(body) > 1_000_000
    await upload(http, body)
    assert await count(database, "SELECT count(*) FROM import_rows WHERE fault IS NULL") == 20_000
    assert await count(database, "SELECT rows FROM imports") == 20_000


async def test_a_list_longer_than_allowed_is_refused(service: Service, database: Database) -> None:
    assert isinstance(service.settings, Settings)
    settings = service.settings.model_copy(update={"import_max_rows": 2})

    async def body() -> AsyncIterator[bytes]:
        yield listed(line(new(), 1) for _ in range(3))

    with pytest.raises(NotAListError, match="line 4: more than 2 rows"):
        await Staging(database.engine, settings).stage(body(), is_csv=True)
    assert await count(database, "SELECT count(*) FROM import_rows") == 0


async def test_an_upload_that_breaks_off_leaves_nothing(http: aiohttp.ClientSession, database: Database) -> None:
    async def half() -> AsyncIterator[bytes]:
        yield listed(line(f"SKU-{number}", 1) for number in range(6_000))

        async def staged() -> bool:
            return await count(database, "SELECT count(*) FROM import_rows") == 5_000

        await eventually(staged)
        raise RuntimeError("the client dies")

    with pytest.raises((aiohttp.ClientError, RuntimeError)):
        await http.post("/imports", data=half(), headers={"Content-Type": "text/csv"})

    async def gone() -> bool:
        return await count(database, "SELECT count(*) FROM import_rows") == 0

    await eventually(gone)
    assert await count(database, "SELECT count(*) FROM imports") == 0


async def test_what_a_dead_upload_left_is_swept_away_by_the_next(
    http: aiohttp.ClientSession, database: Database, imports: ImportStore
) -> None:
    async with database.engine.begin() as connection:
        for age in (2, 0):
            upload_of = {"upload": uuid.uuid4(), "age": age}
            await connection.execute(
                text("INSERT INTO import_uploads VALUES (:upload, clock_timestamp() - make_interval(hours => :age))"),
                upload_of,
            )
            await connection.execute(text("INSERT INTO import_rows (upload, line) VALUES (:upload, 2)"), upload_of)
    import_id = await upload(http, listed([line(new(), 1)]))
    # What is left is the upload that may still be under way, and the import that waits for Temporal.
    assert await count(database, "SELECT count(*) FROM import_rows") == 2
    assert await count(database, "SELECT count(*) FROM import_uploads") == 1
    assert await imports.unstarted(9) == [import_id]


@pytest.mark.parametrize(
    ("kind", "key", "status"),
    [
        ("application/json", None, 415),
        ("text/csv", "no spaces", 400),
        ("text/csv", "x" * 65, 400),
        ("text/csv", ".", 400),
    ],
)
async def test_a_wrong_request_is_a_problem(
    kind: str, key: str | None, status: int, http: aiohttp.ClientSession
) -> None:
    headers = {"Content-Type": kind, **({"Idempotency-Key": key} if key else {})}
    async with http.post("/imports", data=listed([line("TEA", 1)]), headers=headers) as answer:
        assert (answer.status, answer.content_type) == (status, "application/problem+json")


async def test_only_operators_import(http: aiohttp.ClientSession) -> None:
    for method, path in [
        ("POST", "/imports"),
        ("GET", "/imports/x"),
        ("GET", "/imports/x/rejections"),
        ("POST", "/imports/x/cancel"),
    ]:
        async with http.request(method, path, headers={"Authorization": "Bearer wrong"}) as answer:
            assert answer.status == 401


@pytest.mark.parametrize("import_id", ["unknown", "%00", "a%2Fb"])
async def test_an_unknown_import_is_not_found(import_id: str, http: aiohttp.ClientSession) -> None:
    for method, path in [("GET", ""), ("GET", "/rejections"), ("POST", "/cancel")]:
        async with http.request(method, URL(f"/imports/{import_id}{path}", encoded=True)) as answer:
            assert answer.status == 404


async def test_the_same_list_is_the_same_import_and_another_key_asks_for_another(
    client: Client, http: aiohttp.ClientSession, books: Books, database: Database
) -> None:
    sku, key = new(), new()
    body = listed([line(sku, 3)])
    first, *others = await asyncio.gather(*(upload(http, body) for _ in range(4)))
    assert set(others) == {first}
    await ended(http, first)
    assert await movements(database, first) == 1
    await upload(http, body, key)
    await ended(http, key)
    assert await movements(database, key) == 0  # the stock is as the list says already
    async with http.post(
        "/imports", data=listed([line(sku, 4)]), headers={"Content-Type": "text/csv", "Idempotency-Key": key}
    ) as answer:
        assert answer.status == 409
    assert await upload(http, body, key) == key
    for table in ("import_rows", "import_uploads"):
        assert await count(database, f"SELECT count(*) FROM {table}") == 0


async def test_an_import_waits_for_temporal_and_can_be_withdrawn_meanwhile(
    dev_server: WorkflowEnvironment, service: Service, http: aiohttp.ClientSession, shelf: Shelf, database: Database
) -> None:
    sku = new()
    withdrawn, waiting = await upload(http, listed([line(new(), 1)])), await upload(http, listed([line(sku, 3)]))
    assert (await document(http, waiting))["status"] == "accepted"
    async with http.post(f"/imports/{withdrawn}/cancel") as answer:
        assert (answer.status, (await answer.json())["status"]) == (202, "cancelled")
    service.connection.use(dev_server.client)
    async with service.worker(dev_server.client):
        background, _ = service.background
        loop = asyncio.create_task(background(service.connection))
        try:
            await ended(http, waiting)
        finally:
            loop.cancel()
            await asyncio.gather(loop, return_exceptions=True)
    assert await shelf(sku) == {"east": (3, 0)}
    assert (await document(http, withdrawn))["status"] == "cancelled"
    assert await count(database, "SELECT count(*) FROM import_rows") == 0


async def test_a_row_that_the_database_refuses_is_found_and_the_others_land(
    client: Client, http: aiohttp.ClientSession, database: Database, books: Books
) -> None:
    prefix = new()
    async with database.engine.begin() as connection:
        refuse = f"ALTER TABLE products ADD CONSTRAINT poison CHECK (sku NOT IN ('{prefix}-7', '{prefix}-25'))"
        await connection.execute(text(refuse))
    import_id = await upload(http, listed(line(f"{prefix}-{n}", 1) for n in range(30)))
    result = await ended(http, import_id)
    assert (result["applied"], result["rejected"], result["failed"]) == (28, 2, 0)
    found = await rejections(http, import_id)
    assert list(found) == [9, 27]
    assert all("the database refuses it" in reason and "poison" in reason for reason in found.values())
    assert await movements(database, import_id) == 28
    assert await books.discrepancies() == []


async def test_a_cancelled_import_stops_between_chunks_and_what_is_applied_stays(
    client: Client, http: aiohttp.ClientSession, stocked: Stocked, database: Database, books: Books, record: Record
) -> None:
    blocked = await stocked(east=1, west=1)
    lines = [line(new(), 1) for _ in range(200)]
    # In the second chunks of the first two partitions, which are all that may run at a time.
    lines[14], lines[54] = line(blocked, 7), line(blocked, 7, warehouse="west")
    async with database.engine.connect() as other, other.begin() as transaction:
        await other.execute(text("SELECT 1 FROM stock WHERE sku = :sku FOR UPDATE"), {"sku": blocked})
        import_id = await upload(http, listed(lines))

        async def waits() -> bool:
            query = (
                "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
            )
            return await count(database, query) == 2

        await eventually(waits)
        handle = client.get_workflow_handle(jobs.import_id_of(import_id))
        progress = await client.get_workflow_handle(jobs.import_id_of(import_id)).query(ImportCatalogue.progress)
        assert (progress.phase, progress.total) == ("applying", 200)
        assert 0 <= progress.done <= 80
        assert (await document(http, import_id))["progress"]["done"] <= 80
        async with http.post(f"/imports/{import_id}/cancel") as answer:
            assert answer.status == 202

        async def passed_on() -> bool:
            events = [event async for event in handle.fetch_history_events()]
            return any(
                event.HasField("request_cancel_external_workflow_execution_initiated_event_attributes")
                for event in events
            )

        await eventually(passed_on)
        await transaction.rollback()
    result = await ended(http, import_id, "cancelled")
    assert result["applied"] + result["skipped"] == 200
    assert result["skipped"] >= 120
    assert await movements(database, import_id) == result["applied"]
    assert await books.discrepancies() == []
    assert await count(database, "SELECT count(*) FROM import_rows") == 0
    with pytest.raises(WorkflowFailureError):
        await handle.result()
    assert (await handle.describe()).status == WorkflowExecutionStatus.CANCELED
    await record(handle, "import_catalogue_cancelled")
    async with http.post(f"/imports/{import_id}/cancel") as answer:
        assert answer.status == 202  # over is over


async def test_an_import_that_somebody_terminated_can_be_ended(
    client: Client, http: aiohttp.ClientSession, stocked: Stocked, database: Database
) -> None:
    blocked = await stocked(east=1)
    async with database.engine.connect() as other, other.begin() as transaction:
        await other.execute(text("SELECT 1 FROM stock WHERE sku = :sku FOR UPDATE"), {"sku": blocked})
        import_id = await upload(http, listed([line(blocked, 7)]))
        handle = client.get_workflow_handle(jobs.import_id_of(import_id))
        await handle.terminate()
        async with http.post(f"/imports/{import_id}/cancel") as answer:
            assert (answer.status, (await answer.json())["status"]) == (202, "cancelled")
        await transaction.rollback()


async def test_orders_go_on_during_an_import_and_the_books_are_right(
    client: Client, http: aiohttp.ClientSession, store: Store, stocked: Stocked, books: Books
) -> None:
    skus = [await stocked(east=50) for _ in range(8)]

    async def shop(number: int) -> None:
        order_id = new()
        await store.reserve(
            ReserveRequest(order_id, "EUR", (Line(skus[number % 8], 2), Line(skus[(number + 3) % 8], 1)))
        )
        if number % 3 == 0:
            await store.release(order_id, "changed their mind")
        else:
            await store.commit(order_id)

    imported = [await upload(http, listed(line(sku, 60 + turn) for sku in skus), new()) for turn in range(3)]
    await asyncio.gather(*(shop(number) for number in range(24)))
    for import_id in imported:
        assert (await ended(http, import_id))["applied"] == 8
    assert await books.discrepancies() == []
