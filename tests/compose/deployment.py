"""A deployment by ``docker compose`` that tests have to themselves."""

import asyncio
import json
import os
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chassis.testing.ports import free_ports

ROOT = Path(__file__).parents[2]
PORTS = (
    "WAYBILL_PORT",
    "WAYBILL_TEMPORAL_PORT",
    "WAYBILL_TEMPORAL_UI_PORT",
    "WAYBILL_JAEGER_PORT",
    "WAYBILL_PROMETHEUS_PORT",
    "WAYBILL_GRAFANA_PORT",
)
SERVICE_PORT = 8080
UP_SECONDS = 600
"""For ``up --wait``: images are built by then."""


class CommandError(Exception):
    """A command failed. The text has what it said."""


@dataclass(frozen=True)
class Done:
    """How a command ended.

    Attributes:
        code: Its exit code.
        output: Standard output.
        errors: Standard error.
    """

    code: int
    output: str
    errors: str


@dataclass
class Deployment:
    """One project of ``docker compose``, with names and ports of its own.

    Attributes:
        project: Its name.
        environment: Of every command.
    """

    project: str = field(default_factory=lambda: f"waybill-test-{uuid.uuid4().hex[:8]}")
    environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Choose ports. Images are not those of who runs Waybill on the same machine."""
        ports = dict(zip(PORTS, map(str, free_ports(len(PORTS))), strict=True))
        ours = {"COMPOSE_PROJECT_NAME": self.project, "WAYBILL_VERSION": "compose-test", "COMPOSE_ANSI": "never"}
        self.environment = {**os.environ, **ports, **ours, **self.environment}

    @property
    def orders(self) -> str:
        """Base URL of the orders' API, as outsiders have it."""
        return f"http://127.0.0.1:{self.environment['WAYBILL_PORT']}"

    async def compose(self, *arguments: str, check: bool = True, env: dict[str, str] | None = None) -> Done:
        """``docker compose …``.

        Raises:
            CommandError: If it fails, and ``check`` is not off.
        """
        return await self.docker("compose", *arguments, check=check, env=env)

    async def docker(self, *arguments: str, check: bool = True, env: dict[str, str] | None = None) -> Done:
        """``docker …``.

        Raises:
            CommandError: If it fails, and ``check`` is not off.
        """
        process = await asyncio.create_subprocess_exec(
            "docker",
            *arguments,
            cwd=ROOT,
            env={**self.environment, **(env or {})},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        output, errors = await process.communicate()
        done = Done(process.returncode or 0, output.decode(errors="replace"), errors.decode(errors="replace"))
        if check and done.code != 0:
            command = " ".join(("docker", *arguments))
            raise CommandError(f"{command} exits with {done.code}:\n{done.output[-4000:]}\n{done.errors[-4000:]}")
        return done

    async def up(self, *arguments: str) -> None:
        """Start what is not there, and wait until all is healthy.

        Raises:
            CommandError: If it does not become so; with what each container that is not said last.
        """
        up = ["up", "--detach", "--wait", "--wait-timeout", str(UP_SECONDS), "--quiet-pull", *arguments]
        done = await self.compose(*up, check=False)
        if done.code != 0:
            logs = await self.compose("logs", "--no-color", "--tail", "15")
            raise CommandError(f"up exits with {done.code}:\n{done.errors[-3000:]}\n{logs.output[-12000:]}")

    async def down(self) -> None:
        """Delete containers, networks and volumes. Images stay."""
        await self.compose("--profile", "*", "down", "--volumes", "--remove-orphans", "--timeout", "60")

    async def containers(self, service: str | None = None, *, ended: bool = False) -> list[dict[str, Any]]:
        """What ``docker inspect`` says of the containers.

        Args:
            service: Of this one only.
            ended: Also those that have ended.
        """
        which = [] if service is None else [service]
        ids = (await self.compose("ps", "--quiet", *(["--all"] if ended else []), *which)).output.split()
        if not ids:
            return []
        inspected: list[dict[str, Any]] = json.loads((await self.docker("inspect", *ids)).output)
        return inspected

    async def python(self, service: str, program: str, *arguments: str, index: int = 1) -> Done:
        """Run a Python program inside a service's container; it may fail."""
        return await self.compose(
            "exec", "-T", "--index", str(index), service, "python", "-c", program, *arguments, check=False
        )

    async def tools(self, *arguments: str, check: bool = True) -> Done:
        """``waybill …`` inside the deployment's networks."""
        return await self.compose("run", "--rm", "--no-deps", "-T", "tools", *arguments, check=check)

    async def crash(self, service: str) -> str:
        """Kill a container's first process as a crash would; a kill by docker counts as a stop by hand.

        Returns:
            The container's id.
        """
        container = (await self.containers(service))[0]
        program = f"import os, signal; os.kill({container['State']['Pid']}, signal.SIGKILL)"
        image = (await self.containers("demo"))[0]["Config"]["Image"]  # it has Python, as not everyone's has
        kill = ["run", "--rm", "--privileged", "--pid=host", "--user=0", "--network=none", "--entrypoint=python"]
        await self.docker(*kill, image, "-c", program)
        return str(container["Id"])

    async def left(self) -> dict[str, list[str]]:
        """What the engine has of this project."""
        label = f"label=com.docker.compose.project={self.project}"
        kinds = {"containers": ["ps", "--all"], "volumes": ["volume", "ls"], "networks": ["network", "ls"]}
        listed = {
            kind: (await self.docker(*command, "--quiet", "--filter", label)).output.split()
            for kind, command in kinds.items()
        }
        return {kind: ids for kind, ids in listed.items() if ids}
