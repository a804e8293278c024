"""What the workflow `Account` has done: short writes and reads of its own table, nothing else.

All are local activities, run by the process that runs the workflow task, with slots of their own. Were they activities
of the queue, orders paid with store credit would starve their own accounts: each such order holds an activity slot
while it waits for its account's update, so with all slots held by waiting orders no booking could ever begin. They
would spend the gateway's rate, too, which is the whole queue's. A booking is safe to repeat, by its key.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

from temporalio import activity
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from payments.account_store import AccountStore
from payments.account_terms import (
    NOTHING_TO_PUT_BACK,
    STATEMENT_KEPT,
    AccountRefused,
    Balance,
    Booked,
    Line,
    Move,
    PutBack,
    Snapshot,
)
from payments.model import Account, Entry


@dataclass(frozen=True, slots=True)
class AccountMove:
    """A move of one account."""

    account_id: str
    move: Move


@dataclass(frozen=True, slots=True)
class AccountPutBack:
    """What an order took is to come back to one account."""

    account_id: str
    undo: PutBack


@dataclass(frozen=True, slots=True)
class AccountOpen:
    """Whether an account is to be open."""

    account_id: str
    open: bool


class AccountActivities:
    """What accounts have done."""

    def __init__(self, store: AccountStore) -> None:
        """Keep the accounts' memory."""
        self._store = store

    def all(self) -> list[Callable[..., Any]]:
        """All of them, for the worker."""
        return [self.load, self.deposit, self.withdraw, self.put_back, self.set_open]

    @activity.defn(name="payments.account_load")
    async def load(self, account_id: str) -> Snapshot:
        """The account as its table has it."""
        account, entries = await self._store.latest(account_id, STATEMENT_KEPT)
        return Snapshot(
            Balance(account_id, "", 0, open=True) if account is None else balance_of(account),
            [line_of(entry) for entry in entries],
        )

    @activity.defn(name="payments.account_deposit")
    async def deposit(self, request: AccountMove) -> Booked:
        """Bring an amount in.

        Raises:
            ApplicationError: An `AccountRefusal`, for good.
        """
        try:
            return _booked(*await self._store.deposit(request.account_id, request.move))
        except AccountRefused as refused:
            _refuse(refused)

    @activity.defn(name="payments.account_withdraw")
    async def withdraw(self, request: AccountMove) -> Booked:
        """Take an amount out, for an order or not.

        Raises:
            ApplicationError: An `AccountRefusal`, for good.
        """
        try:
            return _booked(*await self._store.withdraw(request.account_id, request.move))
        except AccountRefused as refused:
            _refuse(refused)

    @activity.defn(name="payments.account_put_back")
    async def put_back(self, request: AccountPutBack) -> Booked:
        """Bring back what an order took.

        Raises:
            ApplicationError: An `AccountRefusal`, or ``nothing_to_put_back``, for good.
        """
        try:
            return _booked(*await self._store.put_back(request.account_id, request.undo.order_id))
        except AccountRefused as refused:
            _refuse(refused)
        except LookupError as error:
            # Only an undo asks, after its fence: someone else asked, and must not block the account by retries.
            raise ApplicationError(str(error), type=NOTHING_TO_PUT_BACK, non_retryable=True) from error

    @activity.defn(name="payments.account_set_open")
    async def set_open(self, request: AccountOpen) -> Balance:
        """Close the account, or open it again.

        Raises:
            ApplicationError: An `AccountRefusal`, for good.
        """
        try:
            return balance_of(await self._store.set_open(request.account_id, open=request.open))
        except AccountRefused as refused:
            _refuse(refused)


def balance_of(account: Account) -> Balance:
    """What an account holds, from its row."""
    return Balance(account.account_id, account.currency, account.balance, account.open)


def line_of(entry: Entry) -> Line:
    """A line of the statement, from the booking."""
    return Line(entry.entry, entry.booking_key, entry.kind, entry.amount, entry.balance_after)


def _booked(entry: Entry, account: Account, repeated: bool) -> Booked:
    return Booked(line_of(entry), balance_of(account), repeated)


def _refuse(refused: AccountRefused) -> NoReturn:
    raise ApplicationError(
        refused.detail, type=refused.kind, non_retryable=True, category=ApplicationErrorCategory.BENIGN
    ) from refused
