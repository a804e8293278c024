import asyncio
from dataclasses import replace

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection

from chassis import trace_context
from shipping.contract import FINAL_STATES, DeliveryState, booking_key
from shipping.delivery import RANK
from shipping.store import ParcelState, ShipmentCancelled
from shipping.tables import METADATA

from .world import World, new_order, report_of


async def test_the_migrations_make_the_tables_that_the_code_uses(world: World) -> None:
    def differences(connection: Connection) -> list[object]:
        return list(compare_metadata(MigrationContext.configure(connection), METADATA))

    async with world.database.engine.connect() as connection:
        assert await connection.run_sync(differences) == []


async def test_several_replicas_migrate_at_once(world: World) -> None:
    await asyncio.gather(*(world.database.migrate("shipping.migrations") for _ in range(4)))


async def test_an_intent_is_written_once(world: World) -> None:
    order_id = new_order()
    key = booking_key(order_id, 1)
    intents = await asyncio.gather(*(world.store.intend(order_id, 1, key, "swift") for _ in range(8)))
    assert sorted(fresh for _, fresh in intents) == [False] * 7 + [True]
    assert await world.state(order_id) == "booking"


async def test_an_intent_keeps_its_carrier_until_that_one_refused(world: World) -> None:
    order_id = new_order()
    key = booking_key(order_id, 1)
    await world.store.intend(order_id, 1, key, "swift")
    intent, fresh = await world.store.intend(order_id, 1, key, "budget")
    assert (intent.carrier, fresh) == ("swift", False)
    await world.store.refused(order_id, 1)
    intent, fresh = await world.store.intend(order_id, 1, key, "budget")
    assert (intent.carrier, intent.state, fresh) == ("budget", ParcelState.BOOKING, True)


async def test_nothing_passes_the_fence(world: World) -> None:
    order_id = new_order()
    assert await world.store.fence(order_id, "customer") == []
    with pytest.raises(ShipmentCancelled):
        await world.store.intend(order_id, 1, booking_key(order_id, 1), "swift")
    assert await world.state(order_id) is None


async def test_a_record_that_comes_after_the_fence_is_refused(world: World) -> None:
    order_id = new_order()
    await world.store.intend(order_id, 1, booking_key(order_id, 1), "swift")
    doomed = await world.store.fence(order_id, "customer")
    assert [(row.parcel, row.state) for row in doomed] == [(1, ParcelState.BOOKING)]
    with pytest.raises(ShipmentCancelled):
        await world.store.booked(order_id, 1, "T-1")
    with pytest.raises(ShipmentCancelled):
        await world.store.refused(order_id, 1)
    assert await world.state(order_id) == "booking"


async def test_an_intent_and_the_fence_at_once_leave_no_intent_that_the_fence_did_not_see(world: World) -> None:
    for _ in range(20):
        order_id = new_order()
        outcome, doomed = await asyncio.gather(
            world.store.intend(order_id, 1, booking_key(order_id, 1), "swift"),
            world.store.fence(order_id, "race"),
            return_exceptions=True,
        )
        assert not isinstance(doomed, BaseException)
        assert bool(doomed) != isinstance(outcome, ShipmentCancelled)


async def test_the_fence_takes_any_reason(world: World) -> None:
    await world.store.fence(new_order(), "a\x00b\ud800")


async def test_a_cancelled_parcel_is_counted_once_and_only_if_it_was_booked(world: World) -> None:
    order_id = new_order()
    await world.booked(order_id, 1)
    await world.store.intend(order_id, 2, booking_key(order_id, 2), "swift")
    await world.store.fence(order_id, "customer")
    await world.store.cancelled(order_id, 1, was_booked=True)
    await world.store.cancelled(order_id, 2, was_booked=False)
    await world.store.cancelled(order_id, 2, was_booked=True)
    assert await world.store.count_cancelled(order_id) == 1
    assert await world.store.fence(order_id, "again") == []


async def test_pages_follow_each_other_by_order_id(world: World) -> None:
    for order_id in ("b", "a", "B", "c"):
        await world.store.fence(order_id, "test")
    first = await world.store.page("", 3)
    assert [shipment.order_id for shipment in first] == ["B", "a", "b"]
    assert [shipment.order_id for shipment in await world.store.page("b", 3)] == ["c"]


async def test_an_event_is_stored_once_however_often_and_parallel_it_comes(world: World) -> None:
    row = await world.booked(new_order())
    report = report_of(row, DeliveryState.PICKED_UP)
    news = await asyncio.gather(*(world.reports.add(report) for _ in range(8)))
    assert sum(news) == 1
    assert (await world.reports.sighting(row)).events == 1


async def test_two_carriers_may_use_the_same_event_id(world: World) -> None:
    swift, budget = await world.booked(new_order(), carrier="swift"), await world.booked(new_order(), carrier="budget")
    assert await world.reports.add(report_of(swift, DeliveryState.PICKED_UP, event_id="1"))
    assert await world.reports.add(report_of(budget, DeliveryState.PICKED_UP, event_id="1"))


async def test_another_carriers_report_moves_nothing(world: World) -> None:
    row = await world.booked(new_order(), carrier="swift")
    await world.reports.add(report_of(row, DeliveryState.LOST, carrier="budget"))
    assert (await world.reports.sighting(row)).state is DeliveryState.BOOKED


async def test_untold_news_names_the_trace_that_the_last_of_it_came_in(world: World) -> None:
    order_id = new_order()
    row = await world.booked(order_id)
    for state, span in ((DeliveryState.PICKED_UP, "1"), (DeliveryState.DELIVERED, "2")):
        with trace_context.continued(f"00-0af7651916cd43dd8448eb211c80319c-b7ad6b716920333{span}-01"):
            await world.reports.add(report_of(row, state))
    news = (await world.reports.untold())[order_id, 1]
    assert news.traceparent == "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203332-01"


async def test_untold_news_is_that_of_our_parcels_until_it_is_told(world: World) -> None:
    order_id = new_order()
    row = await world.booked(order_id)
    await world.reports.add(replace(report_of(row, DeliveryState.PICKED_UP), key="nobody's"))
    await world.reports.add(report_of(row, DeliveryState.IN_TRANSIT))
    untold = await world.reports.untold()
    assert list(untold) == [(order_id, 1)]
    await world.reports.add(report_of(row, DeliveryState.DELIVERED))
    await world.reports.mark_told(order_id, 1, untold[order_id, 1].seq)
    later = await world.reports.untold()
    assert later[order_id, 1].seq > untold[order_id, 1].seq
    await world.reports.mark_told(order_id, 1, later[order_id, 1].seq)
    assert await world.reports.untold() == {}


@given(arrivals=st.lists(st.tuples(st.sampled_from(DeliveryState), st.integers(1, 4)), min_size=1, max_size=10))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_events_in_any_order_with_repeats_never_move_a_parcel_backwards(
    world: World, arrivals: list[tuple[DeliveryState, int]]
) -> None:
    row = await world.booked(new_order())
    before = await world.reports.sighting(row)
    ids: set[str] = set()
    for state, number in arrivals:
        event_id = f"{row.order_id}-{number}"
        news = await world.reports.add(report_of(row, state, event_id=event_id))
        after = await world.reports.sighting(row)
        assert news == (event_id not in ids)
        assert RANK[after.state] >= RANK[before.state]
        if not news or before.state in FINAL_STATES:
            assert (after.state, after.at) == (before.state, before.at)
        ids.add(event_id)
        before = after
    assert before.events == len(ids)
