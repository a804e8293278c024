import pytest
import sqlalchemy as sa
from prometheus_client import CollectorRegistry
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.ext.asyncio import AsyncEngine

from chassis.database import Database
from chassis.database_metrics import DatabaseMetrics
from chassis.testing.postgres import PostgresServer

THINGS = sa.Table("things", sa.MetaData(), sa.Column("name", sa.Text))


def count(registry: CollectorRegistry, operation: str) -> float:
    labels = {"db_operation_name": operation}
    return registry.get_sample_value("db_client_operation_duration_seconds_count", labels) or 0


def connections(registry: CollectorRegistry) -> tuple[float | None, ...]:
    states = ("used", "idle")
    return tuple(registry.get_sample_value("db_client_connections", {"state": state}) for state in states)


async def some_statements(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        await connection.execute(sa.text("CREATE TEMPORARY TABLE things (name text)"))
        await connection.execute(sa.insert(THINGS).values(name="a"))
        await connection.execute(sa.insert(THINGS), [{"name": "b"}, {"name": "c"}])
        await connection.execute(sa.select(THINGS))
        await connection.execute(sa.text("  select 1"))
        some = sa.select(THINGS.c.name).cte("some")
        await connection.execute(sa.update(THINGS).where(THINGS.c.name == some.c.name).values(name="d").add_cte(some))
        await connection.execute(sa.delete(THINGS))
        await connection.execute(sa.text("WITH new AS (INSERT INTO things VALUES ('e') RETURNING name) SELECT 1"))
        await connection.execute(sa.text("WITH all_of_it AS (SELECT * FROM things) SELECT count(*) FROM all_of_it"))


async def test_statements_are_measured_by_what_they_do(postgres_server: PostgresServer) -> None:
    database, registry = Database(postgres_server.url("postgres")), CollectorRegistry()
    DatabaseMetrics(registry, database.engine)
    async with database.engine.connect():  # what SQLAlchemy asks of a new server is measured too
        pass
    names = ("SELECT", "INSERT", "UPDATE", "DELETE", "OTHER")
    before = {name: count(registry, name) for name in names}
    await some_statements(database.engine)
    counted = {name: count(registry, name) - before[name] for name in names}
    assert counted == {"SELECT": 3, "INSERT": 3, "UPDATE": 1, "DELETE": 1, "OTHER": 1}
    await database.close()


async def test_a_statement_that_fails_is_measured_once(postgres_server: PostgresServer) -> None:
    database, registry = Database(postgres_server.url("postgres")), CollectorRegistry()
    DatabaseMetrics(registry, database.engine)
    async with database.engine.connect() as connection:
        before = count(registry, "SELECT")
        with pytest.raises(ProgrammingError):
            await connection.execute(sa.text("SELECT * FROM nowhere"))
    assert count(registry, "SELECT") == before + 1
    await database.close()


async def test_connections_are_used_or_idle(postgres_server: PostgresServer) -> None:
    database, registry = Database(postgres_server.url("postgres")), CollectorRegistry()
    DatabaseMetrics(registry, database.engine)
    assert connections(registry) == (0, 0)
    async with database.engine.connect(), database.engine.connect():
        assert connections(registry) == (2, 0)
    assert connections(registry) == (0, 2)
    await database.close()
    assert connections(registry) == (0, 0)  # of the pool that took the place of the closed one
