import asyncio
import importlib
import socket
import sys
import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio
from sqlalchemy import text
from sqlalchemy.exc import OperationalError, ProgrammingError, SQLAlchemyError

from chassis.database import AWAY, CONNECT_SECONDS, Database, SchemaBehind, run_migrations
from chassis.testing.fixtures import FreshDatabase
from chassis.testing.ports import free_ports
from chassis.testing.postgres import PostgresServer, create_database

Package = Callable[..., str]
ENV = """
from alembic import context
from chassis.database import metadata, run_migrations
run_migrations(context, metadata())
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Package:
    """Writes an alembic folder whose migrations run the statements given, and returns its import path."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(*migrations: str, name: str | None = None) -> str:
        name = name or f"p_{uuid.uuid4().hex}"
        versions = tmp_path / name / "data" / "migrations" / "versions"
        versions.mkdir(parents=True, exist_ok=True)
        (tmp_path / name / "__init__.py").touch()
        (versions.parent / "env.py").write_text(ENV)
        for number, statement in enumerate(migrations, 1):
            before = f"{number - 1:04}" if number > 1 else None
            (versions / f"{number:04}.py").write_text(
                f"from alembic import op\nrevision = '{number:04}'\ndown_revision = {before!r}\n"
                f"def upgrade() -> None:\n    op.execute({statement!r})\n"
            )
        importlib.invalidate_caches()
        return f"{name}.data.migrations"

    return write


@pytest_asyncio.fixture
async def url(postgres_server: PostgresServer) -> str:
    return await asyncio.to_thread(create_database, postgres_server.port, f"t_{uuid.uuid4().hex}")


@pytest_asyncio.fixture
async def database(url: str) -> AsyncIterator[Database]:
    database = Database(url)
    yield database
    await database.close()


async def tables(database: Database) -> set[str]:
    async with database.engine.connect() as connection:
        found = await connection.scalars(text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'"))
        return set(found)


async def test_eight_replicas_migrate_at_once_and_each_migration_runs_once(url: str, package: Package) -> None:
    migrations = package("CREATE TABLE things (name TEXT)", "INSERT INTO things VALUES ('one')")
    replicas = [Database(url, pool_size=1) for _ in range(8)]
    await asyncio.gather(*(replica.migrate(migrations) for replica in replicas))
    async with replicas[0].engine.connect() as connection:
        assert await connection.scalar(text("SELECT count(*) FROM things")) == 1
    await asyncio.gather(*(replica.close() for replica in replicas))


async def test_a_migration_that_fails_leaves_nothing_behind(database: Database, package: Package) -> None:
    migrations = package("CREATE TABLE things (name TEXT)", "ALTER TABLE nowhere ADD name TEXT")
    with pytest.raises(ProgrammingError):
        await database.migrate(migrations)
    assert await tables(database) == set()


async def test_a_second_start_adds_what_is_new(database: Database, package: Package) -> None:
    first = package("CREATE TABLE a (x INT)")
    await database.migrate(first)
    await database.migrate(first)
    second = package("CREATE TABLE a (x INT)", "CREATE TABLE b (x INT)")
    with pytest.raises(SchemaBehind):
        await database.expect(second)
    await database.migrate(second)
    await database.expect(second)
    assert await tables(database) == {"a", "b", "alembic_version"}


async def test_an_older_replica_starts_on_a_newer_schema(
    database: Database, package: Package, caplog: pytest.LogCaptureFixture
) -> None:
    older, newer = package("CREATE TABLE a (x INT)"), package("CREATE TABLE a (x INT)", "CREATE TABLE b (x INT)")
    await database.migrate(newer)
    await database.migrate(older)
    await database.expect(older)
    assert await tables(database) == {"a", "b", "alembic_version"}
    assert "the schema is newer than this program: 0002" in caplog.messages


async def test_nobody_migrated_yet(database: Database, package: Package) -> None:
    with pytest.raises(SchemaBehind):
        await database.expect(package("CREATE TABLE a (x INT)"))


async def test_a_start_that_finds_nothing_to_do_does_not_load_alembic(
    url: str, database: Database, package: Package, tmp_path: Path
) -> None:
    migrations = package("CREATE TABLE a (x INT)", "CREATE TABLE b (x INT)")
    await database.migrate(migrations)
    code = f"""
import asyncio, sys
from chassis.database import Database
async def start():
    database = Database({url!r})
    await database.migrate({migrations!r})
    await database.expect({migrations!r})
    await database.close()
asyncio.run(start())
print("alembic" in sys.modules)
"""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, cwd=tmp_path, stdout=asyncio.subprocess.PIPE
    )
    said, _ = await process.communicate()
    assert said == b"False\n"


