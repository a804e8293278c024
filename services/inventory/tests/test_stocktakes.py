import asyncio
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest
from sqlalchemy import text
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowFailureError, WorkflowHandle
from temporalio.testing import WorkflowEnvironment

from chassis.database import Database
from chassis.service import Service
from chassis.testing.waiting import eventually
from inventory import contract, jobs
from inventory.books import Books, Receipt
from inventory.contract import Line, Refusal, ReserveRequest
from inventory.counting import CountingStore, LeaseLostError, Sheet
from inventory.jobs import Counted, Counting, CountStatus, RefusedCount, Round, RoundResult, Stocktake
from inventory.metrics import InventoryMetrics
from inventory.store import RefusedError, Store
from inventory.workflows.stocktake_round import StocktakeRound

Stocked = Callable[..., Awaitable[str]]
Shelf = Callable[[str], Awaitable[dict[str, tuple[int, int]]]]
Record = Callable[[WorkflowHandle[Any, Any], str], Awaitable[None]]


def new() -> str:
    return uuid.uuid4().hex


@pytest.fixture
def warehouse() -> str:
    """A warehouse of the test's own: workflow ids are made of its name."""
    return f"w-{new()}"


@pytest.fixture
def counting(database: Database) -> CountingStore:
    return CountingStore(database.engine, InventoryMetrics())


async def begin(client: Client, *warehouses: str, **options: Any) -> WorkflowHandle[Any, RoundResult]:
    job = Round(new(), warehouses, **{"lease_seconds": 2, "deadline_seconds": 60, **options})
    return await client.start_workflow(
        StocktakeRound.run, job, id=jobs.round_workflow_id(job.round_id), task_queue=contract.TASK_QUEUE
    )


async def closed_for(database: Database, warehouse: str) -> str | None:
    query = text("SELECT stocktake FROM closures WHERE warehouse = :warehouse AND closed_until > clock_timestamp()")
    async with database.engine.connect() as connection:
        found: str | None = (await connection.execute(query, {"warehouse": warehouse})).scalar_one_or_none()
        return found


async def until_closed(database: Database, warehouse: str) -> str:
    async def closed() -> str | None:
        return await closed_for(database, warehouse)

    found = await eventually(closed)
    assert found is not None
    return found


async def send(http: aiohttp.ClientSession, warehouse: str, counts: dict[str, int], *, complete: bool = True) -> None:
    body = {"counts": [{"sku": sku, "quantity": n} for sku, n in counts.items()], "complete": complete}
    async with http.post(f"/stocktakes/{warehouse}/counts", json=body) as answer:
        assert answer.status == 200, await answer.text()


async def movements(database: Database, warehouse: str) -> list[tuple[str, int]]:
    query = text(
        "SELECT reference, quantity FROM movements WHERE kind = 'stocktake' AND warehouse = :warehouse ORDER BY id"
    )
    async with database.engine.connect() as connection:
        return [(row.reference, row.quantity) for row in await connection.execute(query, {"warehouse": warehouse})]


async def test_a_warehouse_is_closed_counted_corrected_and_open_again(
    client: Client,
    http: aiohttp.ClientSession,
    stocked: Stocked,
    shelf: Shelf,
    store: Store,
    books: Books,
    warehouse: str,
    database: Database,
    record: Record,
) -> None:
    sku, same, elsewhere = await stocked(**{warehouse: 9}), await stocked(**{warehouse: 4}), await stocked(other=1)
    async with http.post("/stocktakes", json={"warehouses": [warehouse]}) as answer:
        round_id = (await answer.json())["round_id"]
        assert (answer.status, answer.headers["Location"]) == (202, f"/stocktakes/{round_id}")
    key = await until_closed(database, warehouse)
    assert key == f"{round_id}:{warehouse}"
    with pytest.raises(RefusedError) as refused:
        await store.reserve(ReserveRequest(new(), "EUR", (Line(sku, 1),)))
    assert refused.value.refusal is Refusal.OUT_OF_STOCK
    # Seven of the nine are there, the four are, and two that the books have elsewhere only.
    await send(http, warehouse, {sku: 8, same: 4}, complete=False)
    await send(http, warehouse, {sku: 7, elsewhere: 2})
    async with http.get(f"/stocktakes/{round_id}") as answer:
        assert (await answer.json())["counting"] == "sheet"
    handle = client.get_workflow_handle(jobs.round_workflow_id(round_id), result_type=RoundResult)
    result = await handle.result()
    expected = Counted(warehouse, key, CountStatus.COUNTED, counted=3, corrected=2, units=0, uncounted=0)
    assert result == RoundResult(round_id, (expected,))
    assert await shelf(sku) == {warehouse: (7, 0)}
    assert (await shelf(elsewhere))[warehouse] == (2, 0)
    assert sorted(await movements(database, warehouse)) == [(f"stocktake:{key}", -2), (f"stocktake:{key}", 2)]
    assert await books.discrepancies() == []
    await store.reserve(ReserveRequest(new(), "EUR", (Line(sku, 1),)))
    async with http.get(f"/stocktakes/{round_id}") as answer:
        found = await answer.json()
    assert found["status"] == "completed"
    assert found["warehouses"] == [{"warehouse": warehouse, "closed": False, "complete": True, "counted": 3}]
    assert found["result"]["warehouses"][0]["units"] == 0
    await record(handle, "stocktake_round")
    await record(client.get_workflow_handle(jobs.stocktake_workflow_id(warehouse)), "warehouse_stocktake")


