"""The card gateway: authorise, void, capture, refund; a card's token is its fate.

An authorisation is named by its idempotency key. A void tells the gateway that key, known or not, and burns it: an
authorisation that arrives later does nothing.
"""

import re
import sqlite3
import time
import uuid
from typing import Any

from aiohttp import web
from pydantic import Field, field_validator

from chassis.problems import read_json
from sandbox.ledger import count_request, record_effect
from sandbox.state import State
from sandbox.wire import (
    Answer,
    Body,
    Currency,
    Key,
    Pauses,
    Text,
    digest,
    idempotency_key,
    key_burned,
    key_reused,
    refusal,
)

PROVIDER = "gateway"
MAX_AMOUNT = 10**11
NO_CURRENCY = "XXX"
"""ISO 4217's code for no currency, of a key that was burned before it was used."""

OK = "tok_ok"
TIMEOUT_AFTER_CHARGE = "tok_timeout_after_charge"
TIMEOUT_AFTER_CAPTURE = "tok_timeout_after_capture"
TIMEOUT_BEFORE_CHARGE = "tok_timeout_before_charge"
ERROR_ONCE = "tok_error_once"
LAPSED = "tok_lapsed"
CARDS = frozenset({OK, TIMEOUT_AFTER_CHARGE, TIMEOUT_AFTER_CAPTURE, TIMEOUT_BEFORE_CHARGE, ERROR_ONCE, LAPSED})
"""Tokens of cards that can be charged, sooner or later."""
DECLINES = {"tok_declined": "do_not_honour", "tok_insufficient": "insufficient_funds"}
UNKNOWN_CARD = "unknown_card"

_CARD_NUMBER = re.compile(r"\d(?:[ .-]?\d){12,18}")
_FIRST_STATUS = {"authorisation": "authorised", "capture": "captured", "refund": "refunded"}


class AuthorisationBody(Body):
    """Set an amount aside on a card."""

    amount: int = Field(ge=1, le=MAX_AMOUNT)
    """Minor units."""
    currency: Currency
    card_token: Text
    reference: Text
    """The order's id."""

    @field_validator("card_token")
    @classmethod
    def _is_no_card_number(cls, token: str) -> str:
        if _CARD_NUMBER.fullmatch(token.strip()):
            raise ValueError("is a card number; only tokens are taken here")
        return token


class VoidBody(Body):
    """Set an authorised amount free, and burn its key."""

    key: Key
    """Idempotency key of the authorisation."""


class CaptureBody(Body):
    """Take an authorised amount."""

    authorisation_key: Key


class RefundBody(Body):
    """Pay a captured amount back."""

    capture_key: Key


