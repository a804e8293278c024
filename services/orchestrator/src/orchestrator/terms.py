"""From an order's body to the workflow's input: what the customer wants, and the terms of this moment."""

from typing import Any

from chassis.problems import Problem
from orchestrator.models import OrderBody
from orchestrator.settings import Settings


def terms_of(body: OrderBody, order_id: str, settings: Settings) -> dict[str, Any]:
    """The workflow's input.

    Args:
        body: Valid in form.
        order_id: The order's.
        settings: The shop's own limits.

    Raises:
        Problem: 422 if the shop does not take the currency, or does not wait that long for an approver.
    """
    thresholds, limit = settings.approval_thresholds, settings.approval_limit_seconds
    if body.currency not in thresholds:
        raise _problem("currency", f"{body.currency} is not taken.")
    if body.approval_limit_seconds is not None and body.approval_limit_seconds > limit:
        raise _problem("approval_limit_seconds", f"at most {limit}.")
    return {
        **body.model_dump(mode="json", exclude={"order_id", "approval_limit_seconds"}),
        "card_token": body.card_token or "",
        "account_id": body.account_id or "",
        "order_id": order_id,
        "approval_threshold": thresholds[body.currency],
        "approval_seconds": body.approval_limit_seconds or limit,
        "review_seconds": settings.review_seconds,
    }


def _problem(field: str, detail: str) -> Problem:
    return Problem(422, "Invalid Request", f"{field}: {detail}", field=field)
