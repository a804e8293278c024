"""Cancellation while each step is under way, and of the undo itself; what comes too late does nothing."""

import asyncio
from typing import Any
from unittest.mock import ANY

import pytest
from temporalio.client import WorkflowExecutionStatus

from inventory.contract import commit_id, release_id, reserve_id
from orchestrator.contract import fulfil_id
from payments.contract import authorise_id, authorise_key, capture_key, reverse_id
from shipping.contract import book_id, booking_key, plan_id

from .world import EXPENSIVE, World

CANCELLED = ("cancelled", "by_customer")
AUTHORISED_AND_VOIDED = {"authorisation": 1, "void": 1}
BOOKED_AND_CANCELLED = {"booking": 1, "cancellation": 1}


async def test_cancelled_while_the_stock_is_reserved(world: World) -> None:
    sku = await world.product(north=1)
    async with world.stock_locked(sku):
        order_id = await world.place(sku)
        await world.busy(reserve_id(order_id))
        assert (await world.cancel(order_id)).status == 202
    assert await world.ended(order_id) == CANCELLED
    assert "authorising" not in await world.states_of(order_id)
    assert await world.ended(await world.place(sku)) == ("fulfilled", None)  # the only unit is free again


async def test_cancelled_while_it_waits_for_an_approver(world: World) -> None:
    order_id = await world.place(price=EXPENSIVE)
    await world.reached(order_id, "awaiting_approval")
    assert (await world.cancel(order_id)).status == 202
    assert await world.ended(order_id) == CANCELLED
    assert (await world.decide(order_id, "approve")).status == 409


async def test_cancelled_while_the_payment_is_authorised(world: World) -> None:
    order_id = await world.place(card="tok_timeout_after_charge")
    await world.busy(authorise_id(order_id))
    assert (await world.cancel(order_id)).status == 202
    assert await world.ended(order_id) == CANCELLED
    assert "booking" not in await world.states_of(order_id)
    assert await world.happened(authorise_key(order_id)) == AUTHORISED_AND_VOIDED


async def test_cancelled_while_the_shipment_is_planned(world: World) -> None:
    order_id = await world.place(postcode="SLOW-ALL")
    await asyncio.gather(world.busy(plan_id(order_id)), world.closed(authorise_id(order_id)))
    assert (await world.cancel(order_id)).status == 202
    assert await world.ended(order_id) == CANCELLED
    assert "booking" not in await world.states_of(order_id)
    assert await world.happened(authorise_key(order_id)) == AUTHORISED_AND_VOIDED


async def test_cancelled_while_a_parcel_is_booked(world: World) -> None:
    order_id = await world.place(postcode="BOOK-TIMEOUT")
    await world.busy(book_id(order_id, 1))
    assert (await world.cancel(order_id)).status == 202
    assert await world.ended(order_id) == CANCELLED
    assert "committing" not in await world.states_of(order_id)
    assert await world.happened(booking_key(order_id, 1)) == BOOKED_AND_CANCELLED
    assert await world.happened(authorise_key(order_id)) == AUTHORISED_AND_VOIDED


async def test_cancelled_while_the_stock_is_committed(world: World) -> None:
    sku = await world.product(EXPENSIVE, north=1)
    order_id = await world.place(sku)
    await world.reached(order_id, "awaiting_approval")
    async with world.stock_locked(sku):
        await world.decide(order_id, "approve")
        await world.busy(commit_id(order_id))
        assert (await world.cancel(order_id)).status == 202
    assert await world.ended(order_id) == CANCELLED
    assert "capturing" not in await world.states_of(order_id)
    assert await world.happened(capture_key(order_id)) == {}
    assert await world.happened(booking_key(order_id, 1)) == BOOKED_AND_CANCELLED


async def test_too_late_to_cancel_while_the_payment_is_captured(world: World) -> None:
    order_id = await world.place(card="tok_timeout_after_capture")
    await world.requested(capture_key(order_id), "capture")
    await world.faults(gateway={"outage": True})  # what became of it cannot be looked up
    answer = await world.cancel(order_id)
    assert (answer.status, answer.document["error"]) == (409, "too_late_to_cancel")
    # Temporal's own cancellation cannot be refused; it changes nothing any more.
    await world.client.get_workflow_handle(fulfil_id(order_id)).cancel()
    await world.faults(gateway={})
    assert await world.ended(order_id) == ("fulfilled", None)
    assert await world.closed(fulfil_id(order_id)) is WorkflowExecutionStatus.COMPLETED
    assert await world.happened(capture_key(order_id)) == {"capture": 1}


@pytest.mark.parametrize("fate", [{"card": "tok_timeout_after_charge"}, {"postcode": "BOOK-TIMEOUT"}], ids=str)
async def test_a_cancellation_by_temporal_undoes_and_ends_the_workflow_as_cancelled(
    world: World, fate: dict[str, Any]
) -> None:
    order_id = await world.place(**fate)
    await world.busy(authorise_id(order_id) if "card" in fate else book_id(order_id, 1))
    await world.client.get_workflow_handle(fulfil_id(order_id)).cancel()
    assert await world.ended(order_id) == ("cancelled", "by_operator")
    assert await world.closed(fulfil_id(order_id)) is WorkflowExecutionStatus.CANCELED
    assert await world.happened(authorise_key(order_id)) == AUTHORISED_AND_VOIDED


