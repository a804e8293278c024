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


def furthest(events: Iterable[Event]) -> Event | None:
    """The event that says where the parcel is.

    A later report of an earlier state changes nothing, and neither does a second report of the same state.

    Args:
        events: In the order in which they arrived.

    Returns:
        The first of those that are furthest along, or None if there are none.
    """
    # max keeps the first of equals.
    return max(events, key=lambda event: RANK[event.state], default=None)
