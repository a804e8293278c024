"""The other way to import a list: one activity a row, each with a transaction of its own.

It writes into inventory's own database what an import of the same rows writes, so that the two can be compared.
"""

import asyncio
import os
import sys
from dataclasses import dataclass
from datetime import timedelta

from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.worker import Worker

with workflow.unsafe.imports_passed_through():
    from sqlalchemy import text

    from chassis.database import Database

WINDOW = 50
"""Rows in flight, which is as fast as one workflow goes."""
SLOTS = 50
DATABASE_URL = "WAYBILL_BENCH_DATABASE_URL"
STATEMENTS = (
    """
    INSERT INTO products (sku, weight) VALUES (:sku, 250) ON CONFLICT (sku) DO UPDATE SET weight = excluded.weight
    """,
    "INSERT INTO stock (sku, warehouse) VALUES (:sku, 'north') ON CONFLICT DO NOTHING",
    "SELECT on_hand, held FROM stock WHERE sku = :sku AND warehouse = 'north' FOR UPDATE",
    """
    INSERT INTO prices (sku, currency, amount) VALUES (:sku, 'EUR', 1250)
    ON CONFLICT (sku, currency) DO UPDATE SET amount = excluded.amount
    """,
    """
    INSERT INTO movements (kind, reference, sku, warehouse, quantity)
    VALUES ('import', 'import:' || :sku, :sku, 'north', 40) ON CONFLICT DO NOTHING
    """,
)


@dataclass(frozen=True)
class Rows:
    """So many new SKUs."""

    prefix: str
    count: int


class RowActivities:
    """Writes rows."""

    def __init__(self, database: Database) -> None:
        """Take inventory's database."""
        self._database = database

    @activity.defn(name="bench.write_row")
    async def write(self, sku: str) -> None:
        """Write one row, in a transaction of its own."""
        async with self._database.engine.begin() as connection:
            for statement in STATEMENTS:
                await connection.execute(text(statement), {"sku": sku})


@workflow.defn(name="bench.RowByRow")
class RowByRow:
    """One activity a row, a window of them at a time."""

    @workflow.run
    async def run(self, rows: Rows) -> None:
        waiting = iter(range(rows.count))

        async def one_after_the_other() -> None:
            for number in waiting:
                await workflow.execute_activity_method(
                    RowActivities.write, f"{rows.prefix}-{number}", start_to_close_timeout=timedelta(seconds=30)
                )

        await asyncio.gather(*(one_after_the_other() for _ in range(WINDOW)))


async def serve(address: str, queue: str) -> None:
    """Work until the process is ended.

    Args:
        address: Of Temporal.
        queue: To poll.
    """
    database = Database(os.environ[DATABASE_URL], pool_size=SLOTS)
    worker = Worker(
        await Client.connect(address),
        task_queue=queue,
        workflows=[RowByRow],
        activities=[RowActivities(database).write],
        max_concurrent_activities=SLOTS,
    )
    sys.stdout.write("polling\n")
    sys.stdout.flush()
    await worker.run()


if __name__ == "__main__":
    asyncio.run(serve(*sys.argv[1:]))
