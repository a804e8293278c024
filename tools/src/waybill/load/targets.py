"""What is loaded: a stack of our own, one that runs, or a deployment of which only addresses are known."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Protocol, runtime_checkable

import psycopg

from waybill.stack import SERVICES, Stack, databases, state
from waybill.stack.control import ControlClient
from waybill.stack.plan import NAMESPACE
from waybill.stack.spec import Tell

CALM: Mapping[str, Mapping[str, str]] = {
    # A line for each request is nothing that a load test has to pay for, or keep.
    **{name: {f"{name.upper()}_LOG_LEVEL": "WARNING"} for name in SERVICES},
    # Parcels that are delivered while the next orders are measured would be those orders' cost.
    "sandbox": {"SANDBOX_LOG_LEVEL": "WARNING", "SANDBOX_DELIVERY_SECONDS": "3600"},
}
"""Variables of a stack of our own."""

NOT_KNOWN = "not known"


class LoadError(Exception):
    """Something that a load test needs is not there; the message is for the person who asked."""


class Target(ABC):
    """A deployment, and what can be done with it.

    Attributes:
        urls: Base URL of each service, and of the sandbox.
        token: The operators' token.
        temporal: Host and port of Temporal, where it is known.
        namespace: In Temporal.
    """

    kind = ""
    """What it is, in a few words."""

    def __init__(self, urls: Mapping[str, str], token: str, temporal: str | None, namespace: str = NAMESPACE) -> None:
        """Take what is known."""
        self.urls = dict(urls)
        self.token = token
        self.temporal = temporal
        self.namespace = namespace

    @abstractmethod
    def pids(self) -> dict[str, int]:
        """Process ids on this machine, by name; none where they are not known."""

    @abstractmethod
    def metrics(self) -> dict[str, str]:
        """Base URL of each process with ``/metrics``, by name; replicas behind one address are one."""

    @abstractmethod
    async def scale(self, service: str, replicas: int) -> None:
        """Run so many replicas of a service; waits until new ones are ready and surplus ones have drained.

        Raises:
            LoadError: If it cannot be done here.
        """

    @abstractmethod
    async def configure(self, service: str, variables: Mapping[str, str]) -> None:
        """Restart a service with some variables.

        Raises:
            LoadError: If it cannot be done here.
        """

    async def database_bytes(self) -> dict[str, int]:
        """Size of each service's database; nothing where it is not known."""
        return {}

    async def database_version(self) -> str:
        """Which PostgreSQL it has; in words, if that is not known."""
        return NOT_KNOWN

    def replicas(self, service: str) -> int:
        """How many processes a service has, as far as is known."""
        return sum(name.partition("-")[0] == service for name in self.metrics())


class Embedded(Target):
    """A stack of our own, for as long as the test runs."""

    kind = "a stack of its own"

    def __init__(self, stack: Stack) -> None:
        """Take one that runs."""
        super().__init__(stack.urls, stack.operator_token, stack.urls["temporal"])
        self.hurried = False
        """Whether all of it is being killed: nobody waits then for a replica that comes, or drains."""
        self._stack = stack

    def pids(self) -> dict[str, int]:
        """See the base class."""
        return self._stack.pids

    def metrics(self) -> dict[str, str]:
        """See the base class."""
        return _metrics(self._stack.ports, self._stack.pids)

    async def scale(self, service: str, replicas: int) -> None:
        """See the base class."""
        if not self.hurried:
            await self._stack.scale(service, replicas)

    async def configure(self, service: str, variables: Mapping[str, str]) -> None:
        """See the base class."""
        self._stack.env.setdefault(service, {}).update(variables)
        await self._stack.restart(service)

    async def database_bytes(self) -> dict[str, int]:
        """See the base class."""
        return await _sizes(self._stack.ports["postgres"])

    async def database_version(self) -> str:
        """See the base class."""
        return await _version(self._stack.ports["postgres"])


