"""What shipping counts: what carriers said and did, and picks, once each."""

from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Counter

from chassis.metrics import OTHER, listed, primed
from shipping.contract import DeliveryState
from shipping.picking import Outcome

OFFERED, NONE, FAILED = "offered", "none", "failed"
BOOKED, REFUSED, CANCELLED = "booked", "refused", "cancelled"
OURS = "waybill"
"""In a carrier's place: a parcel that we gave up."""
EVENTS = tuple(state for state in DeliveryState if state is not DeliveryState.BOOKED)
"""What can happen to a parcel that is booked."""


class ShippingMetrics:
    """Shipping's own metrics, in a registry of their own. See ``docs/telemetry.md``."""

    def __init__(self, carriers: Sequence[str]) -> None:
        """Make them, those of known carriers at 0.

        Args:
            carriers: The known ones. A webhook can name any, and a booking one that is no longer asked.
        """
        self.registry = registry = CollectorRegistry()
        self._carriers = (*carriers, OURS)
        named = (*carriers, OTHER)
        self._quotes = primed(
            Counter(
                "carrier_quotes",
                "Quotes for a parcel that carriers were asked for, by what they said.",
                ["carrier", "result"],
                registry=registry,
            ),
            named,
            [OFFERED, NONE, FAILED],
        )
        self._shipments = primed(
            Counter(
                "shipments", "Bookings of parcels by what became of them.", ["carrier", "result"], registry=registry
            ),
            named,
            [BOOKED, REFUSED, CANCELLED],
        )
        self._events = primed(
            Counter("carrier_events", "Events of parcels that were news.", ["carrier", "event"], registry=registry),
            named,
            EVENTS,
        )
        self._events.labels(OURS, DeliveryState.LOST)
        self._picks = primed(
            Counter("picks", "Pick tasks by what became of them.", ["result"], registry=registry), list(Outcome)
        )

    def quoted(self, carrier: str, result: str) -> None:
        """A carrier was asked for a quote."""
        self._quotes.labels(listed(carrier, self._carriers), result).inc()

    def shipment(self, carrier: str, result: str) -> None:
        """Something became of a booking."""
        self._shipments.labels(listed(carrier, self._carriers), result).inc()

    def event(self, carrier: str, event: DeliveryState) -> None:
        """A carrier told something that was news."""
        self._events.labels(listed(carrier, self._carriers), listed(event, EVENTS)).inc()

    def picked(self, outcome: Outcome) -> None:
        """Something became of a pick task."""
        self._picks.labels(outcome).inc()
