"""A pool that is stopped raises the alerts that the runbook promises, and no other."""

import re
import uuid
from pathlib import Path

import aiohttp
import pytest

from chassis.testing.waiting import eventually
from waybill.demo.samples import SAMPLES
from waybill.demo.shop import Shop

from .files import RUNBOOK
from .test_live import watching

pytestmark = pytest.mark.timeout(420)
"""A stack, Prometheus and the demo's day are more than one test's usual time."""
FACTOR = 6
"""By which the times of the rules are shorter here. How long a queue's pollers are remembered (70 s) is not."""
PATIENCE = 150
ALWAYS = {("CollectorDown", "otel-collector")}
"""There is no collector on a bare machine."""
PROMISED = {
    ("ServiceDown", "payments"),
    ("QueueWithoutPollers", "payments", "workflow"),
    ("QueueWithoutPollers", "payments", "activity"),
    ("QueueBacklogOld", "payments", "workflow"),
}


def test_these_are_the_alerts_that_the_runbook_promises() -> None:
    section = RUNBOOK.read_text().partition("## When a pool is gone")[2].partition("\n## ")[0]
    assert set(re.findall(r"^\| ([A-Z]\w+) \|", section, re.MULTILINE)) - {"Alert", "OrderStuck"} == {
        name for name, *_ in PROMISED
    }


async def test_stopping_the_payments_pool_raises_exactly_the_promised_alerts_which_end_when_it_is_back(
    tmp_path: Path,
) -> None:
    async with watching(tmp_path, factor=FACTOR) as watched, aiohttp.ClientSession() as session:
        stack, running = watched.stack, watched.prometheus
        shop = Shop(session, stack.urls, stack.operator_token)
        run = uuid.uuid4().hex[:8]
        await shop.stock_up(run)
        assert (await shop.place(SAMPLES[0].body(f"{run}-before")))[0] == 202

        async def fulfilled(order_id: str) -> bool:
            order = await shop.order(order_id)
            return order is not None and order["status"] == "fulfilled"

        await eventually(lambda: fulfilled(f"{run}-before"), timeout=PATIENCE)
        await stack.stop("payments")
        assert (await shop.place(SAMPLES[0].body(f"{run}-waits")))[0] == 202

        async def all_fire() -> bool:
            firing = await running.firing()
            assert firing >= PROMISED, PROMISED - firing
            return True

        await eventually(all_fire, timeout=PATIENCE)
        assert await running.fired(3600) - ALWAYS == PROMISED
        await stack.start("payments")

        async def none_fires() -> bool:
            still = PROMISED & await running.firing()
            assert not still, still
            return True

        await eventually(none_fires, timeout=PATIENCE)
        await eventually(lambda: fulfilled(f"{run}-waits"), timeout=PATIENCE)
