"""The card gateway, spoken to over HTTP.

Every effect has an idempotency key of ours. An answer that never came, or cannot be read, is `OutcomeUnknown`: the
effect may have happened, and only the gateway knows. Ask it by `Gateway.operation` before sending again.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus
from typing import Any, TypeVar
from urllib.parse import quote

import aiohttp
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from yarl import URL

from chassis.http import HttpClient


class GatewayError(Exception):
    """The gateway did not do what was asked, for a reason that may pass.

    GatewayError
    └── OutcomeUnknown
    """


class OutcomeUnknown(GatewayError):  # noqa: N818 - it names a state, not a mistake
    """Nobody on this side knows whether the request took effect."""


class Status(StrEnum):
    """What became of a key."""

    AUTHORISED = "authorised"
    DECLINED = "declined"
    VOIDED = "voided"
    BURNED = "burned"
    """Voided before it was used: it never will be."""
    CAPTURED = "captured"
    REFUNDED = "refunded"


class Operation(BaseModel):
    """What the gateway knows of a key."""

    model_config = ConfigDict(frozen=True, strict=True)

    id: str | None = None
    status: Status = Field(strict=False)
    amount: int = Field(default=0, ge=0)
    """Minor units."""
    currency: str | None = None
    reason: str | None = None
    """Why it was declined."""


class _Problem(BaseModel):
    error: str = ""
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Authorised:
    """The amount is set aside."""

    id: str
    amount: int
    currency: str


@dataclass(frozen=True, slots=True)
class Captured:
    """The amount is taken."""

    id: str


@dataclass(frozen=True, slots=True)
class Refunded:
    """The amount is paid back."""

    id: str
    amount: int
    currency: str


@dataclass(frozen=True, slots=True)
class Voided:
    """The amount is free again, and the key burned."""

    amount: int
    """Minor units; 0 if nothing was set aside."""


@dataclass(frozen=True, slots=True)
class Declined:
    """The gateway will not, and says why."""

    reason: str


class Refused(StrEnum):
    """Answers without further content."""

    KEY_BURNED = "key_burned"
    """The authorisation's key was voided."""
    KEY_REUSED = "key_reused"
    """The key was used for something else before."""
    ALREADY_CAPTURED = "captured"
    """The money is taken: nothing to void, but to refund."""
    NOT_AUTHORISED = "unknown_authorisation"
    """There is nothing to capture."""


_Answer = TypeVar("_Answer", bound=BaseModel)


