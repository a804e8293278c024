"""The carriers' calls back: one for each event of a parcel, signed, repeated until it is taken.

What a carrier will tell is written at the booking, in the booking's transaction, and kept until the receiver has
answered 2xx: a call may be repeated, it is never forgotten. A parcel's events are called in their order, each after
the one before it was taken; parcels do not wait for one another.
"""

import asyncio
import hashlib
import hmac
import json
import logging
import sqlite3
import time
import uuid
from collections.abc import Iterable
from http import HTTPStatus

import aiohttp
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from pydantic import SecretStr

from sandbox.state import State
from sandbox.wire import moment

logger = logging.getLogger(__name__)

SIGNATURE_HEADER = "X-Waybill-Signature"
CALL_SECONDS = 10
"""Time-out of one call."""
FIRST_BACKOFF_SECONDS = 0.25
"""Pause after the first call that was not taken; it doubles with each."""
LONGEST_BACKOFF_SECONDS = 5
"""Short, for a receiver that comes back shall not wait for its events."""
CALLS_AT_ONCE = 20
_CONTEXT = TraceContextTextMapPropagator()

_NEXT = """
    FROM shipment_events e WHERE e.pending = 1 AND NOT EXISTS (
        SELECT 1 FROM shipment_events earlier WHERE earlier.carrier = e.carrier
        AND earlier.booking_key = e.booking_key AND earlier.number < e.number AND earlier.pending = 1)
"""


def schedule(
    transaction: sqlite3.Connection,
    carrier: str,
    booking_key: str,
    tracking_number: str,
    journey: Iterable[tuple[str, float]],
    *,
    pending: bool,
) -> None:
    """Write down what will happen to a parcel.

    Args:
        transaction: That of the booking.
        carrier: Who carries it.
        booking_key: Idempotency key of the booking.
        tracking_number: The carrier's name for it.
        journey: Each state with its time in seconds since 1970.
        pending: Whether the events are to be called back.
    """
    headers: dict[str, str] = {}
    _CONTEXT.inject(headers)
    traceparent = headers.get("traceparent")
    transaction.executemany(
        "INSERT INTO shipment_events VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0, ?, ?)",
        [
            (
                f"evt_{uuid.uuid4().hex}",
                carrier,
                booking_key,
                tracking_number,
                number,
                state,
                due,
                pending,
                due,
                traceparent,
            )
            for number, (state, due) in enumerate(journey, 1)
        ],
    )


def call_off(transaction: sqlite3.Connection, carrier: str, booking_key: str, now: float) -> None:
    """Let nothing more happen to a parcel, and nothing more be told of it.

    Args:
        transaction: That of the cancellation.
        carrier: Who carries it.
        booking_key: Idempotency key of the booking.
        now: Seconds since 1970; what happened before stays.
    """
    where = "WHERE carrier = ? AND booking_key = ?"
    transaction.execute(f"DELETE FROM shipment_events {where} AND due > ?", (carrier, booking_key, now))  # noqa: S608
    transaction.execute(f"UPDATE shipment_events SET pending = 0 {where}", (carrier, booking_key))  # noqa: S608


def sign(secret: SecretStr, body: bytes) -> str:
    """The signature of a call.

    Args:
        secret: Shared with the receiver.
        body: The raw body.

    Returns:
        ``sha256=`` and the HMAC in hexadecimal.
    """
    return f"sha256={hmac.new(secret.get_secret_value().encode(), body, hashlib.sha256).hexdigest()}"


