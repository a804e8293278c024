"""What a test has at hand, and makers of requests."""

import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from temporalio.api.history.v1 import HistoryEvent

from chassis.database import Database
from chassis.testing.waiting import eventually
from shipping import contract
from shipping.activities import Activities
from shipping.carriers import Carriers
from shipping.metrics import ShippingMetrics
from shipping.picks import Picks
from shipping.reports import Report, Reports
from shipping.store import ParcelRow, Store

from .fake_carriers import FakeCarriers

CARRIERS = ("swift", "steady", "budget")
CALL_SECONDS = 5.0
QUOTE_SECONDS = 10.0
"""Time-outs of requests to the fake carriers, which answer at once or never."""
SHORT_CALL_SECONDS = 1.0
SHORT_QUOTE_SECONDS = 0.5
"""The same where a test has a carrier hang, and waits until it is given up."""

ADDRESS = contract.Address("Ada Lovelace", "1 Engine Street", "London", "N1 9GU", "GB")
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@dataclass
class World:
    database: Database
    store: Store
    reports: Reports
    outside: FakeCarriers
    carriers: Carriers
    activities: Activities
    picks: Picks
    metrics: ShippingMetrics

    async def booked(
        self,
        order_id: str,
        parcel: int = 1,
        carrier: str = "budget",
        promised_at: datetime | None = None,
        warehouse: str = "north",
    ) -> ParcelRow:
        """A parcel that its carrier took."""
        key = contract.booking_key(order_id, parcel)
        await self.store.intend(order_id, parcel, key, carrier, warehouse)
        await self.store.booked(order_id, parcel, f"T-{order_id}-{parcel}", promised_at)
        row = await self.store.parcel(order_id, parcel)
        assert row is not None
        return row

    async def state(self, order_id: str, parcel: int = 1) -> str | None:
        row = await self.store.parcel(order_id, parcel)
        return None if row is None else row.state


def new_order() -> str:
    return f"order-{uuid.uuid4().hex[:12]}"


def parcel(number: int = 1, weight: int = 1500) -> contract.Parcel:
    return contract.Parcel(number, "north", weight)


def plan_request(order_id: str, *parcels: contract.Parcel) -> contract.PlanRequest:
    return contract.PlanRequest(order_id, "EUR", parcels or (parcel(),), ADDRESS)


def book_request(order_id: str, number: int = 1, carrier: str = "budget") -> contract.BookRequest:
    return contract.BookRequest(order_id, contract.PlannedParcel(parcel(number), carrier, 600), ADDRESS)


def report_of(
    row: ParcelRow,
    state: contract.DeliveryState,
    *,
    event_id: str | None = None,
    carrier: str | None = None,
    expected_at: datetime | None = None,
) -> Report:
    return Report(
        carrier=carrier or row.carrier,
        event_id=event_id or uuid.uuid4().hex,
        key=row.key,
        tracking_number=row.tracking_number or "",
        state=state,
        at=NOON,
        expected_at=expected_at,
    )


async def until(check: Callable[[], Awaitable[bool]]) -> None:
    """Waits until something is so."""
    so: bool = await eventually(check)
    assert so


def is_done(event: HistoryEvent) -> bool:
    """Whether an activity ended well here, an ordinary one or a local one."""
    return event.HasField("activity_task_completed_event_attributes") or (
        event.marker_recorded_event_attributes.marker_name == "core_local_activity"
        and not event.marker_recorded_event_attributes.HasField("failure")
    )
