"""Payments' side effects. Each activity may be stopped anywhere and started again, and does its work once.

The pattern of all of them: write down that the gateway is about to be asked; ask; write down the answer. Whoever comes
back after a crash, or got no answer, looks the key up at the gateway first.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from temporalio import activity
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from payments import findings
from payments import gateway as gw
from payments.contract import (
    Authorisation,
    AuthoriseRequest,
    Capture,
    CaptureRequest,
    Refusal,
    Reversed,
    Undo,
    authorise_key,
    capture_key,
    refund_key,
)
from payments.credit_payments import CreditPayments
from payments.metrics import AUTHORISE, CAPTURE, REFUND, VOID, PaymentsMetrics
from payments.model import Method, Payment, State
from payments.store import Store

_Answer = TypeVar("_Answer")


@dataclass(frozen=True, slots=True)
class VoidOutcome:
    """What became of the authorisation in an undo."""

    reversed: Reversed | None
    """The undo's result; None if the money is taken already and must be paid back."""


class Activities:
    """What payments' workflows have done."""

    def __init__(self, store: Store, gateway: gw.Gateway, credit: CreditPayments, metrics: PaymentsMetrics) -> None:
        """Keep what the activities work with.

        Args:
            store: Payments' memory.
            gateway: The card gateway.
            credit: What is paid with store credit.
            metrics: Count the attempts that get no answer.
        """
        self._store = store
        self._gateway = gateway
        self._credit = credit
        self._metrics = metrics

    def all(self) -> list[Callable[..., Any]]:
        """All of them, for the worker."""
        return [self.authorise, self.capture, self.void, self.refund]

    @activity.defn(name="payments.authorise")
    async def authorise(self, request: AuthoriseRequest) -> Authorisation:
        """Set the amount aside.

        Raises:
            ApplicationError: ``declined``, ``payment_reversed`` or ``payment_conflict``, for good.
            GatewayError: If the gateway does not answer; try again.
            Unanswered: If the account does not answer; try again.
        """
        order_id, key = request.order_id, authorise_key(request.order_id)
        payment, is_new = await self._store.begin_authorisation(
            order_id, request.amount, request.currency, request.account_id or None
        )
        if payment.state is not State.AUTHORISING or _differs(payment, request):
            return _authorisation(payment, request)
        if request.account_id:
            with self._metrics.attempt(AUTHORISE):
                payment = await self._credit.set_aside(request)
            return _authorisation(payment, request)

        answer = await self._ask(
            AUTHORISE,
            key,
            lambda: self._gateway.authorise(
                key,
                amount=request.amount,
                currency=request.currency,
                card_token=request.card_token,
                reference=order_id,
            ),
            findings.authorisation,
            look_first=not is_new,
        )
        match answer:
            case gw.Authorised(id=authorisation_id, amount=amount, currency=currency):
                if (amount, currency) != (request.amount, request.currency):
                    raise _conflict(order_id)
                payment = await self._store.record_authorised(order_id, authorisation_id)
            case gw.Declined(reason=reason):
                payment = await self._store.record_declined(order_id, reason, since=State.AUTHORISING)
            case gw.Refused.KEY_BURNED:
                raise _reversed(order_id)
            case _:
                raise _conflict(order_id)
        return _authorisation(payment, request)

    @activity.defn(name="payments.capture")
    async def capture(self, request: CaptureRequest) -> Capture:
        """Take the amount that was set aside.

        Raises:
            ApplicationError: ``payment_missing``, ``payment_reversed`` or ``declined``, for good.
            GatewayError: If the gateway does not answer; try again.
        """
        order_id, key = request.order_id, capture_key(request.order_id)
        payment = await self._store.begin_capture(order_id)
        if payment is None or payment.state is not State.AUTHORISED:
            return _capture(payment, order_id)
        if payment.method is Method.STORE_CREDIT:  # it is set aside, and nobody outside is to be asked
            return _capture(await self._store.record_captured(order_id, key), order_id)

        answer = await self._ask(
            CAPTURE,
            key,
            lambda: self._gateway.capture(key, authorisation_key=authorise_key(order_id)),
            findings.capture,
            look_first=payment.capture_begun,
        )
        match answer:
            case gw.Captured(id=capture_id):
                payment = await self._store.record_captured(order_id, capture_id)
            case gw.Declined(reason=reason):
                payment = await self._store.record_declined(order_id, reason, since=State.AUTHORISED)
            case gw.Refused.KEY_BURNED:
                raise _reversed(order_id)
            case _:
                raise _missing(order_id)
        return _capture(payment, order_id)

    @activity.defn(name="payments.void")
    async def void(self, undo: Undo) -> VoidOutcome:
        """Fence the payment, then set the amount free by its key, which burns the key for a request still under way.

        Store credit is put back here, whether it was taken for good or not.

        Returns:
            The undo's result, unless a card's money is taken already.

        Raises:
            GatewayError: If the gateway does not answer; try again.
            Unanswered: If the account does not answer; try again.
        """
        order_id, key = undo.order_id, authorise_key(undo.order_id)
        # The fence stands before the gateway is told: whatever comes later is refused by one of the two.
        payment = await self._store.fence(order_id, undo.reason)
        if payment.state is State.REVERSED:
            return VoidOutcome(_result(payment))
        if payment.account_id is not None:
            with self._metrics.attempt(VOID):
                return VoidOutcome(_result(await self._credit.put_back(payment.account_id, order_id)))
        # No look-up before the first attempt: telling the gateway again is safe, and its answer is the same.
        answer = await self._ask(VOID, key, lambda: self._gateway.void(key), findings.void, look_first=False)
        if not isinstance(answer, gw.Voided):
            return VoidOutcome(None)
        return VoidOutcome(_result(await self._store.record_voided(order_id, answer.amount)))

    @activity.defn(name="payments.refund")
    async def refund(self, undo: Undo) -> Reversed:
        """Pay back what was taken. The payment is fenced already.

        Raises:
            GatewayError: If the gateway does not answer; try again.
        """
        order_id, key = undo.order_id, refund_key(undo.order_id)
        payment = await self._store.begin_refund(order_id)
        if payment.state is not State.REVERSED:
            answer = await self._ask(
                REFUND,
                key,
                lambda: self._gateway.refund(key, capture_key=capture_key(order_id)),
                findings.refund,
                look_first=payment.refund_begun,
            )
            payment = await self._store.record_refunded(order_id, answer.id, answer.amount, answer.currency)
        return _result(payment)

    async def _ask(
        self,
        operation: str,
        key: str,
        send: Callable[[], Awaitable[_Answer]],
        found: Callable[[gw.Operation], _Answer | None],
        *,
        look_first: bool,
    ) -> _Answer:
        """Have an effect at the gateway, and learn what became of it.

        Args:
            operation: What an attempt without an answer counts as.
            key: What the gateway knows the effect by.
            send: Asks for it.
            found: Reads what the gateway knows of the key as an answer; None if the effect has yet to happen.
            look_first: An earlier attempt may have asked already.

        Raises:
            OutcomeUnknown: If the look-up shows no effect yet. The next attempt looks again before it asks again.
        """
        with self._metrics.attempt(operation):
            if look_first and (answer := await self._look_up(key, found)) is not None:
                return answer
            try:
                return await send()
            except gw.OutcomeUnknown:
                activity.logger.warning("the gateway's answer is unknown: looking it up", extra={"key": key})
                answer = await self._look_up(key, found)
                if answer is None:
                    raise
                return answer

    async def _look_up(self, key: str, found: Callable[[gw.Operation], _Answer | None]) -> _Answer | None:
        operation = await self._gateway.operation(key)
        return None if operation is None else found(operation)