class Callbacks:
    """Makes the calls that are due."""

    def __init__(self, state: State, url: str | None, secret: SecretStr | None) -> None:
        """Nothing is called before ``run``.

        Args:
            state: Where the events are.
            url: Base URL of the receiver; none where nobody is called.
            secret: What signs the calls.
        """
        self._state = state
        self._receiver = (url.rstrip("/"), secret) if url is not None and secret is not None else None
        self._woken = asyncio.Event()

    @property
    def enabled(self) -> bool:
        """Whether there is anyone to call."""
        return self._receiver is not None

    def wake(self) -> None:
        """There may be an event that is due earlier than all that were known."""
        self._woken.set()

    async def run(self) -> None:
        """Make the calls, as they become due, until cancelled."""
        if self._receiver is None:
            return
        url, secret = self._receiver
        timeout = aiohttp.ClientTimeout(total=CALL_SECONDS)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            while True:
                self._woken.clear()
                due, wait = self._due(time.time())
                async with asyncio.TaskGroup() as group:
                    for event in due:
                        group.create_task(self._call_traced(session, url, secret, event))
                if not due:
                    await self._sleep(wait)

    async def _sleep(self, seconds: float | None) -> None:
        try:
            await asyncio.wait_for(self._woken.wait(), seconds)
        except TimeoutError:
            return

    def _due(self, now: float) -> tuple[list[sqlite3.Row], float | None]:
        """The events to call now, and seconds until the next one (none known: None)."""
        with self._state.transaction() as transaction:
            due = transaction.execute(
                f"SELECT e.* {_NEXT} AND e.next_call <= ? ORDER BY e.next_call LIMIT ?",
                (now, CALLS_AT_ONCE),
            ).fetchall()
            (following,) = transaction.execute(f"SELECT min(e.next_call) {_NEXT}").fetchone()
        return due, None if following is None else max(0.0, following - now)

    async def _call_traced(
        self, session: aiohttp.ClientSession, url: str, secret: SecretStr, event: sqlite3.Row
    ) -> None:
        """Call in a trace of its own, linked to that of the booking: it may be days later."""
        booked = trace.get_current_span(
            _CONTEXT.extract({"traceparent": event["traceparent"] or ""})
        ).get_span_context()
        links = [trace.Link(booked)] if booked.is_valid else []
        tracer = trace.get_tracer("sandbox")
        # The task's context is that of whoever made the first booking: a trace begins here.
        with tracer.start_as_current_span(
            f"callback {event['carrier']} {event['state']}",
            context=Context(),
            kind=trace.SpanKind.PRODUCER,
            links=links,
            attributes={"event_id": event["event_id"], "carrier": event["carrier"], "state": event["state"]},
        ):
            await self._call(session, url, secret, event)

    async def _call(self, session: aiohttp.ClientSession, url: str, secret: SecretStr, event: sqlite3.Row) -> None:
        body = json.dumps(
            {
                "event_id": event["event_id"],
                "reference": event["booking_key"],
                "tracking_number": event["tracking_number"],
                "state": event["state"],
                "at": moment(event["due"]),
            }
        ).encode()
        headers = {"Content-Type": "application/json", SIGNATURE_HEADER: sign(secret, body)}
        try:
            async with session.post(
                f"{url}/webhooks/carriers/{event['carrier']}", data=body, headers=headers, allow_redirects=False
            ) as answer:
                taken, outcome = HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES, str(answer.status)
        except (aiohttp.ClientError, TimeoutError) as error:
            taken, outcome = False, type(error).__name__
        attempts = event["attempts"] + 1
        if not taken:
            logger.warning(
                "a carrier's call was not taken",
                extra={"event_id": event["event_id"], "carrier": event["carrier"], "attempts": attempts}
                | {"outcome": outcome},
            )
        with self._state.transaction() as transaction:
            transaction.execute(
                "UPDATE shipment_events SET pending = pending AND ?, attempts = ?, next_call = ? WHERE event_id = ?",
                (not taken, attempts, time.time() + backoff(attempts), event["event_id"]),
            )


def backoff(attempts: int) -> float:
    """Seconds to wait after so many calls that were not taken."""
    return min(LONGEST_BACKOFF_SECONDS, FIRST_BACKOFF_SECONDS * 2.0 ** min(attempts - 1, 16))