async def test_reserving_skips_a_closed_warehouse_and_takes_from_an_open_one(
    counting: CountingStore, stocked: Stocked, store: Store, warehouse: str
) -> None:
    sku = await stocked(**{warehouse: 9, "open": 2})
    await counting.close(stocktake(warehouse))
    reservation = await store.reserve(ReserveRequest(new(), "EUR", (Line(sku, 2),)))
    assert [line.warehouse for line in reservation.lines] == ["open"]


def stocktake(warehouse: str, **changes: Any) -> Stocktake:
    round_id = new()
    values = {"counting": Counting.SHEET, "deadline_seconds": 60, "lease_seconds": 60, **changes}
    return Stocktake(jobs.stocktake_key(round_id, warehouse), round_id, warehouse, **values)


async def test_units_that_leave_after_they_were_counted_are_not_counted_as_lost(
    counting: CountingStore, stocked: Stocked, store: Store, shelf: Shelf, books: Books, warehouse: str
) -> None:
    sku = await stocked(**{warehouse: 9})
    order = ReserveRequest(new(), "EUR", (Line(sku, 3),))
    await store.reserve(order)
    job = stocktake(warehouse)
    await counting.close(job)
    assert await counting.write(warehouse, {sku: 8}, complete=True) == (Sheet.WRITTEN, job.key)
    await store.commit(order.order_id)
    await books.receive(Receipt(new(), sku, warehouse, 10))
    assert (await counting.correct(job)).units == -1
    assert await shelf(sku) == {warehouse: (15, 0)}
    assert await books.discrepancies() == []


async def test_a_count_below_what_is_held_is_refused_and_the_others_are_booked(
    counting: CountingStore, stocked: Stocked, store: Store, shelf: Shelf, warehouse: str, database: Database
) -> None:
    held, plain = await stocked(**{warehouse: 9}), await stocked(**{warehouse: 5})
    await store.reserve(ReserveRequest(new(), "EUR", (Line(held, 6),)))
    job = stocktake(warehouse)
    await counting.close(job)
    await counting.write(warehouse, {held: 5, plain: 0}, complete=True)
    result = await counting.correct(job)
    assert (result.corrected, result.units, result.refused) == (1, -5, (RefusedCount(held, 5, 6),))
    assert await counting.correct(job) == result  # a repeat books nothing and says the same
    assert len(await movements(database, warehouse)) == 1
    assert await shelf(held) == {warehouse: (9, 6)}
    assert await counting.write(warehouse, {plain: 7}, complete=True) == (Sheet.NOT_COUNTED, "")


async def test_what_is_left_of_a_dead_stocktake_books_nothing_once_another_counts(
    counting: CountingStore, stocked: Stocked, warehouse: str, database: Database
) -> None:
    sku = await stocked(**{warehouse: 9})
    dead, alive = stocktake(warehouse), stocktake(warehouse)
    await counting.close(dead)
    await counting.write(warehouse, {sku: 1}, complete=True)
    await counting.close(alive)
    for left_over in (counting.correct, counting.prolong):
        with pytest.raises(LeaseLostError):
            await left_over(dead)
    await counting.reopen(dead, Counted(warehouse, "", CountStatus.CANCELLED))
    assert await closed_for(database, warehouse) == alive.key
    assert await movements(database, warehouse) == []


