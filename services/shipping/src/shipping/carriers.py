"""The carriers' HTTP API, typed.

What can go wrong::

    CarrierError
    ├── CarrierUnavailable   no answer that says what happened: the outcome is unknown
    ├── NotServed            the carrier does not go there
    ├── BookingRefused       the carrier does not take the parcel
    └── KeyBurned            the booking's key was cancelled: it books nothing any more
"""

from datetime import UTC
from http import HTTPStatus
from typing import Annotated, Any, TypeVar
from urllib.parse import quote as url_quote

import aiohttp
from pydantic import AwareDatetime, BaseModel, Field, StringConstraints, ValidationError, field_validator

from chassis.http import HttpClient
from shipping.contract import Address, DeliveryState, Parcel

CALL_SECONDS = 5.0
"""How long a carrier may take for anything but a quote. Two calls and the database fit into one activity."""

Text = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
"""A carrier's name for something: no control characters, which PostgreSQL would not take."""

ModelT = TypeVar("ModelT", bound=BaseModel)


class CarrierError(Exception):
    """A carrier did not do what it was asked."""


class CarrierUnavailable(CarrierError):  # noqa: N818 - it names a state
    """The carrier gave no answer, or none that can be understood. What was asked may have taken effect."""


class NotServed(CarrierError):  # noqa: N818 - it names an answer
    """The carrier does not go there."""


class BookingRefused(CarrierError):  # noqa: N818 - it names an answer
    """The carrier does not take the parcel."""


class KeyBurned(CarrierError):  # noqa: N818 - it names an answer
    """The key was cancelled before: it books nothing any more."""


class CarrierEvent(BaseModel):
    """One thing that happened to a parcel, as a carrier reports it."""

    event_id: Text
    """Unique at the carrier."""
    state: DeliveryState
    at: AwareDatetime
    """When it happened."""
    expected_at: AwareDatetime | None = None
    """When the carrier now expects to deliver, if it says so."""

    @field_validator("at", "expected_at")
    @classmethod
    def _plausible(cls, at: AwareDatetime | None) -> AwareDatetime | None:
        # What is stored must be readable again in every time zone: dates at the ends of the calendar are not.
        if at is not None and not 2000 <= at.year < 3000:
            raise ValueError("the year is not between 2000 and 2999")
        return None if at is None else at.astimezone(UTC)


class FoundBooking(BaseModel):
    """What a carrier knows of a booking's key."""

    key: str
    status: str
    """``booked``, ``cancelled`` (it was booked) or ``burned`` (it never was)."""
    tracking_number: Text | None = None


class _Quote(BaseModel):
    price: int = Field(ge=0, strict=True)


class _Booked(BaseModel):
    tracking_number: Text


class _Cancellation(BaseModel):
    status: str


class _Shipment(BaseModel):
    events: tuple[CarrierEvent, ...]


