"""What somebody sees who waits: figures of the last seconds, also when thousands of orders are under way."""

from waybill.load.orders import Entry
from waybill.load.progress import now
from waybill.load.watch import Sample

from .load_deployment import FULFILLED, FakeDeployment
from .test_load_session import session

MANY = 6_000


async def test_what_ended_lately_is_seen_behind_thousands_that_did_not() -> None:
    async with session(FakeDeployment()) as load:
        await load.ledger.place(FULFILLED, "load", load.clock.now())
        assert await load.finished()
        for number in range(MANY):
            entry = Entry(str(number), FULFILLED, "load", load.clock.now(), sent=load.clock.now())
            load.ledger.entries.append(entry)
            load.ledger.open[entry.order_id] = entry
        figures = now(load, Sample(load.began + 10.0, {}))
        load.ledger.open.clear()
    assert figures["ended_per_second"] == 1 / 10
    assert figures["p99_seconds"] > 0
    assert figures["sent_per_second"] == (MANY + 1) / 10


async def test_a_rate_in_the_first_seconds_is_of_as_many() -> None:
    async with session(FakeDeployment()) as load:
        for _ in range(4):
            await load.ledger.place(FULFILLED, "load", load.clock.now())
        assert await load.finished()
        rates = {
            after: (figures["sent_per_second"], figures["ended_per_second"])
            for after in (0.01, 2.0, 8.0, 3_600.0)
            for figures in [now(load, Sample(load.began + after, {}))]
        }
    # Of what is no second yet there is no rate: it would be any number.
    assert rates == {0.01: (4.0, 4.0), 2.0: (2.0, 2.0), 8.0: (0.5, 0.5), 3_600.0: (0.0, 0.0)}
