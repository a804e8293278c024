import asyncio
import os
import sys
import uuid
from importlib.resources import files
from itertools import chain

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import CheckConstraint, Connection, text

from chassis.database import Database
from chassis.testing.postgres import PostgresServer, create_database
from inventory.tables import metadata

REPLICAS = 8
NEWEST = max(path.name[:4] for path in files("inventory.migrations.versions").iterdir() if path.name[:1].isdigit())
PROGRAMS = 2
"""A part of the replicas are processes of their own, which cost seconds of start each."""


async def test_eight_replicas_may_migrate_at_once(postgres_server: PostgresServer) -> None:
    url = create_database(postgres_server.port, f"t_{uuid.uuid4().hex}")
    variables = {**os.environ, "INVENTORY_DATABASE_URL": url, "INVENTORY_OPERATOR_TOKEN": "operator-token"}

    async def replica() -> None:
        database = Database(url)
        await database.migrate("inventory.migrations")
        await database.close()

    async def program() -> None:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "inventory", "migrate", env=variables, stderr=asyncio.subprocess.PIPE
        )
        _, said = await process.communicate()
        assert process.returncode == 0, said.decode()

    await asyncio.gather(*(program() for _ in range(PROGRAMS)), *(replica() for _ in range(REPLICAS - PROGRAMS)))
    database = Database(url)
    async with database.engine.connect() as connection:
        assert (await connection.execute(text("SELECT version_num FROM alembic_version"))).scalars().all() == [NEWEST]
        await connection.execute(text("SELECT 1 FROM hold_lines"))
    await database.close()


async def test_the_migrations_make_the_tables_that_the_code_uses(database: Database) -> None:
    def differences(connection: Connection) -> list[object]:
        context = MigrationContext.configure(connection, opts={"compare_server_default": True})
        return list(compare_metadata(context, metadata))

    def checks(connection: Connection) -> set[str]:
        query = text("SELECT conname FROM pg_constraint WHERE contype = 'c' AND connamespace = 'public'::regnamespace")
        return set(connection.execute(query).scalars())

    async with database.engine.connect() as connection:
        assert await connection.run_sync(differences) == []
        # Alembic does not compare check constraints.
        declared = {
            str(constraint.name)
            for table in metadata.tables.values()
            for constraint in chain(table.constraints, *(column.constraints for column in table.columns))
            if isinstance(constraint, CheckConstraint)
        }
        assert await connection.run_sync(checks) == declared
