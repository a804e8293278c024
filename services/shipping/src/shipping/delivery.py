"""Where a parcel is, given all that was reported of it, in whatever order it came."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from shipping.contract import DeliveryState

RANK = {
    DeliveryState.BOOKED: 0,
    DeliveryState.PICKED_UP: 1,
    DeliveryState.IN_TRANSIT: 2,
    DeliveryState.DELIVERED: 3,
    DeliveryState.RETURNED: 3,
    DeliveryState.LOST: 3,
}
"""How far along a parcel is. The last states are equally far: the first of them to arrive stays."""


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that was reported of a parcel."""

    state: DeliveryState
    at: datetime
    """When it happened, as its source says."""
    expected_at: datetime | None = None
    """When the parcel is now expected to be delivered, if the source says so."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """Where a parcel is, as far as we know."""

    state: DeliveryState = DeliveryState.BOOKED
    at: datetime | None = None
    """When it got there; None while nothing was reported."""
    events: int = 0
    """How many reports there are: more than before is news, whatever they say."""
    promised_at: datetime | None = None
    """When it shall be delivered, by the newest word on that; None if nobody promised anything."""


@dataclass(frozen=True, slots=True)
class Progress:
    """What one run of a tracking workflow hands to the next."""

    seen: Sighting
    heard: datetime
    """When there was news last, by the workflow's clock."""
    asked: datetime
    """When the carrier was asked last, or there was news."""
    missed: datetime | None = None
    """The promise of which it was told that it passed without delivery."""

    @property
    def late(self) -> bool:
        """Whether the promise that stands was missed. One that is moved is not missed yet."""
        return self.missed is not None and self.missed == self.seen.promised_at


def fold(events: Iterable[Event], promised_at: datetime | None = None) -> Sighting:
    """Say where a parcel is.

    A later report of an earlier state changes nothing, and neither does a second report of the same state.

    Args:
        events: In the order in which they arrived.
        promised_at: What was promised before any of them.
    """
    arrived = list(events)
    if not arrived:
        return Sighting(promised_at=promised_at)
    # max keeps the first of equals.
    furthest = max(arrived, key=lambda event: RANK[event.state])
    for event in arrived:
        promised_at = event.expected_at or promised_at
    return Sighting(furthest.state, furthest.at, len(arrived), promised_at)
