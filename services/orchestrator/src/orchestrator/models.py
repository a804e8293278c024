"""What goes over HTTP: bodies in, documents out. These models are the source of ``/openapi.json``."""

import hashlib
import re
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationInfo,
    field_validator,
)

from orchestrator import contract

_CARD_NUMBER = re.compile(r"^[0-9][0-9 -]{11,22}$")
ORDER_ID_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("must not contain control characters")
    return text


def _no_card_number(token: str) -> str:
    if _CARD_NUMBER.match(token):
        raise ValueError("must be the gateway's token, never a card number")
    return token


OrderId = Annotated[str, StringConstraints(pattern=ORDER_ID_PATTERN), Field(examples=["A-1001"])]
Sku = Annotated[str, StringConstraints(pattern=r"^[A-Z0-9][A-Z0-9-]{0,39}$"), Field(examples=["TEA-250"])]
Text = Annotated[str, StringConstraints(min_length=1, max_length=200), AfterValidator(_printable)]
Note = Annotated[str, StringConstraints(max_length=500), AfterValidator(_printable)]


CardToken = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,100}$"),
    AfterValidator(_no_card_number),
    Field(examples=["tok_ok"]),
]


class Body(BaseModel):
    """What a client sends. An unknown member is a mistake, and said to be one."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class LineBody(Body):
    """Units of one SKU."""

    sku: Sku
    quantity: int = Field(ge=1, le=contract.MAX_QUANTITY)


class AddressBody(Body):
    """Where the goods go."""

    name: Text
    street: Text
    city: Text
    postcode: Annotated[str, StringConstraints(min_length=1, max_length=20), AfterValidator(_printable)]
    country: Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}$")]
    """ISO 3166-1 alpha-2."""


class OrderBody(Body):
    """An order. Prices are inventory's: the client sends none."""

    order_id: OrderId | None = None
    """The client's own; without it, one is made, of the Idempotency-Key if there is one."""
    currency: Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")]
    """ISO 4217."""
    lines: tuple[LineBody, ...] = Field(min_length=1, max_length=contract.MAX_LINES)
    account_id: Annotated[str, StringConstraints(pattern=ORDER_ID_PATTERN)] | None = None
    """The store-credit account that pays."""
    card_token: CardToken | None = Field(default=None, validate_default=True)
    """The gateway's token for the card that pays. Either this or an account."""
    address: AddressBody
    email: Annotated[str, StringConstraints(pattern=r"^[^@\s]{1,64}@[^@\s]{1,190}$"), AfterValidator(_printable)]
    allow_partial: bool = False
    """Send what there is, rather than all or nothing."""
    expected_total: int | None = Field(default=None, ge=0, le=10**12)
    """What the customer expects to pay, minor units; another price rejects the order."""
    approval_limit_seconds: int | None = Field(default=None, ge=1)
    """How long to wait for an approver, where one is needed; not longer than the shop's own limit."""

    @field_validator("card_token", mode="after")
    @classmethod
    def _one_of_them_pays(cls, token: str | None, info: ValidationInfo) -> str | None:
        if "account_id" in info.data and (token is None) == (info.data["account_id"] is None):
            raise ValueError("either card_token or account_id pays: one of them, and not both")
        return token

    @field_validator("lines", mode="after")
    @classmethod
    def _one_line_a_sku(cls, lines: tuple[LineBody, ...]) -> tuple[LineBody, ...]:
        if len({line.sku for line in lines}) != len(lines):
            raise ValueError("a SKU stands in two lines")
        return lines

    def digest(self) -> str:
        """What tells a repeat from another order under the same id. It never changes for a body that once was taken.

        What a client leaves out has no part in it: a member that is new has a default, and changes no digest.
        """
        told = self.model_dump_json(exclude={"order_id"}, exclude_defaults=True)
        return hashlib.sha256(told.encode()).hexdigest()


class ApprovalBody(Body):
    """An approver's word."""

    decision: Literal["approve", "refuse"]
    approver: Text
    note: Note = ""


class CancellationBody(Body):
    """A customer's change of mind."""

    reason: Note = ""


class Line(BaseModel):
    """Units of one SKU."""

    sku: str
    quantity: int


class MissingLine(Line):
    """Units that are not sent."""

    reason: str
    """Why: ``out_of_stock``."""
    attempts: int
    """How often it was tried: once. They are not reserved later."""


class Step(BaseModel):
    """A state that an order went through."""

    status: contract.Status
    at: datetime
    detail: str | None


class OrderSummary(BaseModel):
    """An order, in a list."""

    order_id: str
    number: int
    status: contract.Status
    reason: str | None
    """Why it was rejected, cancelled or failed: one word."""
    detail: str | None
    """The same in plain words."""
    currency: str
    total: int | None
    """Minor units, once known."""
    created_at: datetime
    updated_at: datetime


class ApprovalDocument(BaseModel):
    """What became of an approval."""

    requested_at: datetime
    deadline: datetime
    reminded_at: datetime | None
    """When the approver was reminded."""
    escalated_at: datetime | None
    """When somebody else was told that it is still missing."""
    decided_at: datetime | None
    decided_by: str | None
    decision: Literal["approve", "refuse"] | None


class OrderDocument(OrderSummary):
    """An order, whole."""

    lines: tuple[Line, ...]
    missing: tuple[MissingLine, ...]
    """What a partially fulfilled order lacks, and the customer does not pay."""
    parcels: int | None
    tracking_numbers: tuple[str, ...]
    decision: dict[str, Any] | None
    """Who approved or refused it, if it needed an approver."""
    approval: ApprovalDocument | None
    """When it was asked for, reminded of and decided, if it needed an approver."""
    delivery: tuple[dict[str, Any], ...]
    """Where its parcels are."""
    notified: bool
    """Whether the customer was told how it ended."""
    steps: tuple[Step, ...]


class OrderPage(BaseModel):
    """A page of orders, newest first."""

    items: tuple[OrderSummary, ...]
    next: str | None
    """Give it as ``after`` to get the next page."""


class Receipt(BaseModel):
    """An order is written down. It will be worked on, also if Temporal is away at this moment."""

    order_id: str
    status: contract.Status


class ProgressDocument(BaseModel):
    """What the order's workflow says to an approval or a cancellation."""

    order_id: str
    status: contract.Status


class ProblemDocument(BaseModel):
    """RFC 9457."""

    type: str
    title: str
    status: int
    detail: str
    field: str | None = None
    """Path of the member, or name of the parameter, that is wrong."""
