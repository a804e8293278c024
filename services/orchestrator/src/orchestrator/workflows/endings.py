"""How an order ends: the word for what stopped it, and what the customer is told."""

import asyncio
from dataclasses import dataclass

from temporalio import exceptions
from temporalio.exceptions import ApplicationError, TerminatedError, is_cancelled_exception

from orchestrator import contract
from orchestrator.contract import Status
from orchestrator.contracts import inventory, payments, shipping

REJECTIONS = frozenset(
    {
        inventory.Refusal.UNKNOWN_SKU,
        inventory.Refusal.OUT_OF_STOCK,
        inventory.Refusal.WRONG_CURRENCY,
        inventory.Refusal.HOLD_EXPIRED,
        payments.Refusal.DECLINED,
        shipping.Refusal.NO_CARRIER,
        shipping.Refusal.BOOKING_REFUSED,
        contract.Refusal.PRICE_CHANGED,
        contract.Refusal.TOTAL_OUT_OF_RANGE,
        contract.Refusal.TOO_MANY_PARCELS,
        contract.Refusal.APPROVAL_REFUSED,
        contract.Refusal.APPROVAL_TIMED_OUT,
    }
)
"""Refusals that a customer can be told. The others (a step that came after its undo, say) are nobody's plan: failed."""

UNFORESEEN = "unforeseen"
BY_CUSTOMER = "by_customer"
BY_OPERATOR = "by_operator"


@dataclass(frozen=True, slots=True)
class Stop:
    """What ended an order before its goods were paid."""

    status: Status
    reason: str
    detail: str


def stop_of(error: BaseException, customer: contract.CancelRequest | None, operator: str | None) -> Stop:
    """Why an order stops.

    Args:
        error: What was raised.
        customer: The customer's cancellation, if there is one.
        operator: The text of Temporal's own cancellation, if there is one.
    """
    root = root_of(error)
    if isinstance(root, ApplicationError) and root.type in REJECTIONS:
        return Stop(Status.REJECTED, root.type, root.message)
    # A step that is cancelled may also end in a way of its own: what was asked for is what the order's end is called.
    if customer is not None:
        return Stop(Status.CANCELLED, BY_CUSTOMER, customer.reason or "The customer cancelled the order.")
    if operator is not None:
        return Stop(Status.CANCELLED, BY_OPERATOR, operator or "The order's workflow was cancelled.")
    if isinstance(error, asyncio.CancelledError) or is_cancelled_exception(error):
        return Stop(Status.FAILED, UNFORESEEN, "A step was cancelled by somebody else.")
    return Stop(Status.FAILED, UNFORESEEN, _unforeseen(root))


def _unforeseen(root: BaseException) -> str:
    match root:
        case exceptions.TimeoutError():
            return "A step found no worker within its backstop."
        case TerminatedError():
            return "A step was terminated."
        case ApplicationError():
            return str(root)  # its type and its message
        case _:
            return f"{type(root).__name__}: {root}"


def root_of(error: BaseException) -> BaseException:
    """What a step itself raised: it comes wrapped in the activity's and the child workflow's failures.

    What it was raised from is the step's own affair.
    """
    while isinstance(error, (exceptions.ActivityError, exceptions.ChildWorkflowError)) and error.cause is not None:
        error = error.cause
    return error


def message_of(order: contract.Order, outcome: contract.Outcome) -> tuple[str, str]:
    """Subject and body of what the customer is told at the end."""
    about = f"Your order {order.order_id}"
    match outcome.status:
        case Status.FULFILLED:
            return f"{about} is on its way", f"Tracking: {', '.join(outcome.tracking_numbers)}."
        case Status.PARTIALLY_FULFILLED:
            missing = ", ".join(f"{line.quantity} of {line.sku}" for line in outcome.missing)
            return (
                f"Part of {about.lower()} is on its way",
                f"Not in stock: {missing}. You pay for what is sent. Tracking: {', '.join(outcome.tracking_numbers)}.",
            )
        case Status.CANCELLED:
            return f"{about} is cancelled", "Nothing is charged."
        case _:
            return f"{about} cannot be fulfilled", f"{outcome.detail or outcome.reason} Nothing is charged."
