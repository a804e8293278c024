"""Places the samples, does to each what is to be done, and watches how they end."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from waybill.demo.samples import SAMPLES, Act, Sample, describe
from waybill.demo.shop import Shop, ShopError

LOOK_SECONDS = 0.2
"""Between two looks at all orders."""
ORDER_SECONDS = 180.0
"""How long an order may take, with a service down for a while in its middle."""
BETWEEN_SECONDS = 0.1
"""Between two customers, unless told otherwise."""
NEWEST = 200
"""Orders among which ours are looked for: others may place theirs meanwhile."""
FINISHED = frozenset({"fulfilled", "partially_fulfilled", "rejected", "cancelled", "failed"})


@dataclass
class Row:
    """What is known of one sample.

    Attributes:
        sample: The order.
        order_id: Its id.
        status: What it is doing.
        actual: How it ended, once it has.
        began: When it was placed, on the monotonic clock.
        seconds: How long it took, once it has ended.
    """

    sample: Sample
    order_id: str
    status: str = ""
    actual: str | None = None
    began: float | None = None
    seconds: float | None = None

    @property
    def right(self) -> bool:
        """Whether it ended as it should."""
        return self.actual == self.sample.expected

    @property
    def ended(self) -> str | None:
        """How it ended, in a line, once it has."""
        if self.actual is None or self.seconds is None:
            return None
        wrong = "" if self.right else f", expected {self.sample.expected}"
        return f"{self.order_id}: {self.actual}{wrong} after {self.seconds:.1f} s"

    def as_json(self) -> dict[str, object]:
        """For the report."""
        return {
            "order_id": self.order_id,
            "case": self.sample.case,
            "expected": self.sample.expected,
            "actual": self.actual or f"unfinished: {self.status or 'not placed'}",
            "seconds": round(self.seconds if self.seconds is not None else 0.0, 3),
        }


class Day:
    """One run of all samples."""

    def __init__(
        self,
        shop: Shop,
        run: str,
        changed: Callable[["Row"], None] = lambda _: None,
        *,
        samples: Sequence[Sample] = SAMPLES,
        between_seconds: float = BETWEEN_SECONDS,
        look_seconds: float = LOOK_SECONDS,
    ) -> None:
        """Prepare.

        Args:
            shop: The services.
            run: Unique to this run: what all its order ids begin with.
            changed: Called when a row has changed.
            samples: The orders.
            between_seconds: Between two customers.
            look_seconds: Between two looks at all orders.
        """
        self.rows = [Row(sample, f"{run}-{number:02}-{sample.case}") for number, sample in enumerate(samples, 1)]
        self._shop = shop
        self._changed = changed
        self._between = between_seconds
        self._look = look_seconds
        self._by_id = {row.order_id: row for row in self.rows}
        self._looked = asyncio.Condition()

    async def run(self) -> None:
        """Place all samples and wait until each has ended; whatever goes wrong with one stands in its row."""
        watching = asyncio.create_task(self._watch())
        try:
            await asyncio.gather(*(self._live(row, number) for number, row in enumerate(self.rows)))
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)

    async def _live(self, row: Row, number: int) -> None:
        await asyncio.sleep(number * self._between)
        row.began = time.monotonic()
        self._set(row, "sent")
        try:
            async with asyncio.timeout(ORDER_SECONDS):
                row.actual = await self._outcome(row)
        except (ShopError, TimeoutError) as error:
            row.actual = f"unfinished: {row.status}" + (f" ({error})" if str(error) else "")
        row.seconds = time.monotonic() - row.began
        self._changed(row)

    async def _outcome(self, row: Row) -> str:
        body = row.sample.body(row.order_id)
        status, answer = await self._shop.place(body)
        if status != 202:
            if await self._shop.order(row.order_id) is not None:
                return f"refused with {status}, but written down"
            return f"refused with {status}: {answer.get('field', answer)}"
        if row.sample.act is Act.REPEAT and (wrong := await self._repeat(body)):
            return wrong
        if row.sample.act in {Act.APPROVE, Act.REFUSE, Act.CANCEL}:
            await self._until(row, FINISHED | {"awaiting_approval"})
            await self._act(row)
        await self._until(row, FINISHED)
        document = await self._shop.order(row.order_id)
        if document is None:
            return "lost: there is no such order any more"
        carriers = await self._shop.carriers(row.order_id) if row.sample.carrier else frozenset()
        return describe(document, row.sample, carriers)

    async def _repeat(self, body: dict[str, Any]) -> str | None:
        """Send the same again, and then something else under the same id. Returns what is wrong with the answers."""
        same, _ = await self._shop.place(body)
        other, _ = await self._shop.place({**body, "lines": [{"sku": "LAMP-1", "quantity": 1}]})
        return None if (same, other) == (202, 409) else f"a repeat was answered {same}, another body {other}"

    async def _act(self, row: Row) -> None:
        # An answer of 409 to a repeat means that the first one arrived; how the order ends tells whether it did.
        if row.sample.act is Act.CANCEL:
            await self._shop.cancel(row.order_id)
        elif row.sample.act is not None:
            await self._shop.decide(row.order_id, row.sample.act)

    async def _until(self, row: Row, statuses: frozenset[str]) -> None:
        async with self._looked:
            await self._looked.wait_for(lambda: row.status in statuses)

    async def _watch(self) -> None:
        """Look at all orders at once, rather than each for itself."""
        while True:
            try:
                for item in await self._shop.newest(NEWEST):
                    row = self._by_id.get(item["order_id"])
                    if row is not None:
                        self._set(row, item["status"])
            except ShopError as error:
                # Long silence: each order's own time limit ends it, and says where it stood.
                self._note(error)
            async with self._looked:
                self._looked.notify_all()
            await asyncio.sleep(self._look)

    def _note(self, error: ShopError) -> None:
        for row in self.rows:
            if row.actual is None and row.began is not None:
                self._set(row, str(error))

    def _set(self, row: Row, status: str) -> None:
        if row.status != status and row.actual is None:
            row.status = status
            self._changed(row)
