"""Store credit without Temporal: asks the accounts' activities directly, and can lose questions and answers."""

from collections.abc import Awaitable, Callable
from enum import StrEnum

from temporalio.exceptions import ApplicationError

from payments.account_activities import AccountActivities, AccountMove, AccountPutBack
from payments.account_terms import AccountRefusal, AccountRefused, Booked, Move, PutBack
from payments.store_credit import Unanswered


class Lost(StrEnum):
    """What becomes of an update."""

    QUESTION = "question"
    """It never arrives."""
    ANSWER = "answer"
    """It takes effect, and nobody hears of it."""


class DirectCredit:
    """In the place of `payments.store_credit.StoreCredit`."""

    def __init__(self, activities: AccountActivities) -> None:
        self._activities = activities
        self.lost: list[Lost] = []
        self.asked = 0

    async def exists(self, account_id: str) -> bool:
        return await self._activities._store.account(account_id) is not None

    async def withdraw(self, account_id: str, move: Move) -> Booked:
        return await self._ask(lambda: self._activities.withdraw(AccountMove(account_id, move)))

    async def put_back(self, account_id: str, order_id: str) -> Booked:
        return await self._ask(lambda: self._activities.put_back(AccountPutBack(account_id, PutBack(order_id))))

    async def _ask(self, ask: Callable[[], Awaitable[Booked]]) -> Booked:
        self.asked += 1
        lost = self.lost.pop(0) if self.lost else None
        if lost is Lost.QUESTION:
            raise Unanswered("lost")
        try:
            answer = await ask()
        except ApplicationError as error:
            if lost is Lost.ANSWER or error.type not in set(AccountRefusal):
                raise Unanswered("lost") from error
            raise AccountRefused(AccountRefusal(error.type), error.message) from error
        if lost is Lost.ANSWER:
            raise Unanswered("lost")
        return answer
