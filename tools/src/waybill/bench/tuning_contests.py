"""What each choice of a setting is worth: as shipped, against the default or what else it could be."""

import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp

import aiohttp
from temporalio.client import Client

from waybill.bench import twin
from waybill.bench.harness import Contest, Group, Shared
from waybill.bench.process import pids_of
from waybill.bench.sides import Alternative, OtherStack, Running, polling, serving
from waybill.bench.telemetry_contests import STOCK
from waybill.bench.tuning_choices import METRICS, ORDERS, SHIPPED, TWINS, Choice
from waybill.bench.twin_contests import OURS, Run, Side, fulfilled
from waybill.demo.shop import Shop
from waybill.stack.plan import NAMESPACE

ORDERS_A_RUN = 20
ALONE = 3
"""Orders one after the other, for the time that one takes."""
WARM_UP = 20

Pair = tuple[Side, Side]
Opening = Callable[[Alternative], AbstractAsyncContextManager[Pair]]


class Cast:
    """What is shipped and what it is compared with, brought up together when they are first needed.

    One pair runs at a time. Each choice has a pair of its own: a server that has seen more orders takes longer for the
    next one, so that both sides must be of the same age.
    """

    def __init__(self, opening: Opening) -> None:
        """Nothing runs yet.

        Args:
            opening: Brings up, warm, what is shipped and something else, and takes them down.
        """
        self._opening = opening
        self._open = AsyncExitStack()
        self._pair: tuple[Alternative, Pair] | None = None

    async def ours(self, other: Alternative) -> Run:
        """Run orders on what is shipped, beside something else."""
        return await measured((await self._bring_up(other))[0])

    async def theirs(self, other: Alternative) -> Run:
        """Run orders on something else."""
        return await measured((await self._bring_up(other))[1])

    async def aclose(self) -> None:
        """Take down what runs."""
        self._pair = None
        await self._open.aclose()

    async def _bring_up(self, other: Alternative) -> Pair:
        if self._pair is None or self._pair[0] is not other:
            await self.aclose()
            self._pair = (other, await self._open.enter_async_context(self._opening(other)))
        return self._pair[1]


async def measured(side: Side) -> Run:
    """A run of a side. Its latency is that of an order alone: that of ten at once says what the rate says."""
    run = await side.run(ORDERS_A_RUN)
    return replace(run, latency=await side.alone(ALONE))


def contests(cast: Cast, choices: Sequence[Choice]) -> list[Contest]:
    """One for each figure of each choice. Those of one choice look at the same runs."""
    return [contest for choice in choices for contest in _of(cast, choice)]


def _of(cast: Cast, choice: Choice) -> list[Contest]:
    ours, theirs = Shared(lambda: cast.ours(choice.other)), Shared(lambda: cast.theirs(choice.other))
    found = []
    for name in choice.figures:
        metric = METRICS[name]
        sides = ours.figure(metric.of), theirs.figure(metric.of)
        found.append(Contest(choice.contest(name), metric.unit, *sides, choice.note))
    return found


@asynccontextmanager
async def twins() -> AsyncIterator[Sequence[Contest]]:
    """Twins whose server, workers or shape differ in one thing."""

    @asynccontextmanager
    async def opening(other: Alternative) -> AsyncIterator[Pair]:
        with TemporaryDirectory(prefix="waybill-bench-") as folder:
            async with AsyncExitStack() as open_now:
                ours = theirs = await open_now.enter_async_context(serving(_new(folder), SHIPPED.server))
                if other.server != SHIPPED.server:
                    theirs = await open_now.enter_async_context(serving(_new(folder), other.server))
                yield (
                    await open_now.enter_async_context(_twin(ours, SHIPPED)),
                    await open_now.enter_async_context(_twin(theirs, other)),
                )

    async with aclosing(Cast(opening)) as cast:
        yield contests(cast, TWINS)


def _new(folder: str) -> Path:
    """A new folder in another."""
    return Path(mkdtemp(dir=folder))


@asynccontextmanager
async def _twin(server: Running, alternative: Alternative) -> AsyncIterator[Side]:
    client = await Client.connect(server.address, namespace=NAMESPACE)
    queues = f"twin-{uuid.uuid4().hex[:8]}"
    options = SHIPPED.worker if alternative.worker is None else alternative.worker
    async with polling(server.address, queues, options or {}) as workers:

        async def place() -> None:
            await twin.place(client, queues, alternative.kind)

        side = Side(place, lambda: {**workers, "temporal": server.pid})
        await side.run(WARM_UP)
        yield side


@asynccontextmanager
async def stacks() -> AsyncIterator[Sequence[Contest]]:
    """Whole stacks side by side that differ in one thing."""

    @asynccontextmanager
    async def opening(other: Alternative) -> AsyncIterator[Pair]:
        with TemporaryDirectory(prefix="waybill-bench-") as folder:
            async with (
                aiohttp.ClientSession() as session,
                OtherStack(_new(folder), SHIPPED) as ours,
                OtherStack(_new(folder), other) as theirs,
            ):
                yield await _orders(ours, session), await _orders(theirs, session)
                ours.hurry()
                theirs.hurry()

    async with aclosing(Cast(opening)) as cast:
        yield contests(cast, ORDERS)


async def _orders(stack: OtherStack, session: aiohttp.ClientSession) -> Side:
    client = await Client.connect(stack.urls["temporal"], namespace=NAMESPACE)
    shop = Shop(session, stack.urls, stack.operator_token)
    run = uuid.uuid4().hex[:12]
    await shop.stock_up(run)
    await shop.stock("TEA-250", "north", STOCK, f"{run}-more")

    async def place() -> None:
        await fulfilled(shop, client)

    side = Side(place, lambda: pids_of(stack, OURS))
    await side.run(WARM_UP)
    return side


def _names(choices: Sequence[Choice]) -> tuple[str, ...]:
    return tuple(choice.contest(name) for choice in choices for name in choice.figures)


GROUPS = (Group(_names(TWINS), twins), Group(_names(ORDERS), stacks))