def _differs(payment: Payment, request: AuthoriseRequest) -> bool:
    had = (payment.amount, payment.currency, payment.account_id)
    return not payment.state.undone and had != (request.amount, request.currency, request.account_id or None)


def _authorisation(payment: Payment, request: AuthoriseRequest) -> Authorisation:
    """The step's result as the row has it, or the step's refusal."""
    if payment.state.undone:
        raise _reversed(payment.order_id)
    if _differs(payment, request):
        raise _conflict(payment.order_id)
    if payment.state is State.DECLINED or payment.authorisation_id is None:
        raise _declined(payment)
    return Authorisation(payment.order_id, request.amount, request.currency, payment.authorisation_id)


def _capture(payment: Payment | None, order_id: str) -> Capture:
    """The step's result as the row has it, or the step's refusal."""
    if payment is None:
        raise _missing(order_id)
    if payment.state.undone:
        raise _reversed(order_id)
    if payment.state is State.DECLINED and payment.authorisation_id is not None:
        raise _declined(payment)
    if payment.capture_id is None or payment.currency is None:
        raise _missing(order_id)
    return Capture(order_id, payment.captured, payment.currency, payment.capture_id)


def _result(payment: Payment) -> Reversed:
    return Reversed(payment.order_id, voided=payment.voided, refunded=payment.refunded)


def _declined(payment: Payment) -> ApplicationError:
    return _refusal(Refusal.DECLINED, payment.decline_reason or "declined")


def _reversed(order_id: str) -> ApplicationError:
    return _refusal(Refusal.PAYMENT_REVERSED, f"the payment of order {order_id} was reversed")


def _missing(order_id: str) -> ApplicationError:
    return _refusal(Refusal.PAYMENT_MISSING, f"order {order_id} has no authorised payment")


def _conflict(order_id: str) -> ApplicationError:
    return _refusal(Refusal.PAYMENT_CONFLICT, f"order {order_id} has another payment already")


def _refusal(kind: Refusal, message: str) -> ApplicationError:
    # Benign: a refusal is an answer, and no failure to log with its traceback or to count as one.
    return ApplicationError(message, type=kind, non_retryable=True, category=ApplicationErrorCategory.BENIGN)
