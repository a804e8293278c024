"""What a load test and its deployment have between them: connections, and somebody who answers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from chassis.testing.waiting import eventually
from waybill.load.generator import Bounds
from waybill.load.mix import KINDS, Mix
from waybill.load.options import Common
from waybill.load.session import UNITS, Session, opened
from waybill.load.targets import LoadError

from .load_deployment import FakeDeployment, FakeTarget

MANY = 250
"""Orders at once, many more than the connections that an HTTP client has unless told otherwise."""


@asynccontextmanager
async def session(deployment: FakeDeployment, **elsewhere: str) -> AsyncIterator[Session]:
    async with (
        deployment.served() as urls,
        opened(FakeTarget(urls | elsewhere), "run", asyncio.Event(), lambda _: None) as opened_session,
    ):
        yield opened_session


async def test_no_order_waits_for_a_connection_and_looks_do_not_wait_behind_orders() -> None:
    deployment = FakeDeployment()
    deployment.stalled = {"POST /orchestrator/orders"}
    async with session(deployment) as load:
        placing = [
            asyncio.create_task(load.ledger.place(KINDS["fulfilled"], "load", load.clock.now())) for _ in range(MANY)
        ]
        await eventually(lambda: deployment.waiting == MANY)
        await load.ledger.look()
        deployment.relent()
        await asyncio.gather(*placing)
        assert await load.finished()
    assert all(each.right for each in load.ledger.entries)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://127.0.0.1:9", r"payments does not answer at http://127\.0\.0\.1:9: .*Is it up"),
        ("localhost:9", r"payments cannot be asked: localhost:9 is no http:// or https:// URL"),
    ],
)
async def test_a_url_that_does_not_answer_is_named_at_once(url: str, said: str) -> None:
    with pytest.raises(LoadError, match=said):
        async with session(FakeDeployment(), payments=url):
            raise AssertionError("it began")


async def test_a_proxy_behind_which_nobody_is_does_not_count_as_an_answer() -> None:
    deployment = FakeDeployment()
    deployment.answers = {"GET /shipping/livez": 503}
    with pytest.raises(LoadError, match="shipping answers 503 at http"):
        async with session(deployment):
            raise AssertionError("it began")


async def test_a_service_that_is_silent_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("waybill.load.reach.PROBE_SECONDS", 0.2)
    deployment = FakeDeployment()
    deployment.stalled = {"GET /inventory/livez"}
    with pytest.raises(LoadError, match=r"inventory does not answer at \S+ within 0\.2 s"):
        async with session(deployment):
            raise AssertionError("it began")


async def test_providers_whose_faults_the_sandbox_does_not_take_are_told_of() -> None:
    deployment = FakeDeployment()
    deployment.answers = {"PUT /sandbox/faults": 400}
    async with session(deployment) as load:
        with pytest.raises(LoadError, match="the sandbox answers 400 to PUT /faults"):
            await load.faults({})


async def test_each_experiment_brings_in_what_its_orders_take_at_most() -> None:
    deployment, mix = FakeDeployment(), Mix({"fulfilled": 1})
    common = Common(mix, Bounds(orders=600_000), warm_up=20)
    async with session(deployment) as load:
        for _ in range(2):
            await load.stock_up(mix, common.orders(phases=2))
    brought = [each for name, each in deployment.receipts.items() if name.startswith("run-load-")]
    assert {(each["sku"], each["warehouse"]) for each in brought} == {("TEA-250", "north")}
    # Two units an order, and no receipt has more than inventory takes.
    assert sum(each["quantity"] for each in brought) >= 2 * 2 * 2 * 600_000
    assert max(each["quantity"] for each in brought) == UNITS
