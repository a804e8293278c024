"""A service's own PostgreSQL database."""

import ast
import asyncio
import logging
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import TYPE_CHECKING, Any

from sqlalchemy import MetaData, make_url, text
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

if TYPE_CHECKING:
    from alembic.config import Config
    from sqlalchemy import Connection

logger = logging.getLogger(__name__)

_MIGRATION_LOCK = 7_229_252_455
"""Key of the advisory lock under which one replica migrates while the others wait (any constant does)."""

AWAY: tuple[type[Exception], ...] = (OperationalError, InterfaceError, PoolTimeoutError)
"""What is raised when the database does not answer, or not in time."""

CONNECT_SECONDS = 5
"""How long a connection to the database may take to come up."""
STATEMENT_SECONDS = 15
"""How long one statement may run: less than the shortest activity that has several."""


class SchemaBehind(Exception):  # noqa: N818 - it names a state
    """The schema lacks a migration that this program has."""


NAMING = {
    "ix": "ix_%(column_0_label)s",
    "uq": "uq_%(table_name)s_%(column_0_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
    "pk": "pk_%(table_name)s",
}
"""Names of constraints, so that migrations can name what they change."""


def metadata() -> MetaData:
    """Metadata for a service's tables, with our names for constraints."""
    return MetaData(naming_convention=NAMING)


class Database:
    """The engine, its migrations and its health.

    Attributes:
        engine: For the service's store.
    """

    def __init__(self, url: str, *, pool_size: int = 10) -> None:
        """Prepare an engine. Nothing connects yet.

        Args:
            url: ``postgresql://user:password@host:port/name``.
            pool_size: Connections kept.
        """
        address = make_url(url).set(drivername="postgresql+psycopg")
        self.engine: AsyncEngine = create_async_engine(
            address,
            pool_size=pool_size,
            max_overflow=0,
            # A connection that died with a restarted server is replaced before anyone notices.
            pool_pre_ping=True,
            # Shorter than any activity's time-out: waiting longer for a connection would outlive the attempt.
            pool_timeout=CONNECT_SECONDS,
            connect_args={
                "connect_timeout": CONNECT_SECONDS,
                "options": f"-c statement_timeout={STATEMENT_SECONDS * 1000} -c timezone=UTC",
            },
        )

    async def check(self) -> None:
        """Ask the database for a sign of life.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: If it gives none.
        """
        async with asyncio.timeout(CONNECT_SECONDS), self.engine.connect() as connection:
            await connection.execute(text("SELECT 1"))

    async def migrate(self, package: str) -> None:
        """Bring the schema up to date. Several replicas may do so at once.

        Args:
            package: Import path of the alembic folder, such as ``inventory.migrations``.

        A schema that is newer than this program is left as it is, so that an older replica can still start beside, or
        after, a newer one.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: If the database does not answer or a migration fails; nothing of it stays.
        """
        async with self.engine.begin() as connection:
            # Migrations may rewrite tables: no limit for their statements. Concurrent starts failed in 4 of 32 trials
            # without this lock and in none with it; it ends with the transaction.
            await connection.execute(text("SET LOCAL statement_timeout = 0"))
            await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
            await connection.run_sync(_upgrade, package)

    async def expect(self, package: str) -> None:
        """Make sure that someone else has brought the schema up to date.

        Args:
            package: As ``migrate`` takes it.

        Raises:
            SchemaBehind: If nobody has.
            sqlalchemy.exc.SQLAlchemyError: If the database does not answer.
        """
        async with self.engine.connect() as connection:
            if await connection.run_sync(_is_behind, package):
                raise SchemaBehind("the schema is not up to date, and this process was told not to migrate it")

    async def close(self) -> None:
        """Close all connections."""
        await self.engine.dispose()


# Alembic is imported where it is used only: it costs memory and start time, and most starts find nothing to do.


def _is_behind(connection: "Connection", package: str) -> bool:
    applied = _applied(connection)
    if applied == _heads(package):
        return False
    from alembic.script import ScriptDirectory  # noqa: PLC0415

    scripts = ScriptDirectory.from_config(_scripts(package))
    if applied - {script.revision for script in scripts.walk_revisions()}:
        logger.warning("the schema is newer than this program: %s", ", ".join(sorted(applied)))
        return False
    return applied != set(scripts.get_heads())


def _applied(connection: "Connection") -> set[str]:
    """Revisions that the database is at, from the table in which alembic keeps them."""
    if connection.scalar(text("SELECT to_regclass('alembic_version')")) is None:
        return set()
    return set(connection.scalars(text("SELECT version_num FROM alembic_version")))


def _heads(package: str) -> set[str] | None:
    """The newest revisions that this program has, read rather than run; None where alembic itself has to look."""
    revisions: set[str] = set()
    before: set[str] = set()
    for file in _folder(package).joinpath("versions").iterdir():
        if not file.name.endswith(".py") or file.name == "__init__.py":
            continue
        said = _literals(file.read_text(encoding="utf-8"))
        revision, down = said.get("revision"), said.get("down_revision", ...)
        if not isinstance(revision, str) or not (down is None or isinstance(down, str)):
            return None
        revisions.add(revision)
        before |= {down} if down else set()
    return revisions - before


def _literals(source: str) -> dict[str, object]:
    """Names that a module gives a constant."""
    return {
        target.id: statement.value.value
        for statement in ast.parse(source).body
        if isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Constant)
        for target in statement.targets
        if isinstance(target, ast.Name)
    }


def _folder(package: str) -> Traversable:
    # The folder itself need not be a package.
    module, *folders = package.split(".")
    return files(module).joinpath(*folders)


def _scripts(package: str) -> "Config":
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(_folder(package)).replace("%", "%%"))
    return config


def _upgrade(connection: "Connection", package: str) -> None:
    if not _is_behind(connection, package):
        return
    from alembic import command  # noqa: PLC0415

    config = _scripts(package)
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def run_migrations(context: Any, target: MetaData) -> None:
    """What each service's ``migrations/env.py`` does.

    Args:
        context: ``alembic.context``, a module that stands for the environment and has no type of its own.
        target: The service's tables.

    Raises:
        RuntimeError: If alembic was not started by ``Database.migrate``, which holds the lock.
    """
    connection = context.config.attributes.get("connection")
    if connection is None:
        raise RuntimeError("migrations run through `python -m SERVICE migrate`, which holds the lock")
    context.configure(connection=connection, target_metadata=target)
    with context.begin_transaction():
        context.run_migrations()
