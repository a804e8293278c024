"""The orders of a load test: placed without a second try, and watched from afar until they have ended."""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import takewhile
from typing import Any

import aiohttp

from waybill.demo.day import FINISHED
from waybill.load.mix import Kind

ANSWER_SECONDS = 30.0
"""After so long a request for an order counts as not answered."""
LOOK_SECONDS = 0.5
LOOK_SHARE = 0.05
"""Of the time at most is spent with looking: where a look takes long, they become rare."""
PAGE = 1_000
SPARE = 50
"""Rows of a page beyond those that we wait for: others may place orders too."""
CLOCKS_SECONDS = 10.0
"""By which the deployment's clock may differ from ours when we decide how far back to look."""


@dataclass
class Entry:
    """One order. All times are seconds since 1970 on our own clock.

    Attributes:
        order_id: Its id.
        kind: Which order it is.
        phase: Part of the test that it belongs to.
        intended: When it was to be sent.
        sent: When it was.
        answered: When the request was answered.
        accepted: Whether it was taken; None while that is not known.
        error: Why not, or that nobody answered.
        seen_open: Beginning of the last look at which it had not ended.
        ended: When it ended.
        outcome: Status, and reason where there is one.
    """

    order_id: str
    kind: Kind
    phase: str
    intended: float
    sent: float = 0.0
    answered: float | None = None
    accepted: bool | None = None
    error: str = ""
    seen_open: float = 0.0
    ended: float | None = None
    outcome: str = ""

    @property
    def latency(self) -> float | None:
        """From the intended start to the end."""
        return None if self.ended is None else self.ended - self.intended

    @property
    def right(self) -> bool:
        """Whether it ended as it should."""
        return self.outcome == self.kind.expected


class Clock:
    """Seconds since 1970 that never go back."""

    def __init__(self) -> None:
        self._offset = time.time() - time.monotonic()

    def now(self) -> float:
        """Now."""
        return time.monotonic() + self._offset


class Skew:
    """By how much the deployment's clock is ahead of ours, from when it says that orders came.

    An order was written down between its request and the answer. What all orders allow is a range; one that contains 0
    means that the clocks agree as far as can be told.
    """

    def __init__(self) -> None:
        self._least, self._most = float("-inf"), float("inf")

    def saw(self, created: float, sent: float, answered: float) -> None:
        """Take one order's word for it."""
        self._least = max(self._least, created - answered)
        self._most = min(self._most, created - sent)

    @property
    def seconds(self) -> float:
        """The best guess."""
        if self._least <= 0 <= self._most or self._least == float("-inf"):
            return 0.0
        return (self._least + self._most) / 2


