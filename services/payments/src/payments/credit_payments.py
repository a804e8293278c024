"""Orders paid with store credit: what their activities do in the gateway's place."""

from temporalio import activity

from payments.account_terms import AccountRefusal, AccountRefused, Move
from payments.contract import AuthoriseRequest, authorise_key
from payments.model import Payment, State
from payments.store import Store
from payments.store_credit import StoreCredit, Unanswered

_DECLINES = frozenset(
    {
        AccountRefusal.UNKNOWN_ACCOUNT,
        AccountRefusal.ACCOUNT_CLOSED,
        AccountRefusal.CURRENCY_MISMATCH,
        AccountRefusal.INSUFFICIENT_FUNDS,
    }
)


class CreditPayments:
    """Has accounts set amounts aside and put them back.

    An account writes its booking and the payment's row in one transaction. So the row, like the booking under the
    order's key, tells what became of an update that nobody answered, and once a refusal or an undo stands in the row
    no update that comes late moves anything.
    """

    def __init__(self, store: Store, credit: StoreCredit) -> None:
        """Keep what is worked with.

        Args:
            store: Payments' memory.
            credit: The store-credit accounts.
        """
        self._store = store
        self._credit = credit

    async def set_aside(self, request: AuthoriseRequest) -> Payment:
        """Have the account withdraw, for a payment that is ``authorising``, and learn what became of it.

        Returns:
            The payment as it is then: no longer ``authorising``.

        Raises:
            Unanswered: If the look-up shows no effect yet. The next attempt asks again.
        """
        order_id, key = request.order_id, authorise_key(request.order_id)
        if not await self._credit.exists(request.account_id):
            # Nobody may make workflows of accounts that are none by naming them in orders.
            return await self._store.record_declined(order_id, AccountRefusal.UNKNOWN_ACCOUNT, since=State.AUTHORISING)
        otherwise: Exception | None = None
        try:
            await self._credit.withdraw(request.account_id, Move(key, request.amount, request.currency, order_id))
        except AccountRefused as refused:
            if refused.kind in _DECLINES:
                return await self._store.record_declined(order_id, refused.kind, since=State.AUTHORISING)
            otherwise = refused  # another attempt or an undo was here meanwhile: the row says which
        except Unanswered as unknown:
            activity.logger.warning("the account's answer is unknown: looking it up", extra={"key": key})
            otherwise = unknown
        payment = await self._store.payment(order_id)
        if otherwise is not None and payment.state is State.AUTHORISING:
            raise otherwise
        return payment

    async def put_back(self, account_id: str, order_id: str) -> Payment:
        """Finish an undo whose fence stands: have the account put back what it set aside, if it ever did.

        Returns:
            The payment, ``reversed``.

        Raises:
            Unanswered: If the look-up shows no effect yet. The next attempt asks again.
        """
        payment = await self._store.burn_reservation(order_id)
        if payment.state is State.REVERSED:
            return payment
        otherwise: Exception | None = None
        try:
            await self._credit.put_back(account_id, order_id)
        except Unanswered as unknown:
            activity.logger.warning("the account's answer is unknown: looking it up", extra={"order_id": order_id})
            otherwise = unknown
        payment = await self._store.payment(order_id)
        if otherwise is not None and payment.state is not State.REVERSED:
            raise otherwise
        return payment
