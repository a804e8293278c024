"""What the workflow `Account`, its activities and its clients say to each other.

Nobody outside payments needs it: an order names the account that pays, and operators speak HTTP.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from temporalio import workflow

from payments.contract import MAX_AMOUNT, check_account_id

MAX_BOOKING_KEY = 250
"""Most characters of a booking's key: that of the longest order id has room."""

PAYMENT_KEYS = "payment:"
"""How the keys of orders' bookings begin. Nobody else may book under such a key."""

STATEMENT_KEPT = 20
"""Entries that the workflow keeps for its query. The whole statement is the table's."""

MAX_BALANCE = 10**13
"""Most minor units to which an operator may raise a balance."""


ACCOUNT_UNAVAILABLE = "account_unavailable"
"""Type of an update's failure where nobody knows whether the booking is done: the table does not answer."""

NOTHING_TO_PUT_BACK = "nothing_to_put_back"
"""Type of an update's failure where no undo of the order's payment is under way."""


class AccountRefusal(StrEnum):
    """Why an account does not do what is asked, as in ``ApplicationError.type``."""

    UNKNOWN_ACCOUNT = "unknown_account"
    ACCOUNT_CLOSED = "account_closed"
    CURRENCY_MISMATCH = "currency_mismatch"
    INSUFFICIENT_FUNDS = "insufficient_funds"
    BALANCE_TOO_LARGE = "balance_too_large"
    BOOKING_CONFLICT = "booking_conflict"
    """The key stands for another booking already, or the order is not in need of this one."""


class AccountRefused(Exception):  # noqa: N818 - it is an answer, not a mistake
    """The account will not, and says why."""

    def __init__(self, kind: AccountRefusal, detail: str) -> None:
        """Keep why.

        Args:
            kind: For programs.
            detail: For people.
        """
        super().__init__(detail)
        self.kind = kind
        self.detail = detail


@dataclass(frozen=True, slots=True)
class AccountStart:
    """Which account a workflow is to be.

    Raises:
        ValueError: If that cannot be an account's id.
    """

    account_id: str

    def __post_init__(self) -> None:
        check_account_id(self.account_id)


@dataclass(frozen=True, slots=True)
class Move:
    """An amount to come into an account or to leave it.

    Raises:
        ValueError: If the amount is not from 1 to ``MAX_AMOUNT``, the currency is no code, or the key cannot be one.
    """

    booking_key: str
    """The same key is the same booking, for ever."""
    amount: int
    """Minor units."""
    currency: str
    """ISO 4217 code."""
    order_id: str = ""
    """The order for which a withdrawal sets the amount aside; empty for an operator's own bookings."""

    def __post_init__(self) -> None:
        if not 1 <= len(self.booking_key) <= MAX_BOOKING_KEY or not self.booking_key.isprintable():
            raise ValueError(f"booking_key must be 1 to {MAX_BOOKING_KEY} printable characters")
        if self.booking_key.startswith(PAYMENT_KEYS) != bool(self.order_id):
            raise ValueError(f"booking_key must begin with {PAYMENT_KEYS} for an order, and for nothing else")
        if len(self.currency) != 3 or not (self.currency.isascii() and self.currency.isupper()):
            raise ValueError("currency must be three capital letters")
        if not 1 <= self.amount <= MAX_AMOUNT:
            raise ValueError(f"amount is {self.amount}, not from 1 to {MAX_AMOUNT}")


@dataclass(frozen=True, slots=True)
class PutBack:
    """What an order took is to come back: its undo stands in the payment's row already."""

    order_id: str


@dataclass(frozen=True, slots=True)
class Line:
    """One movement, as a statement has it."""

    entry: int
    booking_key: str
    kind: str
    amount: int
    """Minor units; negative where it left the account."""
    balance_after: int


@dataclass(frozen=True, slots=True)
class Balance:
    """What an account holds."""

    account_id: str
    currency: str
    """Empty as long as nothing was ever deposited: there is no account yet."""
    balance: int
    open: bool


@dataclass(frozen=True, slots=True)
class Snapshot:
    """An account as its table has it."""

    balance: Balance
    lines: list[Line] = field(default_factory=list)
    """The latest ``STATEMENT_KEPT`` movements, oldest first."""


@dataclass(frozen=True, slots=True)
class Booked:
    """A booking that stands."""

    line: Line
    balance: Balance
    """The account after it, or now where the booking stood already."""
    repeated: bool
    """It stood already."""


@workflow.defn(name="payments.Account")
class Account(Protocol):
    """One store-credit account, for ever. Its table is the truth; it puts what is asked of the account in a line."""

    @workflow.run
    async def run(self, start: AccountStart) -> None:
        """Called by the server. Ends only to continue as new."""
        ...


class Ask(StrEnum):
    """Updates of the workflow. By name: an update in a Protocol does not go with one in its subclass."""

    DEPOSIT = "deposit"
    """`Move` → `Booked`: bring an amount in. The first deposit opens the account, in its currency."""
    WITHDRAW = "withdraw"
    """`Move` → `Booked`: take an amount out, for an order or not."""
    PUT_BACK = "put_back"
    """`PutBack` → `Booked`: bring back what an order took; also where the account is closed."""
    CLOSE = "close"
    """→ `Balance`: take no deposit and no withdrawal any more. What it holds stays."""
    REOPEN = "reopen"
    """→ `Balance`: take them again."""


def account_workflow_id(account_id: str) -> str:
    """Workflow id of an account."""
    return f"account:{account_id}"


def release_key(order_id: str) -> str:
    """Booking key of putting back what was set aside for an order."""
    return f"{PAYMENT_KEYS}{order_id}:release"
