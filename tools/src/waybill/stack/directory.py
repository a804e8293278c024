"""The directory of a stack: its state, its logs, and whose it is."""

import shutil
from pathlib import Path

import psutil

from chassis.testing import postgres
from waybill.stack import state
from waybill.stack.spec import StackError

MARK = ".waybill-stack"
"""File that says that a directory is ours to empty."""
POSTGRES = "postgres"
SPANS = "spans"
"""Folder of the files with spans, one a process."""


def prepare(directory: Path, *, keep: bool) -> None:
    """Make a directory ready for a stack.

    Args:
        directory: Made if it is not there; emptied if an earlier stack left something.
        keep: Leave what is there.

    Raises:
        StackError: If a stack is running in it, or it holds what is not ours.
    """
    if directory.exists() and any(directory.iterdir()):
        if not (directory / MARK).exists():
            raise StackError(f"{directory} is neither empty nor a stack's: name another directory")
        if _is_running(directory):
            raise StackError(f"a stack is running in {directory} already (end it with: waybill down)")
        state.remove(directory)
        if not keep:
            postgres.discard(directory / POSTGRES)
            shutil.rmtree(directory)
    (directory / SPANS).mkdir(parents=True, exist_ok=True)
    (directory / MARK).touch()


def discard(directory: Path) -> None:
    """Delete what the next stack would not begin with; logs stay."""
    postgres.discard(directory / POSTGRES)
    for name in ("temporal", "sandbox"):
        for path in directory.glob(f"{name}.db*"):
            path.unlink()


def _is_running(directory: Path) -> bool:
    """Whether the program that left the note still lives; a stranger under its number was born after the note."""
    note = directory / state.NAME
    if not note.exists():
        return False
    try:
        born: float = psutil.Process(state.read(directory).owner).create_time()
    except psutil.NoSuchProcess:
        return False
    return born <= note.stat().st_mtime
