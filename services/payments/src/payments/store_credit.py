"""Store credit as those see it who use it: activities for an order, the HTTP surface for operators.

What moves an account is asked of its workflow, by an update that starts the workflow where it does not run. An answer
that never came is `Unanswered`: the booking may stand, and only the ledger knows. It is asked by key, never guessed.
"""

import asyncio
from datetime import timedelta
from typing import Any, TypeVar, cast

from temporalio.client import WithStartWorkflowOperation, WorkflowUpdateFailedError
from temporalio.client import WorkflowUpdateRPCTimeoutOrCancelledError as UpdateUnanswered
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError

from chassis.connection import Connection, is_away
from payments import account_terms as terms
from payments.account_store import AccountStore
from payments.account_terms import (
    AccountRefusal,
    AccountRefused,
    AccountStart,
    Ask,
    Balance,
    Booked,
    Move,
    PutBack,
    account_workflow_id,
)
from payments.contract import TASK_QUEUE
from payments.model import Entry

UPDATE = timedelta(seconds=8)
"""How long an update is waited for: longer than the account takes for a booking (6 s with all attempts), and shorter
than an activity that waits may take (15 s), so that the activity has time to look the key up."""

_Result = TypeVar("_Result")


class Unanswered(Exception):  # noqa: N818 - it names a state, not a mistake
    """Nobody on this side knows whether the account did it."""


class StoreCredit:
    """Asks accounts."""

    def __init__(self, connection: Connection, store: AccountStore) -> None:
        """Keep the ways to ask.

        Args:
            connection: To Temporal. It may not be there yet.
            store: The accounts' memory, for what can be read there.
        """
        self._connection = connection
        self._store = store

    async def exists(self, account_id: str) -> bool:
        """Whether there is such an account. Once there, it never goes."""
        return await self._store.account(account_id) is not None

    async def booking(self, booking_key: str) -> Entry | None:
        """What stands under a key: the way to learn what became of an unanswered booking."""
        return await self._store.booking(booking_key)

    async def deposit(self, account_id: str, move: Move) -> Booked:
        """Bring an amount in. The first deposit opens the account.

        Raises:
            AccountRefused: If the account will not.
            Unanswered: If it may have.
            TemporalUnavailable: If it was not even asked.
        """
        return await self._update(account_id, Ask.DEPOSIT, Booked, move)

    async def withdraw(self, account_id: str, move: Move) -> Booked:
        """Take an amount out, for an order or not.

        Raises:
            AccountRefused: If the account will not.
            Unanswered: If it may have.
            TemporalUnavailable: If it was not even asked.
        """
        return await self._update(account_id, Ask.WITHDRAW, Booked, move)

    async def put_back(self, account_id: str, order_id: str) -> Booked:
        """Bring back what an order took; the payment's row is to have its undo's fence already.

        Raises:
            AccountRefused: If another account paid.
            Unanswered: If it may have been done.
            TemporalUnavailable: If the account was not even asked.
        """
        return await self._update(account_id, Ask.PUT_BACK, Booked, PutBack(order_id))

    async def set_open(self, account_id: str, *, open: bool) -> Balance:  # noqa: A002 - as the table calls it
        """Close the account, or open it again.

        Raises:
            AccountRefused: If there is no such account.
            Unanswered: If it may have been done.
            TemporalUnavailable: If the account was not even asked.
        """
        return await self._update(account_id, Ask.REOPEN if open else Ask.CLOSE, Balance)

    async def _update(self, account_id: str, update: Ask, result: type[_Result], *args: object) -> _Result:
        client = self._connection.client
        start: WithStartWorkflowOperation[Any, Any] = WithStartWorkflowOperation(
            terms.Account.run,
            AccountStart(account_id),
            id=account_workflow_id(account_id),
            task_queue=TASK_QUEUE,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        )
        # The SDK tells a failure twice, to the caller and to whoever waits for the start. If nobody does, the
        # second one is logged as an exception that was never retrieved.
        started = asyncio.create_task(start.workflow_handle())
        try:
            # Not under the booking's key as the update's id: a run would answer a repeat with its first answer, an
            # "insufficient funds" of before the deposit, too. The table knows what is a repeat, in every run.
            async with asyncio.timeout(UPDATE.total_seconds()):
                return cast(
                    _Result,
                    await client.execute_update_with_start_workflow(
                        update,
                        args=args,
                        start_workflow_operation=start,
                        result_type=result,
                        rpc_timeout=UPDATE,
                    ),
                )
        except WorkflowUpdateFailedError as error:
            raise _answer(error) from error
        except (TimeoutError, UpdateUnanswered) as error:
            raise Unanswered(f"account {account_id} did not answer in time") from error
        except RPCError as error:
            if not is_away(error):
                raise
            raise Unanswered(f"account {account_id} did not answer: {error.message}") from error
        finally:
            started.cancel()
            await asyncio.gather(started, return_exceptions=True)


def _answer(error: WorkflowUpdateFailedError) -> Exception:
    """What the account's failure means: a refusal, wrong input, or nothing certain."""
    cause = error.cause
    if not isinstance(cause, ApplicationError):
        return Unanswered(str(cause))
    if cause.type in set(AccountRefusal):
        return AccountRefused(AccountRefusal(cause.type), cause.message)
    return Unanswered(cause.message)
