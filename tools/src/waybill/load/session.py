"""A load test under way: the target, its orders, and those who look."""

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import aiohttp
from temporalio.client import Client

from waybill.audit.reading import KEEPERS, Reader
from waybill.audit.run import Report, audit
from waybill.demo.shop import Shop
from waybill.load.arrivals import Plan
from waybill.load.generator import Bounds, Pace, open_loop
from waybill.load.measure import Window, between
from waybill.load.mix import SENT, Mix, goods
from waybill.load.orders import Clock, Ledger
from waybill.load.reach import ASK_SECONDS, absent, allow_files, answering, connected
from waybill.load.targets import LoadError, Target
from waybill.load.watch import Mark, Watcher
from waybill.stack.waiting import unless

T = TypeVar("T")
Faults = Mapping[str, Mapping[str, object]]
"""What is wrong with the outside world's providers, by their names, as the sandbox tells it and takes it."""

UNITS = 1_000_000
"""In one receipt, which is the most that inventory takes."""
LOOK_SECONDS = 0.2
PARCEL_LOOK_SECONDS = 1.0
STALL_SECONDS = 60.0
"""After the last order that ended, for so long the next is waited for."""


@dataclass
class Phase:
    """A part of a test.

    Attributes:
        name: Unique within the test.
        begin: When it began.
        end: When its last order was sent, or was to be.
        pace: How well the intended starts were kept.
        seconds: How long it was to take.
    """

    name: str
    begin: Mark
    end: Mark
    pace: Pace
    seconds: float


