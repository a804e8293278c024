"""The word for what ended an order."""

import asyncio

from temporalio.exceptions import ApplicationError

from orchestrator import contract
from orchestrator.contract import Status
from orchestrator.workflows.endings import stop_of

CUSTOMER = contract.CancelRequest("changed my mind")
STRANGE = ApplicationError("strange", type="Strange")
DECLINED = ApplicationError("no", type="declined")


def test_a_step_that_ends_strangely_while_it_is_cancelled_leaves_a_cancelled_order() -> None:
    assert stop_of(STRANGE, CUSTOMER, None).status == Status.CANCELLED
    assert stop_of(STRANGE, None, "").status == Status.CANCELLED


def test_a_refusal_is_the_reason_even_if_somebody_cancelled_meanwhile() -> None:
    assert stop_of(DECLINED, CUSTOMER, None).status == Status.REJECTED


def test_a_step_cancelled_by_somebody_else_fails_the_order() -> None:
    assert stop_of(asyncio.CancelledError(), None, None).status == Status.FAILED


def test_what_nobody_foresaw_is_named() -> None:
    assert stop_of(STRANGE, None, None).detail == "Strange: strange"
