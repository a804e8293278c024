import os
import subprocess
import sys
from pathlib import Path

import pytest

SAY = "import sys; from chassis.entry import exit_now; print('said', end=''); sys.stderr.write('told'); exit_now(7)"


# Unbuffered, the programs here would fail at their first word, before they come to their end.
BUFFERED = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}


def run(code: str, redirection: str) -> int:
    """Exit code of a Python program behind a shell's redirection."""
    command = ["/bin/sh", "-c", f'exec "$0" -c "$1" {redirection}', sys.executable, code]
    return subprocess.run(command, env=BUFFERED, check=False).returncode


def test_what_was_written_arrives_before_the_process_ends(tmp_path: Path) -> None:
    out, err = tmp_path / "out", tmp_path / "err"
    assert run(SAY, f"> {out} 2> {err}") == 7
    assert (out.read_text(), err.read_text()) == ("said", "told")


@pytest.mark.parametrize("redirection", [">&-", "2>&-", ">&- 2>&-", "> /dev/full", "> /dev/full 2> /dev/full"])
def test_the_code_is_kept_where_the_streams_are_closed_or_full(redirection: str) -> None:
    code = "import sys; from chassis.entry import exit_now; sys.stdout and print('said'); exit_now(7)"
    assert run(code, redirection) == 7


def test_the_code_is_kept_when_the_reader_is_gone() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as gone:
        command = [sys.executable, "-c", SAY]
        assert subprocess.run(command, stdout=gone, stderr=gone, env=BUFFERED, check=False).returncode == 7


def test_finalisers_are_not_run(tmp_path: Path) -> None:
    code = (
        f"import atexit; from chassis.entry import exit_now; atexit.register(open, r'{tmp_path}/ran', 'w'); exit_now(0)"
    )
    assert run(code, "") == 0
    assert not (tmp_path / "ran").exists()