class Ledger:
    """All orders of a test."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        url: str,
        run: str,
        clock: Clock,
        *,
        looking: aiohttp.ClientSession | None = None,
    ) -> None:
        """Prepare.

        Args:
            session: To place orders with.
            url: Of the orchestrator.
            run: What all ids begin with.
            clock: Ours.
            looking: To look at them with; the same, unless said otherwise.
        """
        self.entries: list[Entry] = []
        self.open: dict[str, Entry] = {}
        """Those of which an end is awaited."""
        self.skew = Skew()
        self.looks = 0
        self.failed_looks = 0
        self._session = session
        self._looking = looking or session
        self._url = url
        self._run = run
        self._clock = clock
        self._closed: list[tuple[float, Entry]] = []
        """When we saw each end, the latest last, and which."""
        self._fewer = asyncio.Event()
        self._one_look = asyncio.Lock()
        """Two at once would both see the same order end."""

    @property
    def under_way(self) -> int:
        """Orders that were sent and have not ended."""
        return len(self.open)

    async def room(self) -> None:
        """Wait until fewer are under way."""
        self._fewer.clear()
        await self._fewer.wait()

    async def place(self, kind: Kind, phase: str, intended: float) -> None:
        """Send one order, once. Whatever becomes of that stands in its entry."""
        entry = Entry(f"{self._run}-{len(self.entries):06}", kind, phase, intended, sent=self._clock.now())
        self.entries.append(entry)
        self.open[entry.order_id] = entry
        try:
            async with self._session.post(
                f"{self._url}/orders",
                json=kind.body(entry.order_id),
                timeout=aiohttp.ClientTimeout(total=ANSWER_SECONDS),
            ) as answer:
                await answer.read()
                entry.accepted = answer.status == 202
                entry.error = "" if entry.accepted else f"answered {answer.status}"
                # An error of the server's may come after the order was written down: the list will tell.
                if answer.status >= 500:
                    entry.accepted = None
        except (aiohttp.ClientError, TimeoutError) as error:
            entry.error = f"not answered: {type(error).__name__}"
        entry.answered = self._clock.now()
        if entry.accepted is False:
            self._close(entry)

    async def watch(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            began = self._clock.now()
            await self.look_again()
            took = self._clock.now() - began
            await asyncio.sleep(max(LOOK_SECONDS - took, took / LOOK_SHARE - took, 0.0))

    async def look_again(self) -> None:
        """Look once, if there is anything to see; it may fail."""
        async with self._one_look:
            if not self.open:
                return
            try:
                await self.look()
            except (aiohttp.ClientError, TimeoutError, ValueError, KeyError):
                # A deployment under load, or broken on purpose, may not answer. The count of it is in the report.
                self.failed_looks += 1

    async def look(self) -> None:
        """Look once at all orders that are under way, in as few pages as that takes."""
        began, awaited = self._clock.now(), set(self.open)
        after: str | None = ""
        oldest = min((self.open[name].sent for name in awaited), default=began) - CLOCKS_SECONDS
        self.looks += 1
        while awaited and after is not None:
            page = await self._page(after, min(PAGE, len(awaited) + SPARE))
            for item in page["items"]:
                if item["order_id"] in awaited:
                    awaited.discard(item["order_id"])
                    self._saw(self.open[item["order_id"]], item, began)
            after = page["next"]
            if page["items"] and _moment(page["items"][-1]["created_at"]) - self.skew.seconds < oldest:
                break

    async def _page(self, after: str, limit: int) -> Any:
        query = {"limit": str(limit), **({"after": after} if after else {})}
        timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS)
        async with self._looking.get(f"{self._url}/orders", params=query, timeout=timeout) as answer:
            answer.raise_for_status()
            return await answer.json()

    def _saw(self, entry: Entry, item: dict[str, Any], looked: float) -> None:
        entry.accepted = True
        if entry.answered is not None and not entry.error:
            self.skew.saw(_moment(item["created_at"]), entry.sent, entry.answered)
        if item["status"] not in FINISHED:
            entry.seen_open = looked
            return
        # The row says when it ended; it cannot have said so before the last look that did not find it.
        entry.ended = max(_moment(item["updated_at"]) - self.skew.seconds, entry.seen_open)
        reason = item["reason"] if item["status"] in {"rejected", "failed"} else None
        entry.outcome = item["status"] + (f": {reason}" if reason else "")
        self._close(entry)

    def _close(self, entry: Entry) -> None:
        self.open.pop(entry.order_id, None)
        self._fewer.set()
        self._closed.append((self._clock.now(), entry))

    def ended(self, phase: str | None = None) -> Iterator[Entry]:
        """Orders that have ended, of one phase or of all."""
        return (each for each in self.entries if each.ended is not None and phase in {None, each.phase})

    def ended_since(self, moment: float) -> list[Entry]:
        """Orders that ended lately, found without a look at all those before."""
        # Nothing is seen before it happens: what was seen earlier ended earlier.
        seen = takewhile(lambda each: each[0] >= moment, reversed(self._closed))
        return [entry for _, entry in seen if entry.ended is not None and entry.ended >= moment]

    def lost(self) -> list[Entry]:
        """Accepted orders whose end was not seen."""
        return [entry for entry in self.open.values() if entry.accepted]

    def unknown(self) -> list[Entry]:
        """Orders of which it is not known whether they were taken; no list shows them."""
        return [entry for entry in self.open.values() if entry.accepted is None]


def _moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
