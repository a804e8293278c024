"""One database and one role for each service, which no other service's role can open."""

from collections.abc import Mapping

import psycopg
from psycopg import sql

from waybill.stack.plan import SERVICES

SUPERUSER = "postgres"


async def ensure(port: int, passwords: Mapping[str, str]) -> None:
    """Make what is missing, and set the passwords.

    Args:
        port: Of a PostgreSQL server on loopback that trusts its superuser.
        passwords: Of each role; role and database are called alike.

    Raises:
        psycopg.Error: If the server does not do it.
    """
    address = f"postgresql://{SUPERUSER}@127.0.0.1:{port}/postgres"
    async with await psycopg.AsyncConnection.connect(address, autocommit=True) as server:
        for name, password in passwords.items():
            identifier = sql.Identifier(name)
            role = await server.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (name,))
            verb = sql.SQL("ALTER ROLE" if await role.fetchone() else "CREATE ROLE")
            await server.execute(sql.SQL("{} {} LOGIN PASSWORD {}").format(verb, identifier, sql.Literal(password)))
            database = await server.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,))
            if not await database.fetchone():
                await server.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(identifier, identifier))
            await server.execute(sql.SQL("REVOKE CONNECT ON DATABASE {} FROM PUBLIC").format(identifier))


async def sizes(port: int) -> dict[str, int]:
    """How large each service's database is: tables and indexes, with what was deleted and not cleaned up yet.

    Args:
        port: Of a PostgreSQL server on loopback that trusts its superuser.

    Raises:
        psycopg.Error: If the server does not tell.
    """
    address = f"postgresql://{SUPERUSER}@127.0.0.1:{port}/postgres"
    async with await psycopg.AsyncConnection.connect(address, autocommit=True) as server:
        rows = await server.execute(
            "SELECT datname, pg_database_size(oid) FROM pg_database WHERE datname = ANY(%s)", (list(SERVICES),)
        )
        return {name: int(size) for name, size in await rows.fetchall()}


async def version(port: int) -> str:
    """Which PostgreSQL it is.

    Args:
        port: Of a PostgreSQL server on loopback that trusts its superuser.

    Raises:
        psycopg.Error: If the server does not tell.
    """
    address = f"postgresql://{SUPERUSER}@127.0.0.1:{port}/postgres"
    async with await psycopg.AsyncConnection.connect(address, autocommit=True) as server:
        rows = await server.execute("SELECT current_setting('server_version')")
        [found] = await rows.fetchall()
        return str(found[0])
