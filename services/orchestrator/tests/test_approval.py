"""Waiting for an approver: reminded at half time, escalated shortly before the end, both off with the decision."""

import asyncio
import uuid
from datetime import timedelta
from typing import Any

import pytest
from temporalio.client import WorkflowHandle
from temporalio.testing import WorkflowEnvironment

from chassis.testing.waiting import eventually
from orchestrator import contract
from orchestrator.contract import Status

APPROVED = contract.Decision(approved=True, approver="mara")


async def timers_of(handle: WorkflowHandle[Any, Any]) -> tuple[list[float], int, int]:
    """Seconds of the timers that were started; how many fired, and how many were cancelled."""
    started, fired, cancelled = [], 0, 0
    async for event in handle.fetch_history_events():
        if event.HasField("timer_started_event_attributes"):
            started.append(event.timer_started_event_attributes.start_to_fire_timeout.ToTimedelta().total_seconds())
        fired += event.HasField("timer_fired_event_attributes")
        cancelled += event.HasField("timer_canceled_event_attributes")
    return started, fired, cancelled


async def test_a_decision_cancels_the_reminder_the_escalation_and_the_limit(shop: Any) -> None:
    handle = await shop.order(approval_threshold=100, approval_seconds=3600)
    await shop.until(handle, Status.AWAITING_APPROVAL)
    asked = await handle.query(contract.FulfilOrder.progress)
    assert (asked.status, asked.total) == (Status.AWAITING_APPROVAL, 3000)
    assert asked.approval.deadline - asked.approval.requested_at == timedelta(hours=1)
    await handle.execute_update(contract.FulfilOrder.decide, APPROVED)
    assert (await handle.result()).status is Status.FULFILLED
    started, fired, cancelled = await timers_of(handle)
    assert sorted(started) == [1800, 3000, 3600]
    assert (fired, cancelled) == (0, 3)
    order_id = handle.id.removeprefix("fulfil:")
    assert order_id not in shop.world.reminders
    approval = (await handle.query(contract.FulfilOrder.progress)).approval
    assert (approval.decided_by, approval.decision, approval.reminded_at) == ("mara", "approve", None)
    assert asked.approval.requested_at < approval.decided_at < approval.deadline
    stored = shop.world.states[order_id][-1].approval
    assert stored["decided_by"] == "mara"
    assert stored["decided_at"] == approval.decided_at.isoformat()
    assert stored["escalated_at"] is None


async def test_who_does_not_decide_in_a_day_is_reminded_and_then_somebody_else_is_told(patient_shop: Any) -> None:
    order_id = f"o-{uuid.uuid4().hex[:12]}"
    handle = await patient_shop.order(order_id=order_id, approval_threshold=100)
    outcome = await handle.result()
    assert (outcome.status, outcome.reason) == (Status.REJECTED, contract.Refusal.APPROVAL_TIMED_OUT)
    assert patient_shop.world.reminders[order_id] == ["approval_reminder", "approval_escalated"]
    approval = (await handle.query(contract.FulfilOrder.progress)).approval
    assert timedelta(hours=12) <= approval.reminded_at - approval.requested_at < timedelta(hours=13)
    assert timedelta(hours=20) <= approval.escalated_at - approval.requested_at < timedelta(hours=21)
    assert approval.decided_at is None
    details = [state.detail for state in patient_shop.world.states[order_id] if state.status == "awaiting_approval"]
    assert details[1:] == ["The approver was reminded.", "The missing approval was escalated."]


async def test_a_limit_of_two_seconds_has_room_for_both(patient_shop: Any) -> None:
    handle = await patient_shop.order(approval_threshold=100, approval_seconds=2)
    assert (await handle.result()).reason == contract.Refusal.APPROVAL_TIMED_OUT
    started, _, _ = await timers_of(handle)
    assert sorted(started[:3]) == pytest.approx([1, 5 / 3, 2])
    # Both are asked for. Whether the second is sent too is the machine's: its clock runs meanwhile, and 0.3 s are left.
    asked = [
        event.activity_task_scheduled_event_attributes
        async for event in handle.fetch_history_events()
        if event.HasField("activity_task_scheduled_event_attributes")
    ]
    assert [each.activity_type.name for each in asked].count("orchestrator.remind") == 2
    assert patient_shop.world.reminders[handle.id.removeprefix("fulfil:")][0] == "approval_reminder"


async def test_a_reminder_that_is_never_answered_does_not_hold_up_the_decision(shop: Any) -> None:
    order_id = f"o-{uuid.uuid4().hex[:12]}"
    held = shop.world.hold(order_id, "approval_reminder")
    handle = await shop.order(order_id=order_id, approval_threshold=100, approval_seconds=4)
    await held.begun.wait()
    await handle.execute_update(contract.FulfilOrder.decide, APPROVED)
    assert (await handle.result()).status is Status.FULFILLED
    assert order_id not in shop.world.reminders
    held.hold.set()


async def test_a_reminder_that_cannot_be_sent_neither_fails_the_order_nor_stops_the_escalation(
    patient_shop: Any, time_skipping: WorkflowEnvironment
) -> None:
    order_id = f"o-{uuid.uuid4().hex[:12]}"
    patient_shop.world.refuse(order_id, "approval_reminder", "NoMailbox")
    handle = await patient_shop.order(order_id=order_id, approval_threshold=100)
    await patient_shop.until(handle, Status.AWAITING_APPROVAL)
    await time_skipping.sleep(timedelta(hours=20, minutes=30))

    async def escalated() -> bool:
        return (await handle.query(contract.FulfilOrder.progress)).approval.escalated_at is not None

    await eventually(escalated)
    assert patient_shop.world.reminders[order_id] == ["approval_escalated"]
    # There are hours left for it: the clock skips only while somebody waits for a result, or sleeps.
    await handle.execute_update(contract.FulfilOrder.decide, APPROVED)
    await patient_shop.until(handle, Status.FULFILLED)
    approval = (await handle.query(contract.FulfilOrder.progress)).approval
    assert (approval.reminded_at, approval.decided_by) == (None, "mara")
    assert approval.escalated_at is not None


async def test_a_reminder_that_fails_for_a_while_is_sent_in_the_end(shop: Any) -> None:
    order_id = f"o-{uuid.uuid4().hex[:12]}"
    shop.world.refuse(order_id, "approval_reminder", "Flaky", final=False)
    handle = await shop.order(order_id=order_id, approval_threshold=100, approval_seconds=6)
    await eventually(lambda: shop.world.reminders.get(order_id) == ["approval_reminder"])
    await handle.execute_update(contract.FulfilOrder.cancel, contract.CancelRequest())
    assert (await handle.result()).status is Status.CANCELLED


async def test_many_orders_wait_for_their_approvers_side_by_side(shop: Any) -> None:
    handles = [await shop.order(approval_threshold=100) for _ in range(5)]
    for handle in handles:
        await shop.until(handle, Status.AWAITING_APPROVAL)
    await asyncio.gather(*(handle.execute_update(contract.FulfilOrder.decide, APPROVED) for handle in handles))
    assert {(await handle.result()).status for handle in handles} == {Status.FULFILLED}
