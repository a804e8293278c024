"""Starts one program so that it cannot outlive its starter: ``python guard.py STARTER SIGNAL UID GID -- program …``.

A program of its own, standard library only, because what it does must happen between fork and exec: a hook inside a
process with many threads could deadlock there. It drops privileges first (a change of user would clear the death
signal), asks Linux for a signal when the starter dies, and becomes the program. Elsewhere there is no such signal, and
a starter that is killed with SIGKILL leaves its programs behind.
"""

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1
UNCHANGED = -1  # as in waybill.stack.spec, which this program cannot import
CANNOT_EXECUTE = 127


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
