"""What a load test and its deployment have between them: connections, and somebody who answers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from chassis.testing.waiting import eventually
from waybill.load.mix import KINDS
from waybill.load.session import Session, opened

from .load_deployment import FakeDeployment, FakeTarget

MANY = 250
"""Orders at once, many more than the connections that an HTTP client has unless told otherwise."""


@asynccontextmanager
async def session(deployment: FakeDeployment) -> AsyncIterator[Session]:
    async with (
        deployment.served() as urls,
        opened(FakeTarget(urls), "run", asyncio.Event(), lambda _: None) as opened_session,
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
