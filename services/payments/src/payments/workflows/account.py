"""Account: one store-credit account, for ever."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, Final, TypeVar

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, ApplicationError

with workflow.unsafe.imports_passed_through():
    from chassis import apart, versioning
    from payments import account_terms as terms
    from payments.account_activities import AccountActivities, AccountMove, AccountOpen, AccountPutBack
    from payments.account_terms import AccountStart, Balance, Booked, Line, Move, PutBack

ATTEMPT = timedelta(seconds=3)
"""One short transaction."""

BOOKING = timedelta(seconds=6)
"""A booking with all its attempts. Who asked waits a little longer than that, looks the key up, and asks again. So no
handler lives long, and the account can always continue as new: while the database is away, too."""

BOOKING_RETRY = RetryPolicy(
    initial_interval=timedelta(milliseconds=100),
    maximum_interval=timedelta(seconds=1),
    non_retryable_error_types=[*(str(refusal) for refusal in terms.AccountRefusal), terms.NOTHING_TO_PUT_BACK],
)

LOADING_RETRY = RetryPolicy(initial_interval=timedelta(milliseconds=200), maximum_interval=timedelta(minutes=1))
"""Without an end. From ``LOADING_TIMERS`` on an attempt waits for a timer, not for a workflow task kept open by ever
new events."""
LOADING_TIMERS = timedelta(seconds=5)

_Request = TypeVar("_Request")
_Result = TypeVar("_Result")


@workflow.defn(name="payments.Account", versioning_behavior=versioning.lasting())
class Account(terms.Account):
    """Puts what is asked of the account in a line, and has it written to the table.

    The table is the truth, this is the door to it: whatever a repeat, a crash or a continue-as-new does to a request,
    its booking key stands in the table once. So there are no update ids to remember here, and validators look only at
    what never changes. Whether the account is closed, or has enough, is asked of the table behind the key: a repeat
    gets the answer that the first one got, also after a close.

    An idle account stays open for ever, as the pattern has it: it costs the server a row and a history of the few
    events since its last continue-as-new, and no worker any memory once it has left the cache.
    """

    own_trace: Final = apart.ALWAYS

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._account: Balance | None = None
        self._lines: list[Line] = []

    @workflow.run
    async def run(self, start: AccountStart) -> None:
        loaded = await workflow.execute_local_activity_method(
            AccountActivities.load,
            start.account_id,
            start_to_close_timeout=ATTEMPT,
            retry_policy=LOADING_RETRY,
            local_retry_threshold=LOADING_TIMERS,
        )
        self._lines = loaded.lines
        self._account = loaded.balance
        await workflow.wait_condition(workflow.info().is_continue_as_new_suggested)
        # Bookings are local activities, all of them done within the task in which they came: there soon is a moment
        # without one, under any stream of updates. What comes too late for this run is given to the next by the server.
        await workflow.wait_condition(workflow.all_handlers_finished)
        workflow.continue_as_new(start)

    @workflow.update
    async def deposit(self, move: Move) -> Booked:
        """Bring an amount in. The first deposit opens the account, in its currency."""
        return await self._book(AccountActivities.deposit, move)

    @deposit.validator
    def _may_deposit(self, move: Move) -> None:
        self._insist_on_currency(move)
        if move.order_id:
            raise ApplicationError(
                "what an order took is put back, not deposited", type=terms.AccountRefusal.BOOKING_CONFLICT
            )

    @workflow.update
    async def withdraw(self, move: Move) -> Booked:
        """Take an amount out, for an order or not."""
        return await self._book(AccountActivities.withdraw, move)

    @withdraw.validator
    def _may_withdraw(self, move: Move) -> None:
        self._insist_on_currency(move)

    @workflow.update
    async def put_back(self, undo: PutBack) -> Booked:
        """Bring back what an order took; also where the account is closed."""
        async with self._in_line() as account_id:
            return self._keep(await _do(AccountActivities.put_back, AccountPutBack(account_id, undo)))

    @workflow.update
    async def close(self) -> Balance:
        """Take no deposit and no withdrawal any more. What it holds stays."""
        return await self._set_open(open=False)

    @workflow.update
    async def reopen(self) -> Balance:
        """Take them again."""
        return await self._set_open(open=True)

    @workflow.query
    def balance(self) -> Balance:
        """What the account holds."""
        if self._account is None:
            raise ApplicationError("the account is being loaded: ask again")
        return self._account

    @workflow.query
    def statement(self) -> list[Line]:
        """Its latest movements, oldest first."""
        return self._lines

    async def _book(self, method: Callable[[Any, AccountMove], Awaitable[Booked]], move: Move) -> Booked:
        async with self._in_line() as account_id:
            return self._keep(await _do(method, AccountMove(account_id, move)))

    async def _set_open(self, *, open: bool) -> Balance:  # noqa: A002 - as the table calls it
        async with self._in_line() as account_id:
            self._account = await _do(AccountActivities.set_open, AccountOpen(account_id, open))
            return self._account

    @asynccontextmanager
    async def _in_line(self) -> AsyncIterator[str]:
        """One after the other, the first when the account is loaded: an update may arrive with the start itself."""
        async with self._lock:
            await workflow.wait_condition(lambda: self._account is not None)
            yield self.balance().account_id

    def _keep(self, booked: Booked) -> Booked:
        self._account = booked.balance
        # A repeat of an earlier booking is here already, or was and has left.
        if not self._lines or booked.line.entry > self._lines[-1].entry:
            self._lines = [*self._lines, booked.line][-terms.STATEMENT_KEPT :]
        return booked

    def _insist_on_currency(self, move: Move) -> None:
        # Before the account is loaded, or made, the table says it.
        if self._account is not None and self._account.currency not in ("", move.currency):
            raise ApplicationError(
                f"account {self._account.account_id} is kept in {self._account.currency}",
                type=terms.AccountRefusal.CURRENCY_MISMATCH,
                non_retryable=True,
            )


async def _do(method: Callable[[Any, _Request], Awaitable[_Result]], request: _Request) -> _Result:
    """Have a booking done, or say why not.

    Raises:
        ApplicationError: An `AccountRefusal`; or ``account_unavailable`` where nobody knows whether it is done.
    """
    try:
        return await workflow.execute_local_activity_method(
            method,
            request,
            start_to_close_timeout=ATTEMPT,
            schedule_to_close_timeout=BOOKING,
            retry_policy=BOOKING_RETRY,
        )
    except ActivityError as error:
        if isinstance(error.cause, ApplicationError) and error.cause.non_retryable:
            raise error.cause from None
        raise ApplicationError("the account's table does not answer", type=terms.ACCOUNT_UNAVAILABLE) from error
