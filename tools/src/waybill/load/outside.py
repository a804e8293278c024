"""What experiments change around a pool, and change back: its slots, its providers, its replicas."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from waybill.load.session import Session
from waybill.load.targets import Embedded, LoadError

PROVIDERS: dict[str, tuple[str, ...]] = {
    "shipping": ("swift", "steady", "budget"),
    "payments": ("gateway",),
    "orchestrator": ("mailbox",),
}
"""Whom a service asks, as the sandbox calls them."""


async def slow(session: Session, service: str, seconds: float) -> None:
    """Let the providers of a service answer so late; 0 lets them answer at once.

    Raises:
        LoadError: If it has none, or they are not the sandbox's.
    """
    if service not in PROVIDERS:
        raise LoadError(f"{service} asks no provider that could be slow; {', '.join(PROVIDERS)} do")
    fault = {"latency_seconds": seconds} if seconds else {}
    await session.faults({name: dict(fault) for name in PROVIDERS[service]})


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
        if provider_seconds and service in PROVIDERS:
            await slow(session, service, provider_seconds)
        yield said
    finally:
        if provider_seconds and service in PROVIDERS:
            await slow(session, service, 0)
        if target.replicas(service) != before:
            await target.scale(service, before)
