"""One operating-system process: started, watched, started again when it dies, broken on purpose, stopped."""

import asyncio
import math
import signal
import time
from collections.abc import Callable, Sequence

import psutil

from chassis.testing.tether import tethered
from waybill.stack.spec import NotReady, Spec, StackError, State, Tell

TAIL_LINES = 15
MANY_DEATHS = 6
"""In a row, after which nobody waits any longer for a process to become ready; it is still started again."""
PROBE_PAUSE = 0.1
"""Seconds between two questions whether a process is ready."""


class Process:
    """A process under supervision. All methods belong to one event loop, on the thread that outlives the process."""

    def __init__(self, spec: Spec, *, tell: Tell = lambda _: None, changed: Callable[[], None] = lambda: None) -> None:
        """Prepare; nothing runs yet.

        Args:
            spec: What to run.
            tell: Told in one line of what nobody asked for, such as a death.
            changed: Called when its process id has changed.
        """
        self.spec = spec
        self.restarts = 0
        self.exit_code: int | None = None
        self.state = State.STOPPED
        self._tell = tell
        self._changed = changed
        self._child: asyncio.subprocess.Process | None = None
        self._supervisor: asyncio.Task[None] | None = None
        self._not_before = 0.0
        self._deaths = 0
        self._wake = asyncio.Event()
        self._ended = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def pid(self) -> int | None:
        """Process id while it is alive."""
        return self._child.pid if self._child is not None else None

    def start(self) -> None:
        """Want it to run, from now on; does not wait until it is ready."""
        self._not_before = 0.0
        self._deaths = 0
        self._wake.set()
        if self._supervisor is None or self._supervisor.done():
            self._supervisor = asyncio.create_task(self._supervise(), name=f"supervise {self.spec.name}")

    async def stop(self, *, at_once: bool = False) -> None:
        """Want it to end, and wait until it has.

        Args:
            at_once: Kill, rather than ask first.
        """
        self._not_before = math.inf
        supervisor, self._supervisor = self._supervisor, None
        if supervisor is not None:
            supervisor.cancel()
        tree = self._tree()
        if self._child is not None and not at_once:
            self.resume()
            _signal(tree[:1], self.spec.stop_signal)
            try:
                await asyncio.wait_for(self._child.wait(), self.spec.stop_seconds)
            except TimeoutError:
                self._tell(f"{self.spec.name} did not stop within {self.spec.stop_seconds:g} s, and is killed")
        # What it left behind too: each process is known by its start time, so a stranger under its number is safe.
        _signal(tree, signal.SIGKILL)
        if self._child is not None:
            await self._child.wait()
        if supervisor is not None:
            await asyncio.gather(supervisor, return_exceptions=True)
        self._child = None
        self._ended.set()
        self._cancel_timer()
        self.state = State.STOPPED
        self._changed()

    def hurry(self) -> None:
        """Kill it without waiting: for a stop that takes too long for somebody."""
        _signal(self._tree(), signal.SIGKILL)

    async def kill(self, down_seconds: float = 0.0) -> None:
        """Kill with SIGKILL, together with its own children, and wait until it is gone.

        Args:
            down_seconds: How long it stays down before it is started again; infinite until ``start``.

        Raises:
            StackError: If it is not running.
        """
        if self._child is None or self._supervisor is None:
            raise StackError(f"{self.spec.name} is not running: it is {self.state}")
        self._not_before = _now() + down_seconds
        _signal(self._tree(), signal.SIGKILL)
        await self._ended.wait()

    def pause(self, seconds: float | None = None) -> None:
        """Stop it from being scheduled: it keeps its connections and answers nothing.

        Args:
            seconds: Resume by itself after this long.

        Raises:
            StackError: If it is not running.
        """
        if self._child is None:
            raise StackError(f"{self.spec.name} is not running: it is {self.state}")
        _signal(self._tree(), signal.SIGSTOP)
        self.state = State.PAUSED
        self._cancel_timer()
        if seconds is not None:
            self._timer = asyncio.get_running_loop().call_later(seconds, self.resume)

    def resume(self) -> None:
        """Let a paused process go on. Does nothing to one that is not paused."""
        self._cancel_timer()
        if self._child is not None and self.state is State.PAUSED:
            _signal(self._tree(), signal.SIGCONT)
            self.state = State.RUNNING

    async def wait_ready(self, seconds: float) -> None:
        """Wait until it is ready.

        Args:
            seconds: At most.

        Raises:
            StackError: If it is not in time, dies again and again, or its settings are wrong; with the end of its log.
        """
        said = "has not answered yet"
        try:
            async with asyncio.timeout(seconds):
                while self.state is not State.FAILED and self._deaths < MANY_DEATHS:
                    try:
                        await self.probe()
                    except (OSError, TimeoutError, NotReady) as error:
                        said = str(error) or said
                        await asyncio.sleep(PROBE_PAUSE)
                    else:
                        return
        except TimeoutError:
            raise StackError(f"waited {seconds:g} s for {self.spec.name}: {said}\n{self.tail()}") from None
        what = "refuses its settings" if self.state is State.FAILED else f"dies each time, with code {self.exit_code}"
        raise StackError(f"{self.spec.name} {what}\n{self.tail()}")

    async def probe(self) -> None:
        """Ask once whether it is ready.

        Raises:
            OSError, TimeoutError, NotReady: If it is not.
        """
        if self.state is not State.RUNNING:
            raise NotReady(f"it is {self.state}" + ("" if self.exit_code is None else f", exit code {self.exit_code}"))
        if self.spec.ready is not None:
            await self.spec.ready()

    def tail(self) -> str:
        """The end of its log."""
        if not self.spec.log.exists():
            return "(no log)"
        lines = self.spec.log.read_text(errors="replace").splitlines()[-TAIL_LINES:]
        return "\n".join(f"  {self.spec.name} | {line[:500]}" for line in lines)

    async def _supervise(self) -> None:
        while True:
            self._wake.clear()
            delay = self._not_before - _now()
            if delay > 0:
                try:
                    await asyncio.wait_for(self._wake.wait(), None if math.isinf(delay) else delay)
                except TimeoutError:
                    continue
            else:
                await self._run_once()
                if self.state is State.FAILED:
                    return

    async def _run_once(self) -> None:
        began = _now()
        self._child = await self._spawn()
        self._ended.clear()
        self.state = State.RUNNING
        self._changed()
        code = await self._child.wait()
        self._child = None
        self._cancel_timer()
        self.exit_code = code
        held = self._not_before > _now()
        self._deaths = 0 if held or _now() - began >= self.spec.backoff.stable else self._deaths + 1
        self.restarts += 1
        self._changed()
        self._ended.set()
        if code in self.spec.final_codes:
            self.state = State.FAILED
            self._tell(f"{self.spec.name} ended with code {code}: its settings are wrong (see {self.spec.log})")
        elif held:
            self.state = State.HELD
        else:
            pause = min(self.spec.backoff.first * 2 ** max(self._deaths - 1, 0), self.spec.backoff.longest)
            self._not_before = _now() + pause
            self.state = State.WAITING
            self._tell(f"{self.spec.name} ended ({_how(code)}) and starts again in {pause:.1f} s")

    async def _spawn(self) -> asyncio.subprocess.Process:
        spec = self.spec
        spec.log.parent.mkdir(parents=True, exist_ok=True)
        # A signal that cannot be caught: a program that is paused, or hangs, must not outlive us either.
        command = tethered(spec.command, number=signal.SIGKILL, user=spec.user, group=spec.group)
        with spec.log.open("ab") as log:
            return await asyncio.create_subprocess_exec(
                *command,
                env=dict(spec.environment),
                cwd=spec.folder,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # the terminal's Ctrl-C is ours to handle, not theirs
            )

    def _tree(self) -> list[psutil.Process]:
        """The process and all that it started, itself first."""
        if self._child is None:
            return []
        try:
            root = psutil.Process(self._child.pid)
            return [root, *root.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _signal(processes: Sequence[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        try:
            process.send_signal(number)
        except psutil.NoSuchProcess:
            continue  # it ended meanwhile, which is all that most signals want


def _how(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def _now() -> float:
    return time.monotonic()
