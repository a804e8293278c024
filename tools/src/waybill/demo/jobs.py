"""What goes on beside the orders: imports, a stocktake, a pick wave, store credit, a report; and how each must end."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from temporalio.client import Client

from waybill import schedules
from waybill.demo.samples import CURRENCY, SAMPLES, STORE_CREDIT
from waybill.demo.shop import Shop, ShopError
from waybill.imports import Imports, ImportsError, State
from waybill.schedules import SchedulesError

DEPOT = "depot"
"""A warehouse of the supplier's list only: while it is counted it is closed, and no order misses it."""
LISTED = 2_000
"""Good rows of the supplier's list."""
ON_HAND = 40
"""Units of each, as the list says."""
IMPORTED = 24
"""Good orders of the file of orders."""
PICKERS = 3
LOOK_SECONDS = 0.3
JOB_SECONDS = 120.0
"""How long a job may take, with a service down for a while in its middle."""
OVER = frozenset({"completed", "cancelled", "failed", "stopped", "counted", "incomplete"})


@dataclass
class Job:
    """One of them.

    Attributes:
        name: A word or two.
        expected: How it must end, in words.
        actual: How it ended, once it has.
        seconds: How long it took.
    """

    name: str
    expected: str
    actual: str = ""
    seconds: float = field(default=0.0)

    @property
    def right(self) -> bool:
        """Whether it ended as it should."""
        return self.actual == self.expected

    def as_json(self) -> dict[str, object]:
        """For the report."""
        return {
            "job": self.name,
            "expected": self.expected,
            "actual": self.actual or "unfinished",
            "seconds": round(self.seconds, 3),
        }


