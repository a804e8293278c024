"""Free ports for programs that refuse port 0."""

import random
import socket
from collections.abc import Iterable, Mapping

LOOPBACK = "127.0.0.1"

RANGE = range(20_000, 32_000)
"""Below the ports that Linux and macOS give to outgoing connections: one of those could take the port of a program
that is down for a while."""


class PortTaken(Exception):  # noqa: N818 - it names a state
    """A port that was asked for belongs to somebody else."""


def is_free(port: int) -> bool:
    """Whether a program could listen on a port of the loopback address now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do: a port is not taken because a closed connection lingers on it.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


def free_port(taken: Iterable[int] = ()) -> int:
    """A free port.

    Args:
        taken: Ports that are spoken for though nobody listens on them yet.

    Raises:
        PortTaken: If there is none.
    """
    spoken_for = set(taken)
    first = random.choice(RANGE)  # noqa: S311 - two stacks that start at the same time should not meet
    for step in range(len(RANGE)):
        port = RANGE[(first - RANGE.start + step) % len(RANGE)]
        if port not in spoken_for and is_free(port):
            return port
    raise PortTaken(f"no free port from {RANGE.start} to {RANGE.stop - 1}")


def choose(names: Iterable[str], stated: Mapping[str, int], preferred: Mapping[str, int]) -> dict[str, int]:
    """A port for each name.

    Args:
        names: What needs a port.
        stated: Ports that must be.
        preferred: Ports to take where they are free.

    Raises:
        PortTaken: If a stated port is not free, or is stated twice.
    """
    chosen: dict[str, int] = {}
    for name, port in stated.items():
        if port in chosen.values():
            raise PortTaken(f"port {port} is stated twice")
        if not is_free(port):
            raise PortTaken(f"port {port}, stated for {name}, is taken")
        chosen[name] = port
    for name in names:
        if name in chosen:
            continue
        port = preferred.get(name, 0)
        if not port or port in chosen.values() or not is_free(port):
            port = free_port([*chosen.values(), *preferred.values()])
        chosen[name] = port
    return chosen
