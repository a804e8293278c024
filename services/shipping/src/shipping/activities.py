"""Shipping's side effects. Each may run twice and takes effect once."""

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from temporalio import activity
from temporalio.exceptions import ApplicationError

from shipping.carriers import BookingRefused, Carriers, CarrierUnavailable, KeyBurned, NotServed
from shipping.contract import Address, Booking, BookRequest, Cancelled, Parcel, Refusal, Undo, booking_key
from shipping.delivery import Sighting
from shipping.metrics import FAILED, NONE, OFFERED, ShippingMetrics
from shipping.reports import Report, Reports, Silence
from shipping.store import ParcelRow, ParcelState, ShipmentCancelled, Store

QUOTE_ATTEMPTS = 2
"""How often a carrier is asked for quotes."""

CARRIER_UNAVAILABLE = "carrier_unavailable"
"""Type of the retryable error for a carrier that gives no answer."""


@dataclass(frozen=True, slots=True)
class Terms:
    """How quotes are asked for; recorded in the workflow's history, since a workflow has no environment."""

    carriers: tuple[str, ...]
    seconds: float
    """Deadline of an attempt, for a carrier without one of its own."""
    own_seconds: dict[str, float] = field(default_factory=dict)
    """Deadlines by carrier."""

    def deadline(self, carrier: str) -> float:
        """Seconds that an attempt at a carrier may take."""
        return self.own_seconds.get(carrier, self.seconds)


@dataclass(frozen=True, slots=True)
class QuoteRequest:
    """Ask one carrier for all parcels of an order."""

    carrier: str
    currency: str
    parcels: tuple[Parcel, ...]
    address: Address
    seconds: float


@dataclass(frozen=True, slots=True)
class Quote:
    """What one carrier says to one parcel: a price, or why there is none."""

    parcel: int
    price: int | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Look:
    """Look where a parcel is."""

    order_id: str
    parcel: int


@dataclass(frozen=True, slots=True)
class Ask:
    """Ask the carrier about a parcel of which nothing was heard."""

    order_id: str
    parcel: int
    at: datetime
    """The workflow's time; names this silence."""
    silent_since: datetime
    events: int
    """How many events the workflow knows of."""
    give_up: bool
    """Whether the parcel counts as lost if the carrier has no news."""
    promised_at: datetime | None = None
    """The promise that passed without delivery, if that is why the carrier is asked."""


