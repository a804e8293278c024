from datetime import timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from shipping.contract import FINAL_STATES, DeliveryState
from shipping.delivery import RANK, Event, Sighting, fold

from .world import NOON

EVENTS = st.lists(
    st.builds(
        Event,
        st.sampled_from(DeliveryState),
        st.integers(min_value=0, max_value=10**6).map(lambda seconds: NOON + timedelta(seconds=seconds)),
    ),
    max_size=12,
)


def test_a_parcel_of_which_nothing_was_reported_is_booked() -> None:
    assert fold([]) == Sighting(DeliveryState.BOOKED, None, 0)


@given(EVENTS)
def test_no_report_moves_a_parcel_backwards(events: list[Event]) -> None:
    seen = [fold(events[:count]) for count in range(len(events) + 1)]
    for before, after in pairwise(seen):
        assert RANK[after.state] >= RANK[before.state]
        assert after.events == before.events + 1
        if before.state in FINAL_STATES or after.state == before.state:
            assert (after.state, after.at) == (before.state, before.at or after.at)


@given(st.permutations([DeliveryState.BOOKED, DeliveryState.PICKED_UP, DeliveryState.IN_TRANSIT]), st.data())
def test_the_order_of_arrival_does_not_matter(states: list[DeliveryState], data: st.DataObject) -> None:
    last = data.draw(st.sampled_from(sorted(FINAL_STATES)))
    repeats = data.draw(st.lists(st.sampled_from([*states, last]), max_size=5))
    arrived = data.draw(st.permutations([*states, last, *repeats]))
    assert fold(Event(state, NOON) for state in arrived).state == last


@given(EVENTS)
def test_the_state_is_one_that_was_reported_with_its_own_time(events: list[Event]) -> None:
    seen = fold(events)
    if events:
        assert Event(seen.state, seen.at or NOON) in events


def test_every_state_has_a_rank_and_the_last_ones_the_highest() -> None:
    assert set(RANK) == set(DeliveryState)
    assert {state for state, rank in RANK.items() if rank == max(RANK.values())} == FINAL_STATES


def test_the_newest_word_on_the_delivery_is_the_promise() -> None:
    first, moved = Event(DeliveryState.PICKED_UP, NOON), Event(DeliveryState.IN_TRANSIT, NOON, NOON + timedelta(days=9))
    assert fold([], NOON).promised_at == NOON
    assert fold([first], NOON).promised_at == NOON
    assert fold([moved, first], NOON).promised_at == NOON + timedelta(days=9)
    assert fold([first]).promised_at is None