async def test_revisions_that_cannot_be_read_are_left_to_alembic(
    database: Database, package: Package, tmp_path: Path
) -> None:
    name = f"p_{uuid.uuid4().hex}"
    migrations = package("CREATE TABLE a (x INT)", "CREATE TABLE b (x INT)", name=name)
    file = tmp_path / name / "data" / "migrations" / "versions" / "0002.py"
    await database.migrate(package("CREATE TABLE a (x INT)"))
    file.write_text(file.read_text().replace("'0002'", "'000' + '2'"))
    with pytest.raises(SchemaBehind):
        await database.expect(migrations)
    await database.migrate(migrations)
    assert await tables(database) == {"a", "b", "alembic_version"}


async def test_migrations_take_longer_than_a_statement_may(database: Database, package: Package) -> None:
    limits = "CREATE TABLE limits AS SELECT current_setting('statement_timeout') AS migration"
    await database.migrate(package(limits))
    async with database.engine.connect() as connection:
        assert await connection.scalar(text("SELECT migration FROM limits")) == "0"
        assert await connection.scalar(text("SHOW statement_timeout")) == "15s"
        assert await connection.scalar(text("SHOW timezone")) == "UTC"


async def test_check_is_content_with_a_database_that_answers(database: Database) -> None:
    await database.check()


async def test_check_says_that_nobody_answers() -> None:
    [port] = free_ports(1)
    database = Database(f"postgresql://me@127.0.0.1:{port}/nowhere")
    with pytest.raises(OperationalError):
        await database.check()
    await database.close()


async def test_check_does_not_wait_for_a_server_that_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chassis.database.CONNECT_SECONDS", 0.1)
    assert CONNECT_SECONDS == 5
    with socket.create_server(("127.0.0.1", 0)) as server:  # the kernel takes the connection, and nobody answers it
        database = Database(f"postgresql://me@127.0.0.1:{server.getsockname()[1]}/silent")
        with pytest.raises(TimeoutError):
            await database.check()
        await database.close()


async def test_a_connection_that_died_is_replaced(database: Database) -> None:
    async with database.engine.connect() as connection:
        victim = await connection.scalar(text("SELECT pg_backend_pid()"))
    other = Database(database.engine.url.render_as_string(hide_password=False))
    async with other.engine.connect() as connection:
        await connection.execute(text("SELECT pg_terminate_backend(:pid, 10000)"), {"pid": victim})
    await other.close()
    await database.check()


async def test_a_pool_that_is_used_up_is_away(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chassis.database.CONNECT_SECONDS", 0.1)
    database = Database(url, pool_size=1)
    async with database.engine.connect():
        with pytest.raises(AWAY):
            async with database.engine.connect():
                pass
    await database.close()


def test_a_wrong_statement_is_no_absence() -> None:
    assert issubclass(ProgrammingError, SQLAlchemyError)
    assert not issubclass(ProgrammingError, AWAY)


def test_migrations_do_not_run_without_the_lock() -> None:
    from alembic.config import Config
    from alembic.runtime.environment import EnvironmentContext
    from alembic.script import ScriptDirectory
    from sqlalchemy import MetaData

    config = Config()
    context = EnvironmentContext(config, ScriptDirectory(str(Path(__file__).parent)))
    with pytest.raises(RuntimeError, match="python -m SERVICE migrate"):
        run_migrations(context, MetaData())


async def test_the_fixture_makes_databases_of_their_own(fresh_database: FreshDatabase, package: Package) -> None:
    migrations = package("CREATE TABLE a (x INT)")
    one, other = await fresh_database(migrations), await fresh_database(migrations)
    async with one.engine.begin() as connection:
        await connection.execute(text("INSERT INTO a VALUES (1)"))
    async with other.engine.connect() as connection:
        assert await connection.scalar(text("SELECT count(*) FROM a")) == 0