class Gateway:
    """A typed client of the gateway."""

    def __init__(self, base_url: str, http: HttpClient) -> None:
        """Prepare.

        Args:
            base_url: Such as ``http://127.0.0.1:9000/gateway``.
            http: Its time-out is that of each request.
        """
        self._base = base_url.rstrip("/")
        self._http = http

    async def authorise(
        self, key: str, *, amount: int, currency: str, card_token: str, reference: str
    ) -> Authorised | Declined | Refused:
        """Set an amount aside on a card.

        Returns:
            `Authorised`; `Declined`; ``KEY_BURNED`` if the key was voided before; ``KEY_REUSED`` if it was used for
            another amount, currency or card.

        Raises:
            OutcomeUnknown: If it may have taken effect.
            GatewayError: If it did not, and may another time.
        """
        body = {"amount": amount, "currency": currency, "card_token": card_token, "reference": reference}
        status, answer = await self._send("authorisations", body, key)
        if status == HTTPStatus.CREATED:
            return authorised(_read(answer, Operation))
        problem = _problem(status, answer)
        match status, problem.error:
            case HTTPStatus.PAYMENT_REQUIRED, _:
                return Declined(problem.reason or "declined")
            case HTTPStatus.CONFLICT, Refused.KEY_BURNED:
                return Refused.KEY_BURNED
            case HTTPStatus.UNPROCESSABLE_ENTITY, Refused.KEY_REUSED:
                return Refused.KEY_REUSED
            case HTTPStatus.UNPROCESSABLE_ENTITY, _:
                # The gateway does not take such a token: no attempt will make it.
                return Declined(problem.error or "invalid_request")
        raise _unexpected(status, problem)

    async def capture(self, key: str, *, authorisation_key: str) -> Captured | Declined | Refused:
        """Take what was set aside.

        Returns:
            `Captured`; `Declined` if the authorisation has lapsed; ``KEY_BURNED`` if it was voided;
            ``NOT_AUTHORISED`` if there is none.

        Raises:
            OutcomeUnknown: If it may have taken effect.
            GatewayError: If it did not, and may another time.
        """
        status, answer = await self._send("captures", {"authorisation_key": authorisation_key}, key)
        if status == HTTPStatus.CREATED:
            return Captured(_id(_read(answer, Operation)))
        problem = _problem(status, answer)
        match status, problem.error:
            case HTTPStatus.PAYMENT_REQUIRED, _:
                return Declined(problem.reason or "declined")
            case HTTPStatus.CONFLICT, "voided":
                return Refused.KEY_BURNED
            case HTTPStatus.NOT_FOUND, Refused.NOT_AUTHORISED:
                return Refused.NOT_AUTHORISED
        raise _unexpected(status, problem)

    async def void(self, key: str) -> Voided | Refused:
        """Set free what was set aside under a key, and burn the key if it never was used.

        Returns:
            `Voided`, or ``ALREADY_CAPTURED`` if only a refund helps.

        Raises:
            OutcomeUnknown: If it may have taken effect.
            GatewayError: If it did not, and may another time.
        """
        status, answer = await self._send("voids", {"key": key})
        if status == HTTPStatus.OK:
            return Voided(_read(answer, Operation).amount)
        problem = _problem(status, answer)
        if (status, problem.error) == (HTTPStatus.CONFLICT, Refused.ALREADY_CAPTURED):
            return Refused.ALREADY_CAPTURED
        raise _unexpected(status, problem)

    async def refund(self, key: str, *, capture_key: str) -> Refunded:
        """Pay back what was taken.

        Raises:
            OutcomeUnknown: If it may have taken effect.
            GatewayError: If it did not, and may another time.
        """
        status, answer = await self._send("refunds", {"capture_key": capture_key}, key)
        if status == HTTPStatus.CREATED:
            return refunded(_read(answer, Operation))
        raise _unexpected(status, _problem(status, answer))

    async def operation(self, key: str) -> Operation | None:
        """What the gateway knows of a key: the way to learn an unknown outcome.

        Returns:
            None if nothing was done under this key.

        Raises:
            GatewayError: If the gateway does not say.
        """
        status, answer = await self._request("GET", f"operations/{quote(key, safe='')}")
        if status == HTTPStatus.OK:
            return _read(answer, Operation)
        problem = _problem(status, answer)
        # Any other 404 says that the address is wrong, not that nothing was done.
        if (status, problem.error) == (HTTPStatus.NOT_FOUND, "unknown_key"):
            return None
        raise _unexpected(status, problem)

    async def _send(self, path: str, body: dict[str, Any], key: str | None = None) -> tuple[int, bytes]:
        return await self._request("POST", path, body, {} if key is None else {"Idempotency-Key": key})

    async def _request(
        self, method: str, path: str, body: dict[str, Any] | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, bytes]:
        url = URL(f"{self._base}/v1/{path}", encoded=True)
        try:
            async with self._http.session.request(
                method, url, json=body, headers=headers, allow_redirects=False
            ) as response:
                status, answer = response.status, await response.read()
        except TimeoutError as error:
            raise OutcomeUnknown(f"{method} {path.partition('/')[0]}: no answer in time") from error
        except aiohttp.ClientError as error:
            raise OutcomeUnknown(f"{method} {path.partition('/')[0]}: {type(error).__name__}") from error
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise OutcomeUnknown(f"{method} {path.partition('/')[0]}: the gateway answered {status}")
        return status, answer


def authorised(operation: Operation) -> Authorised:
    """An authorisation as the gateway tells of it, at once or when asked later."""
    if operation.currency is None:
        raise OutcomeUnknown("the gateway's answer has no currency")
    return Authorised(_id(operation), operation.amount, operation.currency)


def captured(operation: Operation) -> Captured:
    """A capture as the gateway tells of it."""
    return Captured(_id(operation))


def refunded(operation: Operation) -> Refunded:
    """A refund as the gateway tells of it."""
    if operation.currency is None:
        raise OutcomeUnknown("the gateway's answer has no currency")
    return Refunded(_id(operation), operation.amount, operation.currency)


def _id(operation: Operation) -> str:
    if operation.id is None:
        raise OutcomeUnknown("the gateway's answer has no id")
    return operation.id


def _read(answer: bytes, model: type[_Answer]) -> _Answer:
    try:
        return model.model_validate_json(answer)
    except ValidationError as error:
        # It said yes, but not to what: the look-up will tell.
        raise OutcomeUnknown(f"the gateway's answer cannot be read: {error.error_count()} errors") from error


def _problem(status: int, answer: bytes) -> _Problem:
    try:
        return _Problem.model_validate_json(answer)
    except ValidationError as error:
        raise GatewayError(f"the gateway answered {status} without saying why") from error


def _unexpected(status: int, problem: _Problem) -> GatewayError:
    return GatewayError(f"the gateway answered {status} {problem.error}".rstrip())