async def test_a_drill_counts_what_the_books_say_in_all_warehouses(
    client: Client, http: aiohttp.ClientSession, stocked: Stocked, warehouse: str, database: Database
) -> None:
    await stocked(**{warehouse: 9, f"{warehouse}-2": 3})
    body = {"round_id": f"drill-{new()[:8]}", "counting": "books"}
    for _ in range(2):
        async with http.post("/stocktakes", json=body) as answer:
            assert answer.status == 202
    handle = client.get_workflow_handle(jobs.round_workflow_id(body["round_id"]), result_type=RoundResult)
    result = await handle.result()
    assert [(each.warehouse, each.status.value, each.counted, each.corrected) for each in result.warehouses] == [
        (warehouse, "counted", 1, 0),
        (f"{warehouse}-2", "counted", 1, 0),
    ]
    assert await movements(database, warehouse) == []
    async with http.post("/stocktakes", json={**body, "counting": "sheet"}) as answer:
        assert answer.status == 409


async def test_a_second_round_joins_the_first_and_gets_its_result(
    client: Client,
    http: aiohttp.ClientSession,
    stocked: Stocked,
    warehouse: str,
    database: Database,
    record: Record,
) -> None:
    sku = await stocked(**{warehouse: 9})
    first = await begin(client, warehouse, lease_seconds=60)
    key = await until_closed(database, warehouse)
    others = [await begin(client, warehouse, lease_seconds=60) for _ in range(3)]
    child = client.get_workflow_handle(jobs.stocktake_workflow_id(warehouse))

    async def joined() -> bool:
        events = [event async for event in child.fetch_history_events()]
        return sum(event.HasField("workflow_execution_signaled_event_attributes") for event in events) == 3

    await eventually(joined)
    await send(http, warehouse, {sku: 7})
    results = [(await handle.result()).warehouses for handle in (first, *others)]
    assert all(each == results[0] for each in results)
    assert results[0][0].key == key
    assert await movements(database, warehouse) == [(f"stocktake:{key}", -2)]
    async with database.engine.connect() as connection:
        mine = text("SELECT count(*) FROM stocktakes WHERE warehouse = :warehouse")
        assert (await connection.execute(mine, {"warehouse": warehouse})).scalar_one() == 1
    await record(others[0], "stocktake_round_joined")


async def test_a_round_goes_on_by_itself_where_the_one_that_it_joined_is_cancelled(
    client: Client,
    http: aiohttp.ClientSession,
    stocked: Stocked,
    warehouse: str,
    database: Database,
    record: Record,
) -> None:
    sku = await stocked(**{warehouse: 9})
    first = await begin(client, warehouse)
    key = await until_closed(database, warehouse)
    second = await begin(client, warehouse)
    await send(http, warehouse, {sku: 1}, complete=False)
    await first.cancel()
    with pytest.raises(WorkflowFailureError):
        await first.result()
    assert (await first.describe()).status == WorkflowExecutionStatus.CANCELED

    async def its_own() -> bool:
        return await closed_for(database, warehouse) not in (None, key)

    await eventually(its_own)
    await send(http, warehouse, {sku: 8})
    [counted] = (await second.result()).warehouses
    assert (counted.status.value, counted.units, counted.key == key) == ("counted", -1, False)
    assert await movements(database, warehouse) == [(f"stocktake:{counted.key}", -1)]
    await record(first, "stocktake_round_cancelled")


async def test_a_warehouse_opens_when_its_round_is_terminated(
    client: Client, http: aiohttp.ClientSession, stocked: Stocked, warehouse: str, database: Database
) -> None:
    await stocked(**{warehouse: 9})
    async with http.post("/stocktakes", json={"warehouses": [warehouse]}) as answer:
        round_id = (await answer.json())["round_id"]
    await until_closed(database, warehouse)
    await client.get_workflow_handle(jobs.round_workflow_id(round_id)).terminate()

    async def is_open() -> bool:
        return await closed_for(database, warehouse) is None

    await eventually(is_open)
    async with http.post(f"/stocktakes/{round_id}/cancel") as answer:
        assert (await answer.json())["status"] == "cancelled"