class Running(Target):
    """A stack that somebody else runs."""

    kind = "a running stack"

    def __init__(self, directory: Path, control: ControlClient) -> None:
        """Take one that runs in a directory."""
        note = control.state
        super().__init__(note.urls, note.operator_token, note.urls["temporal"])
        self._directory = directory
        self._control = control

    def pids(self) -> dict[str, int]:
        """See the base class."""
        return state.read(self._directory).pids

    def metrics(self) -> dict[str, str]:
        """See the base class."""
        note = state.read(self._directory)
        return _metrics(note.ports, note.pids)

    async def scale(self, service: str, replicas: int) -> None:
        """See the base class."""
        await self._control.act(service, "scale", replicas=replicas)

    async def configure(self, service: str, variables: Mapping[str, str]) -> None:
        """See the base class."""
        raise LoadError(f"{', '.join(variables)} of {service} can be set on a stack of its own only (no --directory)")

    async def database_bytes(self) -> dict[str, int]:
        """See the base class."""
        return await _sizes(state.read(self._directory).ports["postgres"])

    async def database_version(self) -> str:
        """See the base class."""
        return await _version(state.read(self._directory).ports["postgres"])


class Remote(Target):
    """A deployment of which only addresses are known."""

    kind = "a deployment by its URLs"

    def pids(self) -> dict[str, int]:
        """None: they are other machines', or other containers'."""
        return {}

    def metrics(self) -> dict[str, str]:
        """One for each service: an address may stand for several replicas, of which one answers."""
        return {name: self.urls[name] for name in SERVICES if name in self.urls}

    async def scale(self, service: str, replicas: int) -> None:
        """See the base class."""
        raise LoadError(
            f"{service} cannot be scaled to {replicas} from here: scale it yourself, or load a stack of ours"
        )

    async def configure(self, service: str, variables: Mapping[str, str]) -> None:
        """See the base class."""
        raise LoadError(f"{', '.join(variables)} of {service} cannot be set from here")


async def _sizes(port: int) -> dict[str, int]:
    """Nothing where the server is down, on purpose say: a report without it is better than none."""
    try:
        return await databases.sizes(port)
    except psycopg.Error:
        return {}


async def _version(port: int) -> str:
    try:
        return await databases.version(port)
    except psycopg.Error as error:
        return f"{NOT_KNOWN}: {error}"


def _metrics(ports: Mapping[str, int], pids: Mapping[str, int]) -> dict[str, str]:
    alive = (name for name in pids if name.partition("-")[0] in SERVICES)
    return {name: f"http://127.0.0.1:{ports[name]}" for name in alive if name in ports}


@runtime_checkable
class Hasty(Protocol):
    """What can be told that its end, under way or to come, must take no time."""

    def hurry(self) -> None:
        """End at once."""


class OwnStack(AbstractAsyncContextManager[Embedded]):
    """A stack of our own, from nothing to nothing."""

    def __init__(self, stack: Stack) -> None:
        """Take one that is not started."""
        self._stack = stack
        self._target: Embedded | None = None

    async def __aenter__(self) -> Embedded:
        await self._stack.__aenter__()
        self._target = Embedded(self._stack)
        return self._target

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.__aexit__(kind, error, trace)

    def hurry(self) -> None:
        """Kill it without a drain, also while it starts or ends."""
        if self._target is not None:
            self._target.hurried = True
        self._stack.hurry()


def embedded(directory: Path, env: Mapping[str, Mapping[str, str]], tell: Tell) -> OwnStack:
    """A stack of our own.

    Args:
        directory: For its state and logs.
        env: Variables beyond ``CALM``.
        tell: Told of what happens unasked.
    """
    merged = {name: {**CALM.get(name, {}), **env.get(name, {})} for name in (*CALM, *env)}
    return OwnStack(Stack(directory, env=merged, tell=tell))


@asynccontextmanager
async def running(directory: Path) -> AsyncIterator[Running]:
    """A stack that runs in a directory.

    Raises:
        StackError: If none does.
    """
    async with ControlClient(directory) as control:
        yield Running(directory, control)


@asynccontextmanager
async def remote(urls: Mapping[str, str], token: str, temporal: str | None, namespace: str) -> AsyncIterator[Remote]:
    """A deployment of which only addresses are known."""
    yield Remote(urls, token, temporal, namespace)
