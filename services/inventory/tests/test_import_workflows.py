import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any

import pytest
from sqlalchemy import text
from temporalio import activity
from temporalio.client import Client, WorkflowFailureError, WorkflowHandle
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment, WorkflowEnvironment

from chassis.database import Database
from chassis.progress import Progress
from chassis.service import Service
from inventory import contract, jobs
from inventory.applying import Applier
from inventory.books import Books
from inventory.import_activities import SENSELESS, ImportActivities
from inventory.imports import ImportStore
from inventory.jobs import Applied, CatalogueImport, Partition, Portions
from inventory.metrics import InventoryMetrics
from inventory.settings import Settings
from inventory.staging import Staging
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


async def count(database: Database, query: str, **values: Any) -> int:
    async with database.engine.connect() as connection:
        return int((await connection.execute(text(query), values)).scalar_one())


async def movements(database: Database, import_id: str) -> int:
    query = "SELECT count(*) FROM movements WHERE kind = 'import' AND reference LIKE :mine"
    return await count(database, query, mine=f"import:{import_id}:%")


async def staged(imports: ImportStore, service: Service, database: Database, lines: Iterable[str]) -> str:
    """A list that stands in the staging table, accepted."""

    async def body() -> AsyncIterator[bytes]:
        yield listed(lines)

    import_id = new()
    assert isinstance(service.settings, Settings)
    await imports.accept(import_id, await Staging(database.engine, service.settings).stage(body(), is_csv=True))
    return import_id


async def start(client: Client, import_id: str, portions: Portions) -> WorkflowHandle[Any, jobs.ImportResult]:
    return await client.start_workflow(
        ImportCatalogue.run,
        CatalogueImport(import_id, portions),
        id=jobs.import_id_of(import_id),
        task_queue=contract.TASK_QUEUE,
    )


async def test_the_coordinator_continues_as_new_and_loses_no_partition(
    client: Client, imports: ImportStore, service: Service, database: Database, books: Books, record: Record
) -> None:
    prefix = new()
    import_id = await staged(imports, service, database, (line(f"{prefix}-{n}", n) for n in range(1, 60)))
    handle = await start(client, import_id, Portions(partition_rows=6, chunk_rows=4, concurrency=3, renew_after=4))
    result = await handle.result()
    assert (result.applied, result.rejected, result.skipped) == (59, 0, 0)
    assert await movements(database, import_id) == 59
    assert await count(database, "SELECT sum(on_hand) FROM stock WHERE sku LIKE :mine", mine=f"{prefix}%") == sum(
        range(60)
    )
    first = await handle.describe()
    assert first.run_id != handle.first_execution_run_id
    progress: Progress = await handle.query(ImportCatalogue.progress)
    assert (progress.phase, progress.done, progress.total, progress.percent) == ("completed", 59, 59, 100.0)
    assert await books.discrepancies() == []
    await record(
        client.get_workflow_handle(handle.id, run_id=handle.first_execution_run_id), "import_catalogue_renewed"
    )


class OneBreaks(ImportActivities):
    """The second partition meets a statement that makes no sense to the database."""

    @activity.defn(name="inventory.import_apply")
    async def apply(self, partition: Partition) -> Applied:
        if partition.number == 1:
            raise ApplicationError("relation does not exist", 1, type=SENSELESS, non_retryable=True)
        return await super().apply(partition)


async def test_a_failed_partition_is_listed_and_does_not_fail_the_import(
    dev_server: WorkflowEnvironment, imports: ImportStore, service: Service, database: Database, record: Record
) -> None:
    import_id = await staged(imports, service, database, (line(new(), 1) for _ in range(9)))
    breaking = OneBreaks(imports, Applier(database.engine, InventoryMetrics())).all()
    service.activities = [each for each in service.activities if "ImportActivities" not in each.__qualname__] + [
        *breaking
    ]
    async with service.worker(dev_server.client):
        handle = await start(dev_server.client, import_id, Portions(partition_rows=4, chunk_rows=2, concurrency=1))
        result = await handle.result()
    assert (result.rows, result.applied, result.skipped, result.failed) == (9, 5, 4, 1)
    assert result.failed_partitions == (
        jobs.FailedPartition(1, first_line=5, last_line=8, reason="senseless: relation does not exist", attempts=1),
    )
    # The lines stay for whoever looks into it.
    assert await count(database, "SELECT count(*) FROM import_rows") == 9
    await record(handle, "import_catalogue_partition_failed")


@pytest.mark.parametrize("number", [0, -1])
def test_nothing_is_divided_into_portions_of_nothing(number: int) -> None:
    for name in ("partition_rows", "chunk_rows", "concurrency"):
        with pytest.raises(ValueError, match=f"{name} is {number}, not positive"):
            Portions(**{name: number})


async def test_an_import_of_nothing_fails_and_says_why(client: Client) -> None:
    handle = await start(client, new(), Portions())
    with pytest.raises(WorkflowFailureError) as failed:
        await handle.result()
    assert "there is no import" in str(failed.value.cause.__cause__)


async def test_an_attempt_goes_on_where_the_one_before_died(
    imports: ImportStore, service: Service, database: Database
) -> None:
    import_id = await staged(imports, service, database, (line(new(), 1) for _ in range(20)))
    portions = Portions(partition_rows=40, chunk_rows=5)
    assert await imports.prepare(import_id, portions) is not None
    applier = Applier(database.engine, InventoryMetrics())
    # The header is line 1: the chunks are lines 1 to 5, 6 to 10, and so on.
    assert await applier.chunk(import_id, 0, 5, 1) == Applied(5, 4, 0, finished=False)
    beats: list[Any] = []
    environment = ActivityEnvironment()
    environment.on_heartbeat = lambda *details: beats.extend(details)
    applied = await environment.run(ImportActivities(imports, applier).apply, Partition(import_id, 0, 5))
    assert applied == Applied(21, 20, 0, finished=True)
    assert [beat.line for beat in beats if beat is not None] == sorted(beat.line for beat in beats if beat is not None)
    assert {10, 15, 20, 21} <= {beat.line for beat in beats if beat is not None}
    # One that was given up and is still under way does nothing twice.
    both = await asyncio.gather(*(applier.chunk(import_id, 0, 5, 2) for _ in range(3)))
    assert set(both) == {applied}
    assert await movements(database, import_id) == 20


async def test_a_worker_that_drains_stops_between_two_chunks(
    imports: ImportStore, service: Service, database: Database
) -> None:
    import_id = await staged(imports, service, database, (line(new(), 1) for _ in range(20)))
    await imports.prepare(import_id, Portions(partition_rows=40, chunk_rows=5))
    environment = ActivityEnvironment()
    environment.worker_shutdown()
    activities = ImportActivities(imports, Applier(database.engine, InventoryMetrics()))
    assert await environment.run(activities.apply, Partition(import_id, 0, 5)) == Applied(5, 4, 0, finished=False)
