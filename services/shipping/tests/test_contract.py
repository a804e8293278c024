from collections.abc import Callable

import pytest

from shipping import contract

from .world import ADDRESS, book_request, parcel, plan_request


@pytest.mark.parametrize(
    "make",
    [
        lambda: contract.Parcel(0, "north", 1),
        lambda: contract.Parcel(contract.MAX_PARCELS + 1, "north", 1),
        lambda: contract.Parcel(1, "north", 0),
        lambda: contract.Parcel(1, "", 1),
        lambda: contract.PlanRequest("A-1", "EUR", (), ADDRESS),
        lambda: plan_request("A-1", parcel(1), parcel(1)),
        lambda: contract.PlanRequest("A-1", "EUR", tuple(parcel(1 + n) for n in range(21)), ADDRESS),
        lambda: plan_request(""),
        lambda: plan_request("A\x00"),
        lambda: book_request("A\n1"),
        lambda: book_request("A" * 201),
        lambda: book_request("A-1", carrier=""),
        lambda: contract.Undo("", "why not"),
        lambda: contract.TrackRequest("A-1", 0),
        lambda: contract.TrackRequest("A-1", 21),
        lambda: contract.TrackRequest("A-1", 1, silence_seconds=0),
        lambda: contract.TrackRequest("A-1", 1, lost_seconds=contract.MAX_SECONDS + 1),
        lambda: contract.TrackRequest("\x7f", 1),
    ],
)
def test_nonsense_cannot_be_asked_for(make: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match=r"."):
        make()


def test_ids_and_keys_are_what_they_always_were() -> None:
    assert contract.plan_id("A-1") == "plan:A-1"
    assert contract.book_id("A-1", 2) == "book:A-1:2"
    assert contract.cancel_id("A-1") == "cancel:A-1"
    assert contract.track_id("A-1", 2) == "track:A-1:2"
    assert contract.booking_key("A-1", 2) == "shipment:A-1:2:book"