class Session:
    """One test on one target.

    Attributes:
        target: What is loaded.
        ledger: Its orders.
        watcher: What was seen.
        phases: Parts until now.
        stop: Set by Ctrl-C: place nothing more, wait for nothing more, write the report.
        began: When the session began, seconds since 1970.
    """

    def __init__(
        self,
        target: Target,
        asking: aiohttp.ClientSession,
        client: Client | None,
        *,
        placing: aiohttp.ClientSession,
        run: str,
        stop: asyncio.Event,
        tell: Callable[[str], None],
    ) -> None:
        """Put together; ``opened`` does it. Orders have connections of their own, of which there are enough."""
        self.target = target
        self.run = run
        self.stop = stop
        self.tell = tell
        self.client = client
        self.shop = Shop(asking, target.urls, target.token)
        self.clock = Clock()
        self.began = self.clock.now()
        self.ledger = Ledger(placing, target.urls["orchestrator"], run, self.clock, looking=asking)
        self.watcher = Watcher(target, asking, client, self.clock.now, self._own)
        self.phases: list[Phase] = []
        self.pace = Pace()
        self._session = asking
        self._receipts = 0

    async def stock_up(self, mix: Mix, orders: int) -> None:
        """Bring in what an experiment takes, beyond what those before it have left.

        Args:
            mix: Of its orders.
            orders: How many it places at most.
        """
        await self.unless_stopped(self._stock_up(mix, orders))

    async def _stock_up(self, mix: Mix, orders: int) -> None:
        await self.shop.stock_up(self.run)
        for (sku, warehouse), units in goods(mix).items():
            for _ in range(math.ceil(units * orders / UNITS)):
                self._receipts += 1
                await self.shop.stock(sku, warehouse, UNITS, f"{self.run}-load-{self._receipts}")

    async def faults(self, replaced: Faults | None = None) -> Faults:
        """Faults of the outside world's providers.

        Args:
            replaced: By provider, whole; those of a provider that is not named stay as they are.

        Returns:
            Those of all providers, from then on.

        Raises:
            LoadError: If there is no sandbox whose world it is, or it does not do it.
        """
        if "sandbox" not in self.target.urls:
            raise LoadError("the providers' faults are the sandbox's, and no URL of one is given (--url sandbox=URL)")
        url, timeout = f"{self.target.urls['sandbox']}/faults", aiohttp.ClientTimeout(total=ASK_SECONDS)
        method = "GET" if replaced is None else "PUT"
        try:
            async with self._session.request(method, url, json=replaced, timeout=timeout) as answer:
                if answer.status >= 300:
                    raise LoadError(f"the sandbox answers {answer.status} to {method} /faults: {await answer.text()}")
                told: Faults = await answer.json()
                return told
        except (aiohttp.ClientError, TimeoutError) as error:
            said = str(error) or type(error).__name__
            raise LoadError(f"the sandbox does not answer {method} /faults: {said}") from None

    async def warm_up(self, mix: Mix, orders: int) -> None:
        """Let some orders pass, so that caches, pools and connections are filled before anything is measured."""
        kinds = mix.kinds(seed=0)
        for _ in range(orders):
            if self.stop.is_set():
                return
            await self.ledger.place(next(kinds), "warm-up", self.clock.now())
        await self.finished()

    async def drive(
        self,
        name: str,
        plan: Plan,
        mix: Mix,
        bounds: Bounds | None = None,
        *,
        begin: Mark | None = None,
        cut: asyncio.Event | None = None,
    ) -> Phase:
        """Place orders by a plan.

        Args:
            name: Of the phase.
            plan: When.
            mix: Which.
            bounds: Where to stop.
            begin: The moment at which it begins, which is now; taken here, unless somebody has.
            cut: Ends the load early when it is set, as ``stop`` does; the test goes on.

        Returns:
            The phase. Its orders may still be under way.
        """
        kinds = mix.kinds(plan.seed)
        began = begin or await self.watcher.mark()
        self.pace = Pace()

        async def send(_: int, due: float) -> None:
            await self.ledger.place(next(kinds), name, due)

        async def load() -> None:
            await open_loop(
                plan.times(),
                send,
                in_flight=lambda: self.ledger.under_way,
                room=self.ledger.room,
                stop=self.stop,
                bounds=bounds,
                clock=self.clock.now,
                pace=self.pace,
            )
            rest = began.at + plan.seconds - self.clock.now()
            if rest > 0 and self.pace.cut is None:
                await self.pause(rest)

        await (load() if cut is None else unless(cut, load()))
        if cut is not None and cut.is_set():
            self.pace.cut = "what was to be changed meanwhile could not be"
        phase = Phase(name, began, await self.watcher.mark(), self.pace, plan.seconds)
        self.phases.append(phase)
        return phase

    async def pause(self, seconds: float) -> None:
        """Wait, unless somebody stops the test."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.stop.wait()

    async def unless_stopped(self, work: Coroutine[Any, Any, T]) -> T | None:
        """Do what may take minutes; it is given up, and nothing comes of it, when somebody stops the test."""
        return await unless(self.stop, work)

    async def finished(self, stall_seconds: float = STALL_SECONDS) -> bool:
        """Wait until no order is under way.

        Args:
            stall_seconds: Give up when none has ended for so long.

        Returns:
            Whether all have ended.
        """
        left, since = self.ledger.under_way, self.clock.now()
        while self.ledger.under_way and not self.stop.is_set():
            await asyncio.sleep(LOOK_SECONDS)
            if self.ledger.under_way != left:
                left, since = self.ledger.under_way, self.clock.now()
            elif self.clock.now() - since > stall_seconds:
                break
        return not self.ledger.under_way

    async def delivered(self, seconds: float, stall_seconds: float = STALL_SECONDS) -> int:
        """Wait until no parcel of this test is on its way.

        Args:
            seconds: How long a parcel takes: for so long at least is waited.
            stall_seconds: Give up when nothing has changed for so long.

        Returns:
            How many are on their way still: some never arrive.

        Raises:
            LoadError: If it is not known where Temporal is.
        """
        if self.client is None:
            raise LoadError("whether parcels are delivered is not known without Temporal's address")
        await self.pause(seconds)
        # Each has one at least. A list of workflows is some moments old: two looks must see the same.
        least = sum(each.outcome in SENT for each in self.ledger.entries)
        before, since = None, self.clock.now()
        while True:
            ours = f"WorkflowId STARTS_WITH 'track:{self.run}-'"
            left = (await self.client.count_workflows(f"{ours} AND ExecutionStatus = 'Running'")).count
            now = left, (await self.client.count_workflows(ours)).count
            if now != before:
                before, since = now, self.clock.now()
            elif (left == 0 and now[1] >= least) or self.stop.is_set() or self.clock.now() - since > stall_seconds:
                return left
            await self.pause(PARCEL_LOOK_SECONDS)

    def window(self, begin: Mark, end: Mark) -> Window:
        """What happened between two marks."""
        samples = [each for each in self.watcher.samples if begin.at <= each.at <= end.at]
        return Window(begin, end, samples, between(self.ledger.entries, begin.at, end.at))

    async def audit(self, wait_seconds: float) -> Report | None:
        """Check all books of the deployment, unless somebody stops the test."""
        reader = Reader(self._session, self.target.urls, self.target.token)
        return await self.unless_stopped(audit(reader, wait_seconds=wait_seconds))

    def _own(self) -> dict[str, float]:
        entries = self.ledger.entries
        return {
            "orders_sent": float(len(entries)),
            "orders_under_way": float(self.ledger.under_way),
            "orders_ended": float(sum(each.ended is not None for each in entries)),
            "orders_failed": float(sum(bool(each.error) for each in entries)),
        }


@asynccontextmanager
async def opened(target: Target, run: str, stop: asyncio.Event, tell: Callable[[str], None]) -> AsyncIterator[Session]:
    """A session on a target, watched from now on.

    Raises:
        LoadError: If a service has no URL, or it or Temporal does not answer where it is said to be, or the namespace
            is not there.
    """
    if words := absent(target.urls):
        raise LoadError(words)
    allow_files()
    # As many connections as orders in flight, which the generator bounds: a start that waited for one would count as
    # sent in time. And looks must not wait behind orders that nobody answers.
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as placing, aiohttp.ClientSession() as asking:
        await answering(asking, {name: url for name, url in target.urls.items() if name in KEEPERS})
        client = await connected(target.temporal, target.namespace) if target.temporal else None
        opened_session = Session(target, asking, client, placing=placing, run=run, stop=stop, tell=tell)
        looking = asyncio.create_task(opened_session.ledger.watch())
        try:
            async with opened_session.watcher.watching():
                yield opened_session
        finally:
            looking.cancel()
            # What else ended it is raised here: without looks no order would ever end.
            with contextlib.suppress(asyncio.CancelledError):
                await looking