async def test_an_undo_cancelled_twice_while_it_runs_goes_on_to_its_end(world: World) -> None:
    sku = await world.product(EXPENSIVE, north=1)
    order_id = await world.place(sku)
    await world.reached(order_id, "awaiting_approval")
    workflow = world.client.get_workflow_handle(fulfil_id(order_id))
    async with world.stock_locked(sku):
        assert (await world.cancel(order_id)).status == 202
        await world.busy(release_id(order_id))
        await workflow.cancel()
        await workflow.cancel()
        assert (await world.cancel(order_id)).status == 202  # joins the first
        # The undo itself too: what it has begun, it ends.
        await world.client.get_workflow_handle(release_id(order_id)).cancel()
        assert await world.states_of(order_id) == ["accepted", "reserving", "awaiting_approval", "compensating"]
    assert await world.ended(order_id) == CANCELLED
    assert await world.closed(release_id(order_id)) is WorkflowExecutionStatus.COMPLETED


async def test_an_undo_of_several_steps_is_cancelled_while_the_first_of_them_fails(world: World) -> None:
    order_id = await world.place(postcode="BOOK-TIMEOUT")
    await world.busy(book_id(order_id, 1))
    await world.faults(gateway={"outage": True})
    assert (await world.cancel(order_id)).status == 202
    await world.reached(order_id, "compensating")
    workflow = world.client.get_workflow_handle(fulfil_id(order_id))
    await workflow.cancel()
    await world.tried_twice(reverse_id(order_id))
    await workflow.cancel()
    await world.faults(gateway={})
    assert await world.ended(order_id) == CANCELLED
    assert await world.happened(authorise_key(order_id)) == AUTHORISED_AND_VOIDED
    assert await world.happened(booking_key(order_id, 1)) == BOOKED_AND_CANCELLED


async def test_an_undo_that_somebody_stops_begins_again(world: World) -> None:
    order_id = await world.place(card="tok_timeout_after_charge")
    await world.requested(authorise_key(order_id), "authorisation")
    await world.faults(gateway={"outage": True})
    assert (await world.cancel(order_id)).status == 202
    first = await world.tried_twice(reverse_id(order_id))
    await world.client.get_workflow_handle(reverse_id(order_id), run_id=first).cancel()
    second = await world.tried_twice(reverse_id(order_id), after=first)
    await world.client.get_workflow_handle(reverse_id(order_id), run_id=second).terminate()
    await world.faults(gateway={})
    assert await world.ended(order_id) == CANCELLED
    assert await world.happened(authorise_key(order_id)) == AUTHORISED_AND_VOIDED


async def test_a_step_that_reaches_the_gateway_after_its_undo_does_nothing(world: World) -> None:
    # The request is on its way for longer than its sender waits for it, looks for it, and undoes it.
    await world.faults(gateway={"latency_seconds": 10})
    order_id = await world.place()
    await world.busy(authorise_id(order_id))
    assert (await world.cancel(order_id)).status == 202
    await world.reached(order_id, "compensating")
    await world.faults(gateway={})  # for those that come later
    assert await world.ended(order_id) == CANCELLED
    assert await world.counts(authorise_key(order_id)) == {"void": {"effects": 0, "requests": ANY}}
    await world.requested(authorise_key(order_id), "authorisation")  # it has come now
    assert await world.happened(authorise_key(order_id)) == {}


async def test_a_step_whose_service_is_paused_in_its_middle_is_undone_when_it_goes_on(world: World) -> None:
    order_id = await world.place(card="tok_timeout_after_charge")
    await world.requested(authorise_key(order_id), "authorisation")
    world.stack.pause("payments")  # charged, and nobody heard of it
    assert (await world.cancel(order_id)).status == 202
    await world.told_to_stop(authorise_id(order_id))
    assert await world.states_of(order_id) == ["accepted", "reserving", "authorising"]  # nothing is undone before
    world.stack.resume("payments")
    assert await world.ended(order_id) == CANCELLED
    assert await world.happened(authorise_key(order_id)) == AUTHORISED_AND_VOIDED


async def test_a_step_that_is_still_in_its_transaction_when_its_undo_begins_is_undone(world: World) -> None:
    sku = await world.product(north=1)
    async with world.stock_locked(sku):
        order_id = await world.place(sku)
        await world.busy(reserve_id(order_id))
        assert (await world.cancel(order_id)).status == 202
        # The attempt has run into its time-out, but its transaction is there, and the undo begins.
        await world.busy(release_id(order_id))
    assert await world.ended(order_id) == CANCELLED
    assert await world.ended(await world.place(sku)) == ("fulfilled", None)  # the only unit is free again