class Carriers:
    """Client for all carriers behind one base URL."""

    def __init__(self, http: HttpClient, base_url: str, *, call_seconds: float = CALL_SECONDS) -> None:
        """Prepare; nothing connects yet.

        Args:
            http: The process's HTTP client.
            base_url: A carrier's name follows it.
            call_seconds: Time-out of each call but quotes.
        """
        self._http = http
        self._base = base_url.rstrip("/")
        self._timeout = call_seconds

    async def quote(self, carrier: str, parcel: Parcel, address: Address, currency: str, seconds: float) -> int:
        """Ask what a parcel would cost.

        Args:
            carrier: Whom to ask.
            parcel: What to carry.
            address: Whither; the carrier learns postcode and country only.
            currency: ISO 4217 code of the price.
            seconds: Time-out.

        Returns:
            The price in minor units.

        Raises:
            NotServed: If the carrier does not go there.
            CarrierUnavailable: If it gives no answer in time.
        """
        asked = {
            "weight": parcel.weight,
            "warehouse": parcel.warehouse,
            "postcode": address.postcode,
            "country": address.country,
            "currency": currency,
        }
        status, body = await self._call("POST", carrier, "quotes", body=asked, seconds=seconds)
        if status == HTTPStatus.UNPROCESSABLE_ENTITY:
            raise NotServed(_code(body))
        return _read(_Quote, carrier, status, body, HTTPStatus.OK).price

    async def book(self, carrier: str, key: str, order_id: str, parcel: Parcel, address: Address) -> str:
        """Book a parcel.

        Args:
            carrier: Who shall carry it.
            key: Idempotency key: a repeat gets the first answer.
            order_id: The carrier's reference.
            parcel: What to carry.
            address: Whither.

        Returns:
            The tracking number.

        Raises:
            BookingRefused: If the carrier does not take it.
            KeyBurned: If the key was cancelled.
            CarrierUnavailable: If the outcome is unknown.
        """
        asked = {
            "reference": order_id,
            "parcel": parcel.number,
            "weight": parcel.weight,
            "warehouse": parcel.warehouse,
            "address": {
                "name": address.name,
                "street": address.street,
                "city": address.city,
                "postcode": address.postcode,
                "country": address.country,
            },
        }
        status, body = await self._call("POST", carrier, "bookings", body=asked, headers={"Idempotency-Key": key})
        if status == HTTPStatus.CONFLICT:
            raise KeyBurned(_code(body))
        if status == HTTPStatus.UNPROCESSABLE_ENTITY:
            raise BookingRefused(_code(body))
        return _read(_Booked, carrier, status, body, HTTPStatus.CREATED).tracking_number

    async def find(self, carrier: str, key: str) -> FoundBooking | None:
        """Look up what became of a booking.

        Returns:
            What the carrier knows of the key; None if it never saw it.

        Raises:
            CarrierUnavailable: If it does not say.
        """
        status, body = await self._call("GET", carrier, f"bookings/{url_quote(key, safe='')}")
        if status == HTTPStatus.NOT_FOUND:
            return None
        return _read(FoundBooking, carrier, status, body, HTTPStatus.OK)

    async def cancel(self, carrier: str, key: str) -> bool:
        """Cancel a booking, or burn its key if there is none yet. Repeats do no harm.

        Returns:
            Whether there was a booking.

        Raises:
            CarrierUnavailable: If the outcome is unknown.
        """
        status, body = await self._call("POST", carrier, "cancellations", body={"key": key})
        return _read(_Cancellation, carrier, status, body, HTTPStatus.OK).status == "cancelled"

    async def events(self, carrier: str, tracking_number: str) -> tuple[CarrierEvent, ...] | None:
        """Ask what happened to a parcel so far.

        Returns:
            All events; None if the carrier does not know the number.

        Raises:
            CarrierUnavailable: If it does not say.
        """
        status, body = await self._call("GET", carrier, f"shipments/{url_quote(tracking_number, safe='')}")
        if status == HTTPStatus.NOT_FOUND:
            return None
        return _read(_Shipment, carrier, status, body, HTTPStatus.OK).events

    async def _call(
        self,
        method: str,
        carrier: str,
        path: str,
        *,
        body: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
        seconds: float | None = None,
    ) -> tuple[int, Any]:
        """One request.

        Returns:
            The status and the JSON body (None if it is no JSON).

        Raises:
            CarrierUnavailable: If there is no answer in time, or the carrier says that it is in trouble.
        """
        limit = self._timeout if seconds is None else seconds
        try:
            async with self._http.session.request(
                method,
                f"{self._base}/{url_quote(carrier, safe='')}/v1/{path}",
                json=body,
                headers=headers,
                timeout=aiohttp.ClientTimeout(total=limit),
                allow_redirects=False,
            ) as response:
                status = response.status
                try:
                    answer = await response.json(content_type=None)
                except ValueError:
                    answer = None
        except TimeoutError as error:
            raise CarrierUnavailable(f"{carrier} did not answer within {limit:g} s") from error
        except aiohttp.ClientError as error:
            raise CarrierUnavailable(f"{carrier} cannot be reached: {type(error).__name__}") from error
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status == HTTPStatus.TOO_MANY_REQUESTS:
            raise CarrierUnavailable(f"{carrier} answered {status} {_code(answer)}".rstrip())
        return status, answer


def _read(model: type[ModelT], carrier: str, status: int, body: Any, expected: HTTPStatus) -> ModelT:
    if status not in {expected, HTTPStatus.OK}:
        raise CarrierUnavailable(f"{carrier} answered {status} {_code(body)}".rstrip())
    try:
        return model.model_validate(body)
    except ValidationError as error:
        # The errors' places only: the body is a stranger's.
        places = ", ".join(".".join(map(str, item["loc"])) or "body" for item in error.errors())
        raise CarrierUnavailable(f"{carrier}'s answer cannot be understood: {places}") from error


def _code(body: Any) -> str:
    """The ``error`` member of a problem document, or nothing."""
    return str(body.get("error", ""))[:100] if isinstance(body, dict) else ""
