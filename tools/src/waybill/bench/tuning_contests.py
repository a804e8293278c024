"""What each choice of a setting is worth: as shipped, against the default or what else it could be."""

import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp

import aiohttp
from temporalio.client import Client

from waybill.bench import twin
from waybill.bench.harness import Contest, Group
from waybill.bench.sides import Alternative, OtherStack, Running, polling, serving
from waybill.bench.telemetry_contests import STOCK
from waybill.bench.tuning_choices import METRICS, ORDERS, SHIPPED, TWINS, Choice
from waybill.bench.twin_contests import OURS, Run, Shared, Side, fulfilled
from waybill.demo.shop import Shop
from waybill.stack.plan import NAMESPACE

ORDERS_A_RUN = 20
ALONE = 5
"""Orders one after the other, for the time that one takes."""
WARM_UP = 20

Opening = Callable[[Alternative], AbstractAsyncContextManager[Side]]


class Cast:
    """Sides that are brought up when they are first needed. One of them, and what is shipped, run at a time."""

    def __init__(self, opening: Opening) -> None:
        """Nothing runs yet.

        Args:
            opening: Brings a side up, warm, and takes it down.
        """
        self._opening = opening
        self._shipped, self._other = AsyncExitStack(), AsyncExitStack()
        self._ours: Side | None = None
        self._theirs: tuple[Alternative, Side] | None = None

    async def ours(self) -> Run:
        """Run orders on what is shipped."""
        if self._ours is None:
            self._ours = await self._shipped.enter_async_context(self._opening(SHIPPED))
        return await measured(self._ours)

    async def theirs(self, alternative: Alternative) -> Run:
        """Run orders on something else."""
        if self._theirs is None or self._theirs[0] is not alternative:
            self._theirs = None
            await self._other.aclose()
            self._theirs = (alternative, await self._other.enter_async_context(self._opening(alternative)))
        return await measured(self._theirs[1])

    async def close(self) -> None:
        """Take down what runs."""
        await self._other.aclose()
        await self._shipped.aclose()


async def measured(side: Side) -> Run:
    """A run of a side. Its latency is that of an order alone: that of ten at once says what the rate says."""
    run = await side.run(ORDERS_A_RUN)
    return replace(run, latency=await side.alone(ALONE))


def contests(cast: Cast, choices: Sequence[Choice]) -> list[Contest]:
    """One for each figure of each choice. Those of one choice look at the same runs."""
    return [contest for choice in choices for contest in _of(cast, choice)]


def _of(cast: Cast, choice: Choice) -> list[Contest]:
    ours, theirs = Shared(cast.ours), Shared(lambda: cast.theirs(choice.other))
    found = []
    for name in choice.figures:
        metric = METRICS[name]
        sides = ours.figure(metric.of), theirs.figure(metric.of)
        found.append(Contest(choice.contest(name), metric.unit, *sides, choice.note))
    return found


@asynccontextmanager
async def twins() -> AsyncIterator[Sequence[Contest]]:
    """Twins whose server, workers or shape differ in one thing."""
    with TemporaryDirectory(prefix="waybill-bench-") as folder:
        async with AsyncExitStack() as open_now:
            running = await open_now.enter_async_context(serving(_new(folder), SHIPPED.server))

            @asynccontextmanager
            async def opening(alternative: Alternative) -> AsyncIterator[Side]:
                async with AsyncExitStack() as side_open:
                    server = running
                    if alternative.server != SHIPPED.server:
                        server = await side_open.enter_async_context(serving(_new(folder), alternative.server))
                    yield await side_open.enter_async_context(_twin(server, alternative))

            cast = Cast(opening)
            open_now.push_async_callback(cast.close)
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
    with TemporaryDirectory(prefix="waybill-bench-") as folder:
        async with aiohttp.ClientSession() as session:

            @asynccontextmanager
            async def opening(alternative: Alternative) -> AsyncIterator[Side]:
                async with OtherStack(_new(folder), alternative) as stack:
                    yield await _orders(stack, session)
                    stack.hurry()

            cast = Cast(opening)
            try:
                yield contests(cast, ORDERS)
            finally:
                await cast.close()


async def _orders(stack: OtherStack, session: aiohttp.ClientSession) -> Side:
    client = await Client.connect(stack.urls["temporal"], namespace=NAMESPACE)
    shop = Shop(session, stack.urls, stack.operator_token)
    run = uuid.uuid4().hex[:12]
    await shop.stock_up(run)
    await shop.stock("TEA-250", "north", STOCK, f"{run}-more")

    async def place() -> None:
        await fulfilled(shop, client)

    side = Side(place, lambda: {name: stack.pids[name] for name in OURS})
    await side.run(WARM_UP)
    return side


def _names(choices: Sequence[Choice]) -> tuple[str, ...]:
    return tuple(choice.contest(name) for choice in choices for name in choice.figures)


GROUPS = (Group(_names(TWINS), twins), Group(_names(ORDERS), stacks))
