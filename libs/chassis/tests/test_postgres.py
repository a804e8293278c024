import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from chassis.testing import postgres
from chassis.testing.postgres import PostgresServer, create_database
from chassis.testing.waiting import eventually

NOBODY = 65534
START = """
import os, sys
from pathlib import Path
import psycopg
from chassis.testing import postgres
from chassis.testing.postgres import PostgresServer, create_database
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
    # Root's interpreter is out of its reach, and the tether runs in one.
    postgres.tethered = lambda program, **_: program
server = PostgresServer.start(Path(sys.argv[1]))
with psycopg.connect(create_database(server.port, "own", owner="own")) as connection:
    assert connection.execute("SELECT current_user").fetchone() == ("own",)
assert not server.directory.is_symlink()
server.stop()
assert not server.directory.exists()
print(os.geteuid())
"""


def new() -> str:
    return f"t_{uuid.uuid4().hex}"


@pytest.fixture
def anyones_folder() -> Iterator[Path]:
    """A folder that an ordinary user can reach and write to; pytest's own belong to whoever runs it."""
    folder = Path(tempfile.mkdtemp(prefix="chassis-test-"))
    if os.geteuid() == 0:
        os.chown(folder, NOBODY, NOBODY)
    yield folder
    shutil.rmtree(folder)


def owner_of(server: PostgresServer) -> int:
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    [uids] = [line.split()[1:] for line in status.splitlines() if line.startswith("Uid:")]
    return int(uids[1])


@pytest.mark.skipif(sys.platform != "linux", reason="the owner of a process is read from /proc")
def test_the_server_never_runs_as_root(postgres_server: PostgresServer) -> None:
    assert owner_of(postgres_server) == (NOBODY if os.geteuid() == 0 else os.geteuid())


def test_an_ordinary_user_starts_and_stops_it_in_place(anyones_folder: Path) -> None:
    if os.geteuid() == 0 and not os.access(postgres.__file__, os.R_OK):
        pytest.skip("nobody but root can read this installation")
    done = subprocess.run(
        [sys.executable, "-c", START, str(anyones_folder)], capture_output=True, text=True, check=False, cwd="/"
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(NOBODY if os.geteuid() == 0 else os.geteuid())


def test_a_second_start_keeps_what_is_there_and_discard_leaves_nothing(anyones_folder: Path) -> None:
    data = anyones_folder / "data"
    postgres.prepare(data)
    real = data.resolve()
    before = (real / "PG_VERSION").stat().st_ino
    postgres.prepare(data)
    assert (real / "PG_VERSION").stat().st_ino == before
    postgres.discard(data)
    assert not real.exists()
    assert not data.is_symlink()
    postgres.discard(data)  # nothing to do


def test_a_server_that_cannot_start_says_why(anyones_folder: Path) -> None:
    data = anyones_folder / "data"
    postgres.prepare(data)
    (data.resolve() / "postgresql.conf").write_text("no_such_setting = 1\n")
    with pytest.raises(RuntimeError, match="no_such_setting"):
        PostgresServer.start(anyones_folder)
    postgres.discard(data)


def test_a_role_opens_its_own_database_and_no_other(postgres_server: PostgresServer) -> None:
    port, one, other, everyones = postgres_server.port, new(), new(), new()
    own = create_database(port, one, owner=one)
    create_database(port, other, owner=other)
    create_database(port, everyones)
    with psycopg.connect(own) as connection:
        connection.execute("CREATE TABLE things (name TEXT)")
        [role] = connection.execute(
            "SELECT rolsuper OR rolcreaterole OR rolcreatedb FROM pg_roles WHERE rolname = current_user"
        ).fetchall()
        assert role == (False,)
    for closed in (other, everyones, "postgres", "template1"):
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(own.removesuffix(one) + closed).close()


def test_a_role_needs_its_password(postgres_server: PostgresServer) -> None:
    name = new()
    create_database(postgres_server.port, name, owner=name)
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(f"postgresql://{name}:guess@127.0.0.1:{postgres_server.port}/{name}").close()


def test_what_is_committed_can_be_made_durable(tmp_path: Path) -> None:
    assert "fsync=on" in postgres.command(tmp_path / "data", 1)
    assert "fsync=off" in postgres.command(tmp_path / "data", 1, durable=False)
    postgres.discard(tmp_path / "data")


def test_a_port_without_a_server_is_not_up(postgres_server: PostgresServer, unused_tcp_port: int) -> None:
    assert postgres.is_up(postgres_server.port)
    assert not postgres.is_up(unused_tcp_port)


OUTLIVE = """
import os, sys
from pathlib import Path
from chassis.testing.postgres import PostgresServer
print(PostgresServer.start(Path(sys.argv[1])).process.pid, flush=True)
os.kill(os.getpid(), 9)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ties a process to its parent's life")
async def test_the_server_does_not_outlive_a_run_that_is_killed(anyones_folder: Path) -> None:
    killed = await asyncio.create_subprocess_exec(
        sys.executable, "-c", OUTLIVE, str(anyones_folder), stdout=asyncio.subprocess.PIPE
    )
    said, _ = await killed.communicate()
    assert killed.returncode == -9
    server = Path(f"/proc/{int(said)}/stat")
    # Without a parent it may stay a zombie, where nobody collects them.
    await eventually(lambda: not server.exists() or " Z " in server.read_text())
