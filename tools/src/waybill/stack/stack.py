"""The runner: one object that owns every process of a Waybill on this machine."""

import asyncio
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import aiohttp

from chassis.testing import postgres
from waybill.stack import databases, plan, ports, specs, state
from waybill.stack import directory as directories
from waybill.stack.control import Control
from waybill.stack.plan import INFRASTRUCTURE, SERVICES, Plan
from waybill.stack.process import Process
from waybill.stack.spec import NotReady, Spec, StackError, Status, Tell
from waybill.stack.waiting import together, uninterrupted

READY_SECONDS = 90.0
"""How long the first start of a process may take on a slow machine."""
MAX_REPLICAS = 20


class Stack:
    """Temporal, PostgreSQL, the sandbox and the services, each as a process of its own.

    ``async with Stack(directory) as stack`` starts all and waits until they are ready; its end leaves no process.
    Where a method takes a name, that is a service (all its replicas), one replica (``shipping-1``), or one of
    ``temporal``, ``postgres``, ``sandbox``.

    Attributes:
        directory: For state and logs.
        keep: Whether the state that was there counts.
        leave: Whether the state stays at the end.
        ready_seconds: How long a process may take to become ready.
        env: Variables of each service, and of the sandbox, that differ from the usual ones. May be changed; counts from
            the next ``start`` or ``restart``.
        ports: By name.
        down_asked: Set when somebody asked, from outside, for the end.
    """

    def __init__(
        self,
        directory: Path | str,
        *,
        keep: bool = False,
        leave: bool = False,
        stated_ports: Mapping[str, int] | None = None,
        preferred_ports: Mapping[str, int] | None = None,
        env: Mapping[str, Mapping[str, str]] | None = None,
        ui: bool = False,
        spans: bool = False,
        ready_seconds: float = READY_SECONDS,
        tell: Tell = lambda _: None,
    ) -> None:
        """Prepare; nothing runs yet.

        Args:
            directory: For state and logs.
            keep: Begin with the state that is there, and leave it there at the end.
            leave: Begin afresh, but leave the state at the end, for a stack that keeps it.
            stated_ports: Ports that must be, by name (see ``plan.PORTS``).
            preferred_ports: Ports to take where they are free; others are chosen.
            env: See the attribute.
            ui: Whether Temporal serves its web interface.
            spans: Whether processes keep their spans in files.
            ready_seconds: How long a process may take to become ready.
            tell: Told in one line of what happens unasked.
        """
        self.directory = Path(directory).absolute()
        self.keep = keep
        self.leave = leave or keep
        self.ready_seconds = ready_seconds
        self.env: dict[str, dict[str, str]] = {name: dict(variables) for name, variables in (env or {}).items()}
        self.ports: dict[str, int] = {}
        self._stated = dict(stated_ports or {})
        self._preferred = dict(preferred_ports or {})
        self._ui = ui
        self._spans = spans
        self._listener: Tell | None = tell
        self._processes: dict[str, Process] = {}
        self._plan: Plan | None = None
        self._session: aiohttp.ClientSession | None = None
        self._control: Control | None = None
        self._hurried = False
        self.down_asked = asyncio.Event()

    async def __aenter__(self) -> Self:
        try:
            await self.open()
        except BaseException:
            await uninterrupted(self.close())
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await uninterrupted(self.close())

    @property
    def plan(self) -> Plan:
        """Ports, URLs, tokens.

        Raises:
            StackError: Before the stack is started.
        """
        if self._plan is None:
            raise StackError("the stack is not started")
        return self._plan

    @property
    def urls(self) -> dict[str, str]:
        """Base URL of each service, the sandbox and Temporal's web interface; ``temporal`` is host and port."""
        names = [*SERVICES, "sandbox", *(["temporal-ui"] if self._ui else [])]
        return {"temporal": self.plan.temporal_address, **{name: self.plan.url(name) for name in names}}

    @property
    def operator_token(self) -> str:
        """Opens what only operators may do."""
        return self.plan.operator_token

    @property
    def pids(self) -> dict[str, int]:
        """Process ids of what is alive, by name."""
        return {name: process.pid for name, process in self._processes.items() if process.pid is not None}

    def replicas(self, service: str) -> list[str]:
        """Names of a service's replicas."""
        return [name for name in self._processes if name.partition("-")[0] == service]

    async def open(self) -> None:
        """Start everything and wait until it is ready.

        Raises:
            StackError: If something does not become ready, or another stack runs in the directory.
            PortTaken: If a stated port is not free.
        """
        directories.prepare(self.directory, keep=self.keep)
        self.ports = ports.choose(plan.PORTS, self._stated, self._preferred)
        self._plan = Plan(self.directory, self.ports, self._ui, self._spans)
        self._session = aiohttp.ClientSession()
        self._control = Control(self, secrets.token_urlsafe(24))
        await self._control.open()
        await asyncio.to_thread(postgres.prepare, self._plan.postgres_data)
        for name in (*INFRASTRUCTURE, *SERVICES):
            self._processes[name] = Process(self._spec(name), tell=self.tell, changed=self._note)
        await together([self.start("temporal"), self.start("sandbox"), self._start_services()])

    async def _start_services(self) -> None:
        await self.start("postgres")
        await databases.ensure(self.ports["postgres"], self.plan.passwords)
        await together(self.start(name) for name in SERVICES)

    async def close(self) -> None:
        """Stop everything: services first, with their drain, then the sandbox, Temporal, PostgreSQL."""
        for process in self._processes.values():
            process.resume()
        services = [process for name, process in self._processes.items() if name not in INFRASTRUCTURE]
        await asyncio.gather(*(process.stop(at_once=self._hurried) for process in services))
        for name in reversed(INFRASTRUCTURE):
            if name in self._processes:
                await self._processes[name].stop(at_once=self._hurried)
        if self._control is not None:
            await self._control.close()
            state.remove(self.directory)
        if self._session is not None:
            await self._session.close()
        if self._plan is not None and not self.leave:
            directories.discard(self.directory)

    def hurry(self) -> None:
        """Let a stop that is under way, or comes, kill rather than ask."""
        self._hurried = True
        for process in self._processes.values():
            process.hurry()

    async def start(self, name: str) -> None:
        """Start what is stopped or held down, and wait until it is ready."""
        await together(self._start(process) for process in self._find(name))

    async def _start(self, process: Process) -> None:
        if process.pid is None:
            process.spec = self._spec(process.spec.name)
        process.start()
        await process.wait_ready(self.ready_seconds)

    async def stop(self, name: str) -> None:
        """Ask to end, wait until it has; it stays down until it is started."""
        await asyncio.gather(*(process.stop() for process in self._find(name)))

    async def restart(self, name: str) -> None:
        """Stop, start, and wait until it is ready."""
        await self.stop(name)
        await self.start(name)

    async def kill(self, name: str, down_seconds: float = 0.0) -> None:
        """Kill with SIGKILL. It is started again after a time; ``wait_ready`` waits for that.

        Args:
            name: What to kill.
            down_seconds: How long it stays down; infinite until ``start``.

        Raises:
            StackError: If it is not running.
        """
        await asyncio.gather(*(process.kill(down_seconds) for process in self._find(name)))

    def pause(self, name: str, seconds: float | None = None) -> None:
        """Stop it from being scheduled (SIGSTOP).

        Args:
            name: What to pause.
            seconds: Resume by itself after this long.

        Raises:
            StackError: If it is not running.
        """
        for process in self._find(name):
            process.pause(seconds)

    def resume(self, name: str) -> None:
        """Let what is paused go on."""
        for process in self._find(name):
            process.resume()

    async def scale(self, service: str, replicas: int) -> None:
        """Run so many replicas of a service; waits until new ones are ready, and surplus ones have drained.

        Raises:
            StackError: If it is not a service, or the number is not from 0 to ``MAX_REPLICAS``.
        """
        if service not in SERVICES:
            raise StackError(f"{service} cannot be scaled, only {', '.join(SERVICES)}")
        if not 0 <= replicas <= MAX_REPLICAS:
            raise StackError(f"a service has 0 to {MAX_REPLICAS} replicas, not {replicas}")
        for number in range(1, replicas + 1):
            name = service if number == 1 else f"{service}-{number}"
            if name not in self._processes:
                self.ports[name] = ports.free_port(self.ports.values())
                self._processes[name] = Process(self._spec(name), tell=self.tell, changed=self._note)
        names = self.replicas(service)
        surplus = [self._processes[name] for name in names[replicas:]]
        await asyncio.gather(*(process.stop() for process in surplus))
        for process in surplus:
            if process.spec.name != service:  # the first one stays listed: its port is the service's URL
                del self._processes[process.spec.name], self.ports[process.spec.name]
        await together(self._start(self._processes[name]) for name in names[:replicas])

    async def wait_ready(self, name: str) -> None:
        """Wait until it is ready.

        Raises:
            StackError: If it is not in time; says what it waits for, with the end of its log.
        """
        await together(process.wait_ready(self.ready_seconds) for process in self._find(name))

    async def status(self) -> list[Status]:
        """What every process is doing."""
        return list(await asyncio.gather(*(self._status(name) for name in self._processes)))

    async def _status(self, name: str) -> Status:
        process = self._processes[name]
        try:
            await process.probe()
            said = "ready"
        except (OSError, TimeoutError, NotReady) as error:
            said = str(error) or "does not answer"
        return Status(name, process.state, process.pid, self.ports[name], process.restarts, said)

    def tell(self, line: str) -> None:
        """Tell the listener; one whose reader is gone is told no more, for it must not keep us from stopping."""
        try:
            if self._listener is not None:
                self._listener(line)
        except OSError:
            self._listener = None

    def _find(self, name: str) -> list[Process]:
        if name in SERVICES:
            return [self._processes[replica] for replica in self.replicas(name)]
        first = name.removesuffix("-1")
        if first in self._processes:
            return [self._processes[first]]
        raise StackError(f"there is no {name!r}; there are {', '.join(self._processes)}")

    def _spec(self, name: str) -> Spec:
        if self._session is None:
            raise StackError("the stack is not started")
        overrides = self.env.get(name.partition("-")[0], {})
        return specs.spec(self.plan, name, self.ports[name], overrides, self._session)

    def _note(self) -> None:
        control = self._control
        if control is not None and control.url:
            where = (self.pids, dict(self.ports), self.urls, self.operator_token)
            state.StackState(os.getpid(), *where, control.url, control.token).write(self.directory)
