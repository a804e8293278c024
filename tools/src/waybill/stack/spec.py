"""What a process of the stack is: how it is started, asked whether it is ready, and stopped."""

import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from chassis.testing.tether import UNCHANGED

Tell = Callable[[str], None]

WRONG_SETTINGS = 2
"""Exit code of a program whose environment is wrong: it will not be better the next time."""


class StackError(Exception):
    """Something that was asked of the stack cannot be done; the message is for the person who asked."""


class State(StrEnum):
    """What a process is doing."""

    STOPPED = "stopped"
    """Nobody wants it to run."""
    RUNNING = "running"
    PAUSED = "paused"
    """Alive, and not scheduled (SIGSTOP)."""
    HELD = "held down"
    """Killed on purpose, not to be started before its time."""
    WAITING = "restarting"
    """Died, and about to be started again."""
    FAILED = "failed"
    """Its settings are wrong: starting it again would change nothing."""


@dataclass(frozen=True)
class Backoff:
    """Pauses before a process that died is started again, doubling from the first to the longest."""

    first: float = 0.2
    longest: float = 5.0
    stable: float = 10.0
    """A process that lived this long starts again from the first pause."""


@dataclass(frozen=True)
class Spec:
    """What to run, and how.

    Attributes:
        name: Unique within the stack; also of the log file.
        command: Program and arguments.
        environment: All of its environment.
        log: Where its output goes, appended.
        folder: To run in; our own if None.
        ready: Returns if it is ready, raises ``OSError``, ``TimeoutError`` or ``NotReady`` if it is not yet.
        stop_signal: Asks it to end.
        stop_seconds: How long it may take to.
        user: Number of the user to run as.
        group: Number of the group.
        final_codes: Exit codes after which starting it again would change nothing.
        backoff: Between restarts.
    """

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    log: Path
    folder: Path | None = None
    ready: Callable[[], Awaitable[None]] | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    stop_seconds: float = 10.0
    user: int = UNCHANGED
    group: int = UNCHANGED
    final_codes: frozenset[int] = frozenset()
    backoff: Backoff = field(default_factory=Backoff)


class NotReady(Exception):  # noqa: N818 - it names a state
    """A process answers, and says that it is not ready; the message says what it waits for."""


@dataclass(frozen=True)
class Status:
    """What one process is doing."""

    name: str
    state: State
    pid: int | None
    port: int
    restarts: int
    ready: str
    """``ready``, or what it waits for."""