class Activities:
    """All activities, over what they need."""

    def __init__(
        self,
        store: Store,
        reports: Reports,
        carriers: Carriers,
        terms: Terms,
        metrics: ShippingMetrics,
        *,
        promise: timedelta | None = None,
    ) -> None:
        """Put together.

        Args:
            store: Bookings.
            reports: Events and silences.
            carriers: The world outside.
            terms: Which carriers are asked for quotes, and how long each may take.
            metrics: Count the quotes.
            promise: How long after its booking a parcel shall be delivered; None to promise nothing.
        """
        self._store = store
        self._reports = reports
        self._carriers = carriers
        self._terms = terms
        self._metrics = metrics
        self._promise = promise

    def all(self) -> list[Any]:
        """The bound methods, for a worker."""
        return [self.terms, self.quote, self.book, self.cancel, self.look, self.ask]

    @activity.defn(name="shipping.terms")
    async def terms(self) -> Terms:
        """Which carriers to ask, and for how long."""
        return self._terms

    @activity.defn(name="shipping.quote")
    async def quote(self, request: QuoteRequest) -> list[Quote]:
        """Ask one carrier for quotes, for all parcels side by side.

        Returns:
            One for each parcel. On the last attempt a parcel without an answer has none of its own, rather than
            taking the others' with it.

        Raises:
            ApplicationError: If the carrier does not answer for every parcel, and there is another attempt, or it
                answered for none.
        """
        quotes = await asyncio.gather(*(self._quote(request, parcel) for parcel in request.parcels))
        silent = [error for _, error in quotes if error is not None]
        last = activity.info().attempt >= QUOTE_ATTEMPTS
        if silent and (not last or len(silent) == len(quotes)):
            raise ApplicationError(str(silent[0]), type=CARRIER_UNAVAILABLE) from silent[0]
        return [quote for quote, _ in quotes]

    async def _quote(self, request: QuoteRequest, parcel: Parcel) -> tuple[Quote, CarrierUnavailable | None]:
        try:
            price = await self._carriers.quote(
                request.carrier, parcel, request.address, request.currency, request.seconds
            )
        except NotServed as refusal:
            self._metrics.quoted(request.carrier, NONE)
            return Quote(parcel.number, None, str(refusal) or "not_served"), None
        except CarrierUnavailable as error:
            self._metrics.quoted(request.carrier, FAILED)
            return Quote(parcel.number, None, str(error)), error
        self._metrics.quoted(request.carrier, OFFERED)
        return Quote(parcel.number, price), None

    @activity.defn(name="shipping.book")
    async def book(self, request: BookRequest) -> Booking:
        """Book a parcel: the intent first, then the carrier by key, then the record.

        Where the carrier may have heard of the key already (an attempt before this one died or timed out), it is
        asked what became of it before anything is repeated.

        Raises:
            ApplicationError: ``booking_refused`` or ``shipment_cancelled``, not retryable; else retryable.
        """
        planned = request.planned
        order_id, number = request.order_id, planned.parcel.number
        if planned.carrier not in self._terms.carriers and await self._store.parcel(order_id, number) is None:
            raise _refuse(Refusal.BOOKING_REFUSED, f"there is no carrier {planned.carrier}")
        try:
            intent, fresh = await self._store.intend(
                order_id, number, booking_key(order_id, number), planned.carrier, planned.parcel.warehouse
            )
            tracking_number, promised_at = intent.tracking_number, intent.promised_at
            if intent.state is ParcelState.REFUSED:
                raise BookingRefused("refused before")  # noqa: TRY301 - the same end as a refusal now
            if tracking_number is None:
                tracking_number = None if fresh else await self._find(intent)
                if tracking_number is None:
                    tracking_number = await self._carriers.book(
                        intent.carrier, intent.key, order_id, planned.parcel, request.address
                    )
                promised_at = None if self._promise is None else datetime.now(UTC) + self._promise
                await self._store.booked(order_id, number, tracking_number, promised_at)
        except (ShipmentCancelled, KeyBurned) as error:
            raise _refuse(Refusal.SHIPMENT_CANCELLED, f"the shipment of {order_id} is cancelled") from error
        except BookingRefused as error:
            raise await self._refused(order_id, number, planned.carrier, str(error)) from error
        except CarrierUnavailable as error:
            raise ApplicationError(str(error), type=CARRIER_UNAVAILABLE) from error
        return Booking(order_id, number, intent.carrier, tracking_number, promised_at)

    async def _find(self, intent: ParcelRow) -> str | None:
        """The tracking number that an earlier attempt got, or None if the carrier never saw the key.

        Raises:
            KeyBurned: If the key was cancelled.
        """
        found = await self._carriers.find(intent.carrier, intent.key)
        if found is None:
            return None
        if found.status != "booked":
            raise KeyBurned(found.status)
        return found.tracking_number

    async def _refused(self, order_id: str, parcel: int, carrier: str, reason: str) -> ApplicationError:
        try:
            await self._store.refused(order_id, parcel)
        except ShipmentCancelled:
            return _refuse(Refusal.SHIPMENT_CANCELLED, f"the shipment of {order_id} is cancelled")
        return _refuse(Refusal.BOOKING_REFUSED, f"{carrier} does not take parcel {parcel}: {reason}")

    @activity.defn(name="shipping.cancel")
    async def cancel(self, undo: Undo) -> Cancelled:
        """Put up the order's fence, then tell the carrier of each booking or intent by its key.

        A booking that is under way meanwhile finds its key burned at the carrier, or is cancelled there.

        Raises:
            ApplicationError: If a carrier was not told; retryable. Those that were told are not told again.
        """
        doomed = await self._store.fence(undo.order_id, undo.reason)
        results = await asyncio.gather(*(self._cancel(parcel) for parcel in doomed), return_exceptions=True)
        failures = [result for result in results if isinstance(result, BaseException)]
        for failure in failures:
            if isinstance(failure, CarrierUnavailable):
                continue
            raise failure
        if failures:
            raise ApplicationError(str(failures[0]), type=CARRIER_UNAVAILABLE) from failures[0]
        return Cancelled(undo.order_id, await self._store.count_cancelled(undo.order_id))

    async def _cancel(self, parcel: ParcelRow) -> None:
        was_booked = await self._carriers.cancel(parcel.carrier, parcel.key)
        await self._store.cancelled(parcel.order_id, parcel.parcel, was_booked=was_booked)

    @activity.defn(name="shipping.look")
    async def look(self, request: Look) -> Sighting:
        """Where a parcel is, by what is stored.

        Raises:
            ApplicationError: ``not_booked`` or ``shipment_cancelled``, not retryable.
        """
        return await self._reports.sighting(await self._tracked(request.order_id, request.parcel))

    @activity.defn(name="shipping.ask")
    async def ask(self, request: Ask) -> Sighting:
        """Ask the carrier about a parcel that is silent or late, store what it says, and record the silence.

        A carrier that does not answer is part of the record, and no reason to wait: it is asked again after the next
        silence.

        Returns:
            Where the parcel is now.

        Raises:
            ApplicationError: ``not_booked`` or ``shipment_cancelled``, not retryable.
        """
        parcel = await self._tracked(request.order_id, request.parcel)
        detail, reports = await self._inquire(parcel)
        activity.logger.warning(
            "nothing was heard of a parcel" if request.promised_at is None else "a parcel is late",
            extra={"order_id": parcel.order_id, "parcel": parcel.parcel},
        )
        return await self._reports.record_silence(
            parcel,
            Silence(request.at, request.silent_since, detail, request.promised_at),
            reports,
            give_up_at=request.events if request.give_up else None,
        )

    async def _inquire(self, parcel: ParcelRow) -> tuple[str, list[Report]]:
        number = parcel.tracking_number or ""
        try:
            events = await self._carriers.events(parcel.carrier, number)
        except CarrierUnavailable as error:
            return str(error), []
        if events is None:
            return f"{parcel.carrier} does not know {number}", []
        return f"{parcel.carrier} names {len(events)} events", [
            Report(parcel.carrier, event.event_id, parcel.key, number, event.state, event.at, event.expected_at)
            for event in events
        ]

    async def _tracked(self, order_id: str, number: int) -> ParcelRow:
        parcel, is_cancelled = await self._store.tracked(order_id, number)
        if is_cancelled:
            raise _refuse(Refusal.SHIPMENT_CANCELLED, f"the shipment of {order_id} is cancelled")
        if parcel is None or parcel.state is not ParcelState.BOOKED:
            raise _refuse(Refusal.NOT_BOOKED, f"parcel {number} of {order_id} is not booked")
        return parcel


def _refuse(refusal: Refusal, message: str) -> ApplicationError:
    return ApplicationError(message, type=refusal, non_retryable=True)