class Gateway:
    """The gateway's books."""

    def __init__(self, state: State, pauses: Pauses) -> None:
        """The gateway in a database.

        Args:
            state: The database.
            pauses: How lost answers wait.
        """
        self._state = state
        self._pauses = pauses

    def routes(self) -> list[web.RouteDef]:
        """Everything under ``/gateway/v1``."""
        return [
            web.post("/gateway/v1/authorisations", self._post_authorisation),
            web.get("/gateway/v1/operations/{key:.+}", self._get_operation),
            web.post("/gateway/v1/voids", self._post_void),
            web.post("/gateway/v1/captures", self._post_capture),
            web.post("/gateway/v1/refunds", self._post_refund),
        ]

    def authorise(self, key: str, body: AuthorisationBody) -> Answer:
        """Set an amount aside, or decline to. A repeat gets the first answer."""
        with self._state.transaction() as transaction:
            count_request(transaction, PROVIDER, "authorisation", key)
            known = _find(transaction, key)
            if known is not None:
                return _repeated(known, "authorisation", digest(body))
            return _authorise(transaction, key, body)

    def look_up(self, key: str) -> Answer:
        """What became of a key."""
        with self._state.transaction() as transaction:
            known = _find(transaction, key)
        if known is None:
            return refusal(404, "unknown_key", "Nothing happened under this key.")
        return Answer(200, _document(known) | {"reason": known["reason"]})

    def void(self, key: str) -> Answer:
        """Set an authorised amount free; burn the key in any case."""
        with self._state.transaction() as transaction:
            count_request(transaction, PROVIDER, "void", key)
            known = _find(transaction, key)
            if known is None:
                _add(transaction, key, "authorisation", "burned")
                return Answer(200, {"status": "burned", "amount": 0})
            if known["kind"] != "authorisation":
                return refusal(422, "not_an_authorisation", "Only an authorisation can be voided.")
            if known["status"] == "captured":
                return refusal(409, "captured", "The amount was captured; it can be refunded.")
            if known["status"] == "authorised":
                _mark(transaction, key, "voided")
                record_effect(transaction, PROVIDER, "void", key, order_id=known["reference"], amount=known["amount"])
                return Answer(200, {"status": "voided", "amount": known["amount"]})
            if known["status"] == "voided":
                return Answer(200, {"status": "voided", "amount": known["amount"]})
            _mark(transaction, key, "burned")  # it was declined, or is burned already
            return Answer(200, {"status": "burned", "amount": 0})

    def capture(self, key: str, body: CaptureBody) -> Answer:
        """Take an authorised amount. A repeat gets the first answer."""
        with self._state.transaction() as transaction:
            count_request(transaction, PROVIDER, "capture", key)
            known = _find(transaction, key)
            if known is not None:
                return _repeated(known, "capture", digest(body))
            parent = _find(transaction, body.authorisation_key)
            if parent is None or parent["kind"] != "authorisation" or parent["status"] in ("burned", "declined"):
                return refusal(404, "unknown_authorisation", "Nothing was authorised under this key.")
            if parent["status"] == "voided":
                return refusal(409, "voided", "The authorisation was voided.")
            if parent["status"] == "captured":
                return refusal(409, "captured", "The authorisation was captured under another key.")
            if parent["token"] == LAPSED:
                _add(
                    transaction,
                    key,
                    "capture",
                    "declined",
                    of=parent,
                    digest_of_body=digest(body),
                    reason="authorisation_lapsed",
                )
                return _declined("authorisation_lapsed")
            _add(transaction, key, "capture", "captured", of=parent, digest_of_body=digest(body))
            _mark(transaction, parent["key"], "captured")
            record_effect(transaction, PROVIDER, "capture", key, order_id=parent["reference"], amount=parent["amount"])
            return _created(transaction, key, lost=parent["token"] == TIMEOUT_AFTER_CAPTURE)

    def refund(self, key: str, body: RefundBody) -> Answer:
        """Pay a captured amount back. A repeat gets the first answer."""
        with self._state.transaction() as transaction:
            count_request(transaction, PROVIDER, "refund", key)
            known = _find(transaction, key)
            if known is not None:
                return _repeated(known, "refund", digest(body))
            parent = _find(transaction, body.capture_key)
            if parent is None or parent["kind"] != "capture" or parent["status"] == "declined":
                return refusal(404, "unknown_capture", "Nothing was captured under this key.")
            if parent["status"] == "refunded":
                return refusal(409, "refunded", "The capture was refunded under another key.")
            _add(transaction, key, "refund", "refunded", of=parent, digest_of_body=digest(body))
            _mark(transaction, parent["key"], "refunded")
            record_effect(transaction, PROVIDER, "refund", key, order_id=parent["reference"], amount=parent["amount"])
            return _created(transaction, key)

    async def _post_authorisation(self, request: web.Request) -> web.Response:
        key = idempotency_key(request)
        return await self._pauses.send(self.authorise(key, await read_json(request, AuthorisationBody)))

    async def _get_operation(self, request: web.Request) -> web.Response:
        return self.look_up(request.match_info["key"]).response()

    async def _post_void(self, request: web.Request) -> web.Response:
        return self.void((await read_json(request, VoidBody)).key).response()

    async def _post_capture(self, request: web.Request) -> web.Response:
        key = idempotency_key(request)
        return await self._pauses.send(self.capture(key, await read_json(request, CaptureBody)))

    async def _post_refund(self, request: web.Request) -> web.Response:
        key = idempotency_key(request)
        return await self._pauses.send(self.refund(key, await read_json(request, RefundBody)))