async def test_a_warehouse_opens_by_itself_when_its_stocktake_dies_and_is_counted_by_the_next_round(
    client: Client,
    http: aiohttp.ClientSession,
    stocked: Stocked,
    store: Store,
    warehouse: str,
    database: Database,
) -> None:
    sku = await stocked(**{warehouse: 9})
    first = await begin(client, warehouse, lease_seconds=2)
    await until_closed(database, warehouse)
    waiting = await begin(client, warehouse, lease_seconds=2)
    await client.get_workflow_handle(jobs.stocktake_workflow_id(warehouse)).terminate()
    assert (await first.result()).warehouses[0].status.value == "failed"

    async def reserved() -> bool:
        try:
            await store.reserve(ReserveRequest(new(), "EUR", (Line(sku, 1),)))
        except RefusedError:
            return False
        return True

    # Either the lease is over, or the round that had joined counts by now, which this test lets end.
    async def counts() -> bool:
        key = await closed_for(database, warehouse)
        return key is not None and not key.startswith(first.id.partition(":")[2])

    await eventually(counts)
    await send(http, warehouse, {sku: 9})
    assert (await waiting.result()).warehouses[0].status.value == "counted"
    await eventually(reserved)


async def test_an_expired_lease_is_an_open_warehouse(
    counting: CountingStore, stocked: Stocked, store: Store, warehouse: str, database: Database
) -> None:
    sku = await stocked(**{warehouse: 9})
    await counting.close(stocktake(warehouse))
    with pytest.raises(RefusedError):
        await store.reserve(ReserveRequest(new(), "EUR", (Line(sku, 1),)))
    async with database.engine.begin() as connection:
        await connection.execute(text("UPDATE closures SET closed_until = clock_timestamp()"))
    await store.reserve(ReserveRequest(new(), "EUR", (Line(sku, 1),)))
    assert await counting.write(warehouse, {sku: 1}, complete=True) == (Sheet.NOT_COUNTED, "")


async def test_what_was_counted_by_the_deadline_is_corrected_and_the_rest_is_left(
    client: Client,
    http: aiohttp.ClientSession,
    stocked: Stocked,
    shelf: Shelf,
    warehouse: str,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    close, sent = CountingStore.close, asyncio.Event()

    async def answered_late(self: CountingStore, job: Stocktake) -> Counted | None:
        earlier = await close(self, job)
        await sent.wait()
        return earlier

    # The time until the deadline begins with the answer, and by then the sheet is there.
    monkeypatch.setattr(CountingStore, "close", answered_late)
    counted, not_counted = await stocked(**{warehouse: 9}), await stocked(**{warehouse: 5})
    handle = await begin(client, warehouse, deadline_seconds=1, lease_seconds=60)
    await until_closed(database, warehouse)
    await send(http, warehouse, {counted: 7}, complete=False)
    sent.set()
    [result] = (await handle.result()).warehouses
    assert (result.status.value, result.counted, result.units, result.uncounted) == ("incomplete", 1, -2, 1)
    assert await shelf(not_counted) == {warehouse: (5, 0)}
    assert await closed_for(database, warehouse) is None


async def test_no_join_and_no_count_is_lost_while_a_stocktake_continues_as_new(
    client: Client,
    http: aiohttp.ClientSession,
    stocked: Stocked,
    warehouse: str,
    database: Database,
    record: Record,
) -> None:
    skus = [await stocked(**{warehouse: 5}) for _ in range(20)]
    first = await begin(client, warehouse, lease_seconds=6, renew_after=1)
    key = await until_closed(database, warehouse)
    child = client.get_workflow_handle(jobs.stocktake_workflow_id(warehouse))
    begun = (await child.describe()).run_id
    runs = {begun}
    rounds = []
    for sku in skus:
        rounds.append(await begin(client, warehouse, lease_seconds=30))
        await send(http, warehouse, {sku: 4}, complete=False)

        async def renewed() -> bool:
            runs.add((await child.describe()).run_id)
            return len(runs) > len(rounds) // 4

        await eventually(renewed)
    await send(http, warehouse, {})
    results = await asyncio.gather(*(handle.result() for handle in (first, *rounds)))
    assert len(runs) > 4
    for result in results:
        [counted] = result.warehouses
        assert (counted.key, counted.status.value, counted.counted, counted.units) == (key, "counted", 20, -20)
    assert len(await movements(database, warehouse)) == 20
    await record(client.get_workflow_handle(child.id, run_id=begun), "warehouse_stocktake_renewed")


async def test_a_sheet_that_was_completed_while_temporal_was_away_is_seen(
    client: Client,
    http: aiohttp.ClientSession,
    stocked: Stocked,
    warehouse: str,
    counting: CountingStore,
    database: Database,
) -> None:
    sku = await stocked(**{warehouse: 9})
    handle = await begin(client, warehouse, lease_seconds=3)
    key = await until_closed(database, warehouse)
    # As the HTTP surface does, but for the signal.
    assert await counting.write(warehouse, {sku: 9}, complete=True) == (Sheet.WRITTEN, key)
    assert (await handle.result()).warehouses[0].status.value == "counted"


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/stocktakes", {"warehouses": ["nowhere"]}, 422),
        ("/stocktakes", {"counting": "guess"}, 422),
        ("/stocktakes", {"deadline_seconds": 0}, 422),
        ("/stocktakes", {"round_id": "no spaces"}, 422),
        ("/stocktakes", {"warehouses": ["a", "a"]}, 422),
        ("/stocktakes", {"more": 1}, 422),
        ("/stocktakes/nowhere/counts", {"counts": [{"sku": "TEA", "quantity": 1}]}, 409),
        ("/stocktakes/nowhere/counts", {"counts": [{"sku": "TEA", "quantity": -1}]}, 422),
        ("/stocktakes/nowhere/counts", {"counts": [{"sku": "TEA", "quantity": 1.5}]}, 422),
        ("/stocktakes/nowhere/counts", {"counts": [{"sku": "TEA", "quantity": 1}] * 2}, 422),
        ("/stocktakes/%00/counts", {"counts": []}, 409),
        ("/stocktakes/unknown/cancel", {}, 404),
        ("/stocktakes/%00/cancel", {}, 404),
    ],
)
async def test_a_wrong_request_is_a_problem(path: str, body: Any, status: int, http: aiohttp.ClientSession) -> None:
    async with http.post(path, json=body) as answer:
        assert (answer.status, answer.content_type) == (status, "application/problem+json")


