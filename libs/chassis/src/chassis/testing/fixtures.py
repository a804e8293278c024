"""Fixtures for pytest, loaded by the entry point of the package."""

import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import pytest
import pytest_asyncio
from temporalio.testing import WorkflowEnvironment

from chassis.converter import DATA_CONVERTER
from chassis.database import Database
from chassis.testing.postgres import PostgresServer, create_database
from chassis.testing.programs import program

FAST = (
    # Without it each dispatch waits for a 50 ms tick.
    "history.transferProcessorMaxPollRPS=2000",
    # And each timer, and each retry, for a second one.
    "history.timerProcessorMaxPollRPS=2000",
    'history.timerProcessorMaxTimeShift="10ms"',
    # And what it tells of a queue would be seconds old.
    'matching.taskQueueInfoByBuildIdTTL="200ms"',
)

FreshDatabase = Callable[[str], Awaitable[Database]]


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """One embedded PostgreSQL for the whole run."""
    server = PostgresServer.start(tmp_path_factory.mktemp("postgres"))
    yield server
    server.stop()


@pytest_asyncio.fixture
async def fresh_database(postgres_server: PostgresServer) -> AsyncIterator[FreshDatabase]:
    """Makes new databases, migrated, and closes them after the test."""
    made: list[Database] = []

    async def make(migrations: str) -> Database:
        # Migrations run once; then a copy of what they made takes a tenth of their time.
        if migrations not in postgres_server.templates:
            template = f"m_{uuid.uuid4().hex}"
            first = Database(create_database(postgres_server.port, template))
            await first.migrate(migrations)
            await first.close()
            postgres_server.templates[migrations] = template
        name = f"t_{uuid.uuid4().hex}"
        database = Database(create_database(postgres_server.port, name, template=postgres_server.templates[migrations]))
        made.append(database)
        return database

    yield make
    for database in made:
        await database.close()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def time_skipping() -> AsyncIterator[WorkflowEnvironment]:
    """A server whose clock jumps to the next timer. One for each module: see the traps of the time-skipping server."""
    environment = await WorkflowEnvironment.start_time_skipping(
        test_server_existing_path=program("temporal-test-server"), data_converter=DATA_CONVERTER
    )
    async with environment:
        yield environment


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def dev_server() -> AsyncIterator[WorkflowEnvironment]:
    """A real Temporal server in memory, for what the time-skipping one lacks."""
    environment = await WorkflowEnvironment.start_local(
        dev_server_existing_path=program("temporal"),
        data_converter=DATA_CONVERTER,
        dev_server_log_level="error",
        dev_server_extra_args=[part for each in FAST for part in ("--dynamic-config-value", each)],
    )
    async with environment:
        yield environment