def _authorise(transaction: sqlite3.Connection, key: str, body: AuthorisationBody) -> Answer:
    """The answer to a key that is new, or that its card's fate has kept new."""
    token = body.card_token
    if token == TIMEOUT_BEFORE_CHARGE and _first_time(transaction, key, token):
        return refusal(504, "timeout", "The bank did not answer.", lost=True)
    if token == ERROR_ONCE and _first_time(transaction, key, token):
        return refusal(500, "internal_error", "Something broke; nothing was charged.")
    order = {"reference": body.reference, "amount": body.amount, "currency": body.currency}
    if token not in CARDS:
        reason = DECLINES.get(token, UNKNOWN_CARD)
        _add(transaction, key, "authorisation", "declined", of=order, digest_of_body=digest(body), reason=reason)
        return _declined(reason)
    _add(transaction, key, "authorisation", "authorised", of=order, digest_of_body=digest(body), token=token)
    record_effect(transaction, PROVIDER, "authorisation", key, order_id=body.reference, amount=body.amount)
    return _created(transaction, key, lost=token == TIMEOUT_AFTER_CHARGE)


def _repeated(known: sqlite3.Row, kind: str, digest_of_body: str) -> Answer:
    """The answer to a key that came before."""
    if known["status"] in ("burned", "voided"):
        return key_burned()
    if known["kind"] != kind or known["digest"] != digest_of_body:
        return key_reused()
    if known["status"] == "declined":
        return _declined(known["reason"])
    return Answer(201, _document(known) | {"status": _FIRST_STATUS[kind]})


def _created(transaction: sqlite3.Connection, key: str, *, lost: bool = False) -> Answer:
    created = _find(transaction, key)
    assert created is not None  # noqa: S101 - it was added in this transaction
    return Answer(201, _document(created), lost)


def _declined(reason: str) -> Answer:
    return refusal(402, "declined", f"The card was declined: {reason}.", reason=reason)


def _document(row: sqlite3.Row) -> dict[str, Any]:
    return {name: row[name] for name in ("id", "key", "kind", "status", "amount", "currency")}


def _find(transaction: sqlite3.Connection, key: str) -> sqlite3.Row | None:
    row: sqlite3.Row | None = transaction.execute("SELECT * FROM operations WHERE key = ?", (key,)).fetchone()
    return row


def _add(
    transaction: sqlite3.Connection,
    key: str,
    kind: str,
    status: str,
    *,
    of: dict[str, Any] | sqlite3.Row | None = None,
    digest_of_body: str | None = None,
    token: str | None = None,
    reason: str | None = None,
) -> None:
    """Add an operation, with reference, amount and currency of an order or of an earlier operation."""
    reference, amount, currency = (of["reference"], of["amount"], of["currency"]) if of else (None, 0, NO_CURRENCY)
    transaction.execute(
        """
        INSERT INTO operations (key, id, kind, status, reference, digest, token, amount, currency, reason, at)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
        """,
        (
            *(key, f"op_{uuid.uuid4().hex}", kind, status, reference, digest_of_body),
            *(token, amount, currency, reason, time.time()),
        ),
    )


def _mark(transaction: sqlite3.Connection, key: str, status: str) -> None:
    transaction.execute("UPDATE operations SET status = ? WHERE key = ?", (status, key))


def _first_time(transaction: sqlite3.Connection, key: str, fate: str) -> bool:
    return transaction.execute("INSERT OR IGNORE INTO first_times VALUES (?, ?)", (key, fate)).rowcount == 1
