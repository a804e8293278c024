"""Starts one program so that it cannot outlive its starter: ``python tether.py STARTER SIGNAL UID GID -- program …``.

A program of its own, standard library only, because what it does must happen between fork and exec: a hook inside a
process with many threads could deadlock there. It drops privileges first (a change of user would clear the death
signal), asks Linux for a signal when the starter dies, and becomes the program. Elsewhere there is no such signal, and
a starter that is killed with SIGKILL leaves its programs behind.
"""

import ctypes
import os
import signal
import sys
from collections.abc import Sequence

PR_SET_PDEATHSIG = 1
UNCHANGED = -1
"""For a user or a group: as the starter's."""
CANNOT_EXECUTE = 127


def tethered(
    program: Sequence[str], *, number: signal.Signals = signal.SIGKILL, user: int = UNCHANGED, group: int = UNCHANGED
) -> list[str]:
    """The command that starts a program tied to the life of this process.

    Args:
        program: With its arguments.
        number: What it gets when this process dies. Linux counts the thread that starts it as the starter.
        user: To run it as.
        group: To run it as.

    Returns:
        What to give to ``subprocess``.
    """
    said = (os.getpid(), int(number), user, group)
    return [sys.executable, "-I", "-S", __file__, *(str(one) for one in said), "--", *program]


def main(arguments: list[str]) -> None:
    """Become the program.

    Args:
        arguments: Process id of the starter, number of the signal, user and group (-1: as they are), ``--``, program.
    """
    starter, number, user, group = (int(argument) for argument in arguments[:4])
    program = arguments[5:]
    if group != UNCHANGED:
        os.setgroups([])
        os.setgid(group)
    if user != UNCHANGED:
        os.setuid(user)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, number, 0, 0, 0)
        if os.getppid() != starter:  # it died before we asked
            sys.exit(1)
    try:
        os.execvp(program[0], program)  # noqa: S606 - the starter chose the program
    except OSError as error:
        sys.stderr.write(f"{program[0]}: {error.strerror}\n")
        sys.exit(CANNOT_EXECUTE)


if __name__ == "__main__":
    main(sys.argv[1:])