class Jobs:
    """One run of all jobs."""

    def __init__(
        self, run: str, *, shop: Shop, imports: Imports, client: Client, folder: Path, told: Callable[[Job], None]
    ) -> None:
        """Prepare.

        Args:
            run: Unique to this run.
            shop: The services.
            imports: Their imports.
            client: Of Temporal, for the schedules.
            folder: For the files that are imported.
            told: Told of each job that has ended.
        """
        self._shop = shop
        self._imports = imports
        self._client = client
        self._folder = folder
        self._run = run
        self._told = told
        self.all: list[Job] = []

    async def beside_the_orders(self) -> None:
        """Those that need nothing of the sample orders."""
        imported = f"completed: 1 duplicate, {IMPORTED} fulfilled, 1 malformed"
        await asyncio.gather(self._list_then_stocktake(), self._do("orders import", imported, self._import_orders))

    async def after_the_orders(self) -> None:
        """Those that work on what the sample orders left."""
        await asyncio.gather(
            self._do("pick wave", "completed: every parcel picked once", self._pick_wave),
            self._do("store credit", "paid, refused, taken out, closed", self._store_credit),
            self._do("sales report", "stored", self._report),
        )

    async def _do(self, name: str, expected: str, work: Callable[[], Awaitable[str]]) -> None:
        job = Job(name, expected)
        self.all.append(job)
        began = time.monotonic()
        try:
            async with asyncio.timeout(JOB_SECONDS):
                job.actual = await work()
        except (ShopError, ImportsError, SchedulesError, TimeoutError) as error:
            job.actual = f"unfinished: {str(error) or 'it took too long'}"
        job.seconds = time.monotonic() - began
        self._told(job)

    async def _list_then_stocktake(self) -> None:
        applied = f"completed: {LISTED} applied, 2 rejected"
        await self._do("catalogue import", applied, self._import_catalogue)
        await self._do("stocktake", f"{LISTED} counted, 1 corrected by -1", self._stocktake)

    async def _import_catalogue(self) -> str:
        path = self._folder / f"{self._run}-supplier.csv"
        await asyncio.to_thread(path.write_text, supplier_list())
        end = await self._import("catalogue", path, f"{self._run}-catalogue")
        result = end.result or {}
        return f"{end.status}: {result.get('applied')} applied, {result.get('rejected')} rejected"

    async def _import_orders(self) -> str:
        path = self._folder / f"{self._run}-orders.jsonl"
        await asyncio.to_thread(path.write_text, order_file(self._run))
        end = await self._import("orders", path, f"{self._run}-orders")
        outcomes: Mapping[str, int] = (end.result or {}).get("outcomes", {})
        return f"{end.status}: {', '.join(f'{count} {name}' for name, count in sorted(outcomes.items()))}"

    async def _import(self, kind: str, path: Path, import_id: str) -> State:
        await self._imports.send(kind, path, import_id)
        async for now in self._imports.follow(import_id, LOOK_SECONDS):
            end = now
        return end

    async def _stocktake(self) -> str:
        """The depot is counted: all is there but for one unit."""
        round_id = f"{self._run}-stocktake"
        await self._shop.ask_to("inventory", "/stocktakes", {"round_id": round_id, "warehouses": [DEPOT]}, {202})
        counts = [{"sku": sku(number), "quantity": ON_HAND - (number == 0)} for number in range(LISTED)]
        # The sheet is there as soon as the warehouse is closed.
        await self._until_closed(round_id)
        sheet = {"counts": counts, "complete": True}
        await self._shop.ask_to("inventory", f"/stocktakes/{DEPOT}/counts", sheet, {200, 202})
        document = await self._until_over("inventory", f"/stocktakes/{round_id}")
        [warehouse] = document["result"]["warehouses"]
        return f"{warehouse['counted']} counted, {warehouse['corrected']} corrected by {warehouse['units']}"

    async def _until_closed(self, round_id: str) -> None:
        while True:
            document = await self._shop.look("inventory", f"/stocktakes/{round_id}")
            if any(warehouse["closed"] for warehouse in document["warehouses"]):
                return
            await asyncio.sleep(LOOK_SECONDS)

    async def _pick_wave(self) -> str:
        wave = {"wave_id": f"{self._run}-wave", "warehouse": "north", "pickers": PICKERS}
        await self._shop.ask_to("shipping", "/pick-waves", wave, {202})
        document = await self._until_over("shipping", f"/pick-waves/{wave['wave_id']}")
        result = document["result"] or {}
        whole = 0 < result.get("total", 0) == result.get("picked", 0) + result.get("skipped", 0)
        return f"{document['status']}: {'every parcel picked once' if whole else result}"

    async def _store_credit(self) -> str:
        """The sample orders have paid with it, or not; the rest is taken out, and the account is closed."""
        for sample in SAMPLES:
            if sample.account is not None:
                account = f"{self._run}-{sample.account}"
                left = (await self._shop.look("payments", f"/accounts/{account}"))["balance"]
                if left != STORE_CREDIT[sample.account] - sample.pays:
                    return f"{account} holds {left}"
                if left:
                    move = {"booking_key": f"{account}-out", "amount": left, "currency": CURRENCY}
                    for _ in range(2):  # the same again is the same
                        await self._shop.ask_to("payments", f"/accounts/{account}/withdrawals", move, {200})
                closed = await self._shop.ask_to("payments", f"/accounts/{account}/close", {}, {200})
                if (closed["balance"], closed["open"]) != (0, False):
                    return f"{account} is {closed}"
        return "paid, refused, taken out, closed"

    async def _report(self) -> str:
        """The daily report, which is due at nine, is asked for now."""
        await schedules.trigger(self._client, "daily-sales-report")
        while True:
            if (await self._shop.look("orchestrator", "/reports/sales"))["items"]:
                return "stored"
            await asyncio.sleep(LOOK_SECONDS)

    async def _until_over(self, service: str, path: str) -> dict[str, Any]:
        while True:
            document = await self._shop.look(service, path)
            if document["status"] in OVER:
                return document
            await asyncio.sleep(LOOK_SECONDS)


def sku(number: int) -> str:
    """An article of the supplier's list."""
    return f"LIST-{number:04}"


def supplier_list() -> str:
    """A list with two rows that nobody can use."""
    rows = [f"{sku(number)},250,{CURRENCY},1250,{DEPOT},{ON_HAND}" for number in range(LISTED)]
    rows.insert(700, f"BAD-1,250,XXX,1250,{DEPOT},{ON_HAND}")
    rows.insert(1_400, f"BAD-2,250,{CURRENCY},1250,{DEPOT},-4")
    return "\n".join(["sku,weight,currency,price,warehouse,quantity", *rows, ""])


def order_file(run: str) -> str:
    """Good orders, one that is there twice, and one that makes no sense."""
    plain = SAMPLES[0]
    bodies = [plain.body(f"{run}-import-{number:03}") for number in range(IMPORTED)]
    bodies.insert(10, bodies[3])
    nonsense = plain.body(f"{run}-import-nonsense") | {"lines": []}
    return "\n".join([json.dumps(body) for body in [*bodies, nonsense]] + [""])
