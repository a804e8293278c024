"""``kubectl``, always on one context and in one namespace."""

import asyncio
import json
import shutil
from dataclasses import dataclass
from typing import Any


class ClusterError(Exception):
    """The cluster, or what stands between us and it, does not do what it was asked. The text is for a person."""


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


async def call(program: str, *arguments: str, given: str | None = None) -> Done:
    """Run a program to its end.

    Args:
        program: Found on PATH.
        arguments: No secrets: everybody on this machine can read them.
        given: Its standard input.

    Raises:
        ClusterError: If there is no such program.
    """
    path = shutil.which(program)
    if path is None:
        raise ClusterError(f"{program} is not on PATH")
    process = await asyncio.create_subprocess_exec(
        path,
        *arguments,
        stdin=asyncio.subprocess.DEVNULL if given is None else asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        output, errors = await process.communicate(None if given is None else given.encode())
    except asyncio.CancelledError:
        if process.returncode is None:
            process.terminate()
            await process.wait()
        raise
    return Done(process.returncode or 0, output.decode(errors="replace"), errors.decode(errors="replace"))


@dataclass(frozen=True)
class Kubectl:
    """Commands to one namespace of one cluster, whatever the current context becomes meanwhile.

    Attributes:
        context: Name of the context.
        namespace: Of everything that is asked for.
    """

    context: str
    namespace: str

    async def run(self, *arguments: str, given: str | None = None) -> Done:
        """``kubectl …``, which may fail."""
        where = ("--context", self.context, "--namespace", self.namespace)
        return await call("kubectl", *where, *arguments, given=given)

    async def do(self, *arguments: str, given: str | None = None) -> str:
        """``kubectl …``, which must not fail; returns what it prints.

        Raises:
            ClusterError: If it fails; with what it says.
        """
        done = await self.run(*arguments, given=given)
        if done.code != 0:
            said = (done.errors.strip() or done.output.strip() or "it says nothing").splitlines()
            raise ClusterError(f"kubectl {' '.join(arguments)} exits with {done.code}: {' / '.join(said[-5:])}")
        return done.output

    async def get(self, *arguments: str) -> dict[str, Any]:
        """``kubectl get … -o json``.

        Raises:
            ClusterError: If it fails.
        """
        found: dict[str, Any] = json.loads(await self.do("get", *arguments, "--output", "json"))
        return found

    async def names(self, kind: str, *arguments: str) -> list[str]:
        """Names of the objects of a kind.

        Raises:
            ClusterError: If they cannot be asked for.
        """
        return [item["metadata"]["name"] for item in (await self.get(kind, *arguments))["items"]]