async def test_an_unknown_sku_on_a_sheet_is_refused_whole(
    http: aiohttp.ClientSession, counting: CountingStore, stocked: Stocked, warehouse: str
) -> None:
    sku = await stocked(**{warehouse: 9})
    job = stocktake(warehouse)
    await counting.close(job)
    body = {"counts": [{"sku": sku, "quantity": 1}, {"sku": "NO-SUCH-THING", "quantity": 1}], "complete": True}
    async with http.post(f"/stocktakes/{warehouse}/counts", json=body) as answer:
        assert (answer.status, "NO-SUCH-THING" in (await answer.json())["detail"]) == (422, True)
    assert (await counting.correct(job)).counted == 0


async def test_a_round_waits_for_temporal_and_can_be_withdrawn_meanwhile(
    dev_server: WorkflowEnvironment,
    service: Service,
    http: aiohttp.ClientSession,
    stocked: Stocked,
    warehouse: str,
) -> None:
    await stocked(**{warehouse: 1})
    ids = []
    for _ in range(2):
        async with http.post("/stocktakes", json={"warehouses": [warehouse], "counting": "books"}) as answer:
            assert answer.status == 202
            ids.append((await answer.json())["round_id"])
    async with http.post(f"/stocktakes/{ids[0]}/cancel") as answer:
        assert (answer.status, (await answer.json())["status"]) == (202, "cancelled")
    service.connection.use(dev_server.client)

    async def status(round_id: str) -> str:
        async with http.get(f"/stocktakes/{round_id}") as answer:
            return str((await answer.json())["status"])

    async def completed() -> bool:
        return await status(ids[1]) == "completed"

    async with service.worker(dev_server.client):
        background, _ = service.background
        loop = asyncio.create_task(background(service.connection))
        try:
            await eventually(completed)
        finally:
            loop.cancel()
            await asyncio.gather(loop, return_exceptions=True)
    assert await status(ids[0]) == "cancelled"


@pytest.mark.parametrize("values", [{"deadline_seconds": 0}, {"lease_seconds": -1}, {"warehouses": ("a", "a")}])
def test_a_round_of_nonsense_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"not positive|named twice"):
        Round(**{"round_id": "r", "warehouses": (), **values})
