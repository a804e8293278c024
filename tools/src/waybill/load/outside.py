"""What experiments change around a pool, before a load or beside it, and change back: slots, providers, replicas."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from waybill.load.cut import why
from waybill.load.session import Phase, Session
from waybill.load.targets import Embedded, LoadError
from waybill.load.watch import Mark

PROVIDERS: dict[str, tuple[str, ...]] = {
    "shipping": ("swift", "steady", "budget"),
    "payments": ("gateway",),
    "orchestrator": ("mailbox",),
}
"""Whom a service asks, as the sandbox calls them."""


@asynccontextmanager
async def slowed(session: Session, service: str, seconds: float) -> AsyncIterator[None]:
    """Let the providers of a service answer so late; afterwards they have the faults that they had before.

    Raises:
        LoadError: If it has none, or they are not the sandbox's.
    """
    if service not in PROVIDERS:
        raise LoadError(f"{service} asks no provider that could be slow; {', '.join(PROVIDERS)} do")
    before = await session.faults()
    try:
        await session.faults({name: {"latency_seconds": seconds} for name in PROVIDERS[service]})
        yield
    finally:
        await session.faults({name: before.get(name, {}) for name in PROVIDERS[service]})


@asynccontextmanager
async def arranged(session: Session, service: str, slots: int, provider_seconds: float) -> AsyncIterator[list[str]]:
    """One replica with so many slots, and providers that take so long; afterwards as before.

    Yields:
        What could not be arranged here, for the report.
    """
    said: list[str] = []
    target = session.target
    before = target.replicas(service)
    if isinstance(target, Embedded):
        await target.configure(service, {f"{service.upper()}_ACTIVITY_SLOTS": str(slots)})
    else:
        said.append(f"{service}'s slots are as its own settings say: only on a stack of ours they can be set.")
    try:
        async with AsyncExitStack() as stack:
            if provider_seconds and service in PROVIDERS:
                await stack.enter_async_context(slowed(session, service, provider_seconds))
            yield said
    finally:
        if target.replicas(service) != before:
            await target.scale(service, before)


@dataclass(frozen=True)
class Run:
    """A load, and what became of the changes beside it.

    Attributes:
        phase: The load.
        last: When its orders had ended.
        error: What ended the changes, and the load with them; None if they came to their end.
    """

    phase: Phase
    last: Mark
    error: BaseException | None

    def check(self) -> None:
        """Raise what ended the changes, if anything did."""
        if self.error is not None:
            raise self.error


async def directed(
    session: Session,
    direct: Callable[[float], Coroutine[Any, Any, None]],
    drive: Callable[..., Awaitable[Phase]],
) -> Run:
    """Load a deployment while a director changes it, and wait for the orders' ends.

    A director that fails ends the load: without the changes it is no experiment. One whom nothing more is left to do,
    since somebody stopped the test, ends by itself; it is not cancelled then, since it may be putting things back.

    Args:
        session: The test.
        direct: The director; it is told when the load began, seconds since 1970.
        drive: ``session.drive``, but for ``begin`` and ``cut``.
    """
    begin, cut = await session.watcher.mark(), asyncio.Event()
    directing = asyncio.create_task(direct(begin.at))
    directing.add_done_callback(lambda task: cut.set() if not task.cancelled() and task.exception() else None)
    try:
        phase = await drive(begin=begin, cut=cut)
        await asyncio.wait({directing})
    finally:
        directing.cancel()
        [error] = await asyncio.gather(directing, return_exceptions=True)
        if isinstance(error, Exception):
            session.tell(f"What was to be changed meanwhile could not be: {why(error)}.")
    await session.finished()
    return Run(phase, await session.watcher.mark(), error)
