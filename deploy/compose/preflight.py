#!/usr/bin/env python3
"""Whether ``docker compose up`` can work on this machine, before it tries: one line for each thing that cannot be.

Exits with 0 if all is well, else with 1. It needs nothing but Python's standard library and docker itself.
"""

import json
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ENGINE = (26, 0)
"""Docker Engine from which one part of a volume can be mounted."""
COMPOSE = (2, 26)
"""Docker Compose that knows how to say so."""
FREE_BYTES = 4 * 1024**3
"""Images and their build take about this much, the first time."""


def version(text: str) -> tuple[int, int]:
    """The first two numbers of a version, such as ``v2.26.1-4``.

    Raises:
        ValueError: If there are none.
    """
    major, minor = text.strip().lstrip("v").split(".")[:2]
    return int(major), int(minor)


def ask(*command: str) -> str:
    """What a program prints.

    Raises:
        subprocess.CalledProcessError: If it fails; with what it said.
    """
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def engine() -> Iterator[str]:
    """What is wrong with docker itself."""
    if shutil.which("docker") is None:
        yield "docker is not installed: https://docs.docker.com/engine/install/"
        return
    try:
        info = json.loads(ask("docker", "version", "--format", "{{json .}}"))
    except subprocess.CalledProcessError as error:
        last = (error.stderr.strip().splitlines() or ["no answer"])[-1]
        yield f"the docker engine does not answer ({last}): start it, or set DOCKER_HOST"
        return
    found = info["Server"]["Version"]
    if version(found) < ENGINE:
        yield f"the docker engine is {found}: {'.'.join(map(str, ENGINE))} or newer is needed, for parts of volumes"
    try:
        found = ask("docker", "compose", "version", "--short")
    except subprocess.CalledProcessError:
        yield "docker has no compose plugin: https://docs.docker.com/compose/install/"
        return
    if version(found) < COMPOSE:
        yield f"docker compose is {found.strip()}: {'.'.join(map(str, COMPOSE))} or newer is needed"


def disk() -> Iterator[str]:
    """Whether there is room, where the engine's files are this machine's."""
    root = Path(ask("docker", "info", "--format", "{{.DockerRootDir}}").strip())
    if root.is_dir() and (free := shutil.disk_usage(root).free) < FREE_BYTES:
        yield f"{root} has {free / 1024**3:.1f} GiB left, and about 4 are needed: docker system prune, or move it"


def published() -> Iterator[tuple[str, str, int, str]]:
    """Service, address and port of everything that would be published, and the variable that chooses the port."""
    written = json.loads(ask("docker", "compose", "config", "--no-interpolate", "--format", "json"))["services"]
    variables = {
        (service, int(port.rpartition(":")[2])): port.partition("${")[2].partition(":")[0]
        for service, of in written.items()
        for port in of.get("ports", [])
    }
    for service, of in json.loads(ask("docker", "compose", "config", "--format", "json"))["services"].items():
        for port in of.get("ports", []):
            yield service, port["host_ip"], int(port["published"]), variables[service, port["target"]]


def ours() -> set[int]:
    """Ports that containers of this project publish already."""
    lines = ask("docker", "compose", "ps", "--format", "json").splitlines()
    containers = [json.loads(line) for line in lines if line.strip()]
    return {port["PublishedPort"] for container in containers for port in container["Publishers"] or []}


def ports() -> Iterator[str]:
    """Which ports are somebody else's."""
    held = ours()
    for service, address, port, variable in published():
        if port in held:
            continue
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((address, port))
            except OSError as error:
                yield f"port {port}, of {service}, is taken ({error.strerror}): {variable}=… make up"


def main() -> int:
    """Look at one thing after the other; what rests on something that is missing is not looked at.

    Returns:
        The exit code.
    """
    wrong = list(engine())
    try:
        wrong = wrong or [*disk(), *ports()]
    except subprocess.CalledProcessError as error:
        wrong = [error.stderr.strip() or str(error)]
    for said in wrong:
        sys.stderr.write(f"{said}\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
