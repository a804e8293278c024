import pytest

from shipping.carriers import BookingRefused, CarrierUnavailable, KeyBurned, NotServed

from .fake_carriers import DOWN, EFFECT_THEN_HANG, GARBAGE, HANG, NOT_SERVED, REFUSED
from .world import ADDRESS, QUOTE_SECONDS, SHORT_CALL_SECONDS, SHORT_QUOTE_SECONDS, World, new_order, parcel


async def test_a_quote_is_a_price(world: World) -> None:
    assert await world.carriers.quote("budget", parcel(), ADDRESS, "EUR", QUOTE_SECONDS) == 600


async def test_a_carrier_that_does_not_go_there_says_so(world: World) -> None:
    world.outside.quote_fate["swift"] = NOT_SERVED
    with pytest.raises(NotServed, match="not_served"):
        await world.carriers.quote("swift", parcel(), ADDRESS, "EUR", QUOTE_SECONDS)


@pytest.mark.parametrize(
    ("fate", "said", "seconds"),
    [
        (DOWN, "swift answered 503 down", QUOTE_SECONDS),
        (HANG, "did not answer within", SHORT_QUOTE_SECONDS),
        (GARBAGE, "cannot be understood", QUOTE_SECONDS),
    ],
)
async def test_no_answer_that_can_be_used_is_no_answer(world: World, fate: str, said: str, seconds: float) -> None:
    world.outside.quote_fate["swift"] = fate
    with pytest.raises(CarrierUnavailable, match=said):
        await world.carriers.quote("swift", parcel(), ADDRESS, "EUR", seconds)


@pytest.mark.parametrize("price", [-1, 1.5, True, "600", None])
async def test_a_price_is_a_whole_number(world: World, price: object) -> None:
    world.outside.nonsense["swift"] = price
    with pytest.raises(CarrierUnavailable, match="cannot be understood: price"):
        await world.carriers.quote("swift", parcel(), ADDRESS, "EUR", QUOTE_SECONDS)


async def test_a_repeated_booking_gets_the_first_answer(world: World) -> None:
    order_id = new_order()
    numbers = {await world.carriers.book("swift", "key", order_id, parcel(), ADDRESS) for _ in range(2)}
    assert numbers == {f"swift-{order_id}-1"}
    assert world.outside.effects == {"key": 1}


@pytest.mark.parametrize("call_seconds", [SHORT_CALL_SECONDS])
async def test_a_booking_whose_answer_never_came_can_be_looked_up(world: World) -> None:
    world.outside.booking_fates = [EFFECT_THEN_HANG]
    key = f"shipment:{new_order()}/ü?:1:book"
    with pytest.raises(CarrierUnavailable, match="did not answer within"):
        await world.carriers.book("swift", key, "A-1", parcel(), ADDRESS)
    found = await world.carriers.find("swift", key)
    assert found is not None
    assert (found.key, found.status, found.tracking_number) == (key, "booked", "swift-A-1-1")


async def test_a_key_that_was_never_seen_is_not_found(world: World) -> None:
    assert await world.carriers.find("swift", "nothing") is None


async def test_a_refused_booking_is_told_from_a_burned_key(world: World) -> None:
    world.outside.booking_fates = [REFUSED]
    with pytest.raises(BookingRefused, match="refused"):
        await world.carriers.book("swift", "key", "A-1", parcel(), ADDRESS)
    assert await world.carriers.cancel("swift", "key") is False
    with pytest.raises(KeyBurned):
        await world.carriers.book("swift", "key", "A-1", parcel(), ADDRESS)


async def test_cancelling_twice_says_twice_that_there_was_a_booking(world: World) -> None:
    await world.carriers.book("swift", "key", "A-1", parcel(), ADDRESS)
    assert [await world.carriers.cancel("swift", "key") for _ in range(2)] == [True, True]


async def test_events_are_read_and_an_unknown_number_is_none(world: World) -> None:
    world.outside.events["T-1"] = [{"event_id": "e1", "state": "picked_up", "at": "2026-01-01T12:00:00Z"}]
    events = await world.carriers.events("swift", "T-1")
    assert events is not None
    assert [(event.event_id, event.state) for event in events] == [("e1", "picked_up")]
    assert await world.carriers.events("swift", "T-2") is None


@pytest.mark.parametrize(
    "event",
    [
        {"event_id": "e", "state": "eaten", "at": "2026-01-01T12:00:00Z"},
        {"event_id": "e", "state": "lost", "at": "2026-01-01T12:00:00"},
        {"event_id": "e", "state": "lost", "at": "0001-01-01T00:00:00+14:00"},
        {"event_id": "", "state": "lost", "at": "2026-01-01T12:00:00Z"},
        {"event_id": "a\x00", "state": "lost", "at": "2026-01-01T12:00:00Z"},
    ],
)
async def test_events_that_make_no_sense_are_no_answer(world: World, event: dict[str, str]) -> None:
    world.outside.events["T-1"] = [event]
    with pytest.raises(CarrierUnavailable, match="cannot be understood"):
        await world.carriers.events("swift", "T-1")


async def test_a_server_that_is_not_there_is_no_answer(world: World) -> None:
    world.carriers._base = "http://127.0.0.1:1"
    with pytest.raises(CarrierUnavailable, match="cannot be reached"):
        await world.carriers.find("swift", "key")
