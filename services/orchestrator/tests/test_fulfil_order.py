"""FulfilOrder on the time-skipping server, with the callees faked on their real queues."""

import asyncio
import json
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import ResetWorkflowExecutionRequest
from temporalio.client import WorkflowFailureError, WorkflowHandle, WorkflowUpdateFailedError
from temporalio.common import Priority
from temporalio.exceptions import ApplicationError

from chassis.converter import INVALID_INPUT
from chassis.testing.waiting import eventually
from orchestrator import contract
from orchestrator.contract import Status
from orchestrator.contracts import inventory, payments
from orchestrator.import_contract import BULK

from .table import PATH, UNDONE, no_undo_overtook_a_step, undos


def an_id() -> str:
    return f"o-{uuid.uuid4().hex[:12]}"


async def why_update_failed(handle: WorkflowHandle[Any, Any], update: Any, argument: Any) -> str | None:
    with pytest.raises(WorkflowUpdateFailedError) as caught:
        await handle.execute_update(update, argument)
    assert isinstance(caught.value.cause, ApplicationError)
    return caught.value.cause.type


async def test_a_plain_order_is_fulfilled_over_three_queues(shop: Any) -> None:
    order_id = an_id()
    outcome = await (await shop.order(order_id=order_id)).result()
    assert outcome == contract.Outcome(
        order_id,
        Status.FULFILLED,
        total=3000,
        tracking_numbers=(f"B-{order_id}-1", f"B-{order_id}-2"),
    )
    assert sorted(shop.world.begun(order_id)) == sorted(PATH)
    assert shop.world.statuses(order_id) == [
        "reserving",
        "authorising",
        "booking",
        "committing",
        "capturing",
        "fulfilled",
    ]
    sequences = [state.sequence for state in shop.world.states[order_id]]
    assert sequences == sorted(set(sequences))
    assert [message.template for message in shop.world.messages[order_id]] == ["fulfilled"]


@pytest.mark.parametrize("priority", [contract.CUSTOMER, BULK])
async def test_the_steps_of_an_order_wait_in_the_line_that_the_order_waits_in(
    shop: Any, new_order: Any, priority: Priority
) -> None:
    order = new_order()
    handle = await shop.client.start_workflow(
        contract.FulfilOrder.run,
        order,
        id=contract.fulfil_id(order.order_id),
        task_queue=contract.TASK_QUEUE,
        priority=priority,
    )
    await handle.result()
    for step in (inventory.reserve_id(order.order_id), payments.capture_id(order.order_id)):
        history = await shop.client.get_workflow_handle(step).fetch_history()
        begun = history.events[0].workflow_execution_started_event_attributes
        assert begun.priority.priority_key == priority.priority_key


async def test_an_order_on_store_credit_asks_payments_for_the_account(shop: Any) -> None:
    order_id = an_id()
    outcome = await (await shop.order(order_id=order_id, card_token="", account_id="C-7")).result()
    assert outcome.status is Status.FULFILLED
    history = await shop.client.get_workflow_handle(payments.authorise_id(order_id)).fetch_history()
    [given] = history.events[0].workflow_execution_started_event_attributes.input.payloads
    asked = json.loads(given.data)
    assert (asked["card_token"], asked["account_id"], asked["amount"]) == ("", "C-7", 3000)


@pytest.mark.parametrize("pays", [{"card_token": ""}, {"account_id": "C-7"}])
def test_nothing_or_two_things_that_pay_are_no_order(new_order: Any, pays: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="either card_token or account_id"):
        new_order(**pays)


async def test_a_partial_order_ends_as_partially_fulfilled(shop: Any) -> None:
    order_id = an_id()
    outcome = await (await shop.order(order_id=order_id, allow_partial=True)).result()
    assert (outcome.status, outcome.total) == (Status.PARTIALLY_FULFILLED, 1000)
    assert outcome.missing == (contract.OrderLine("POT-1", 1),)
    assert shop.world.states[order_id][-1].missing == (("POT-1", 1),)
    [message] = shop.world.messages[order_id]
    assert "Not in stock: 1 of POT-1." in message.body


async def test_a_refusal_waits_for_its_sibling_before_the_first_undo(shop: Any) -> None:
    order_id = an_id()
    held = shop.world.hold(order_id, "plan")
    shop.world.refuse(order_id, "authorise", "declined")
    handle = await shop.order(order_id=order_id)
    await held.begun.wait()
    await eventually(lambda: "authorise refused" in shop.world.log[order_id])
    held.hold.set()
    assert (await handle.result()).status is Status.REJECTED
    assert no_undo_overtook_a_step(shop.world, order_id)


async def test_an_undo_is_cancelled_twice_and_runs_to_its_end(shop: Any) -> None:
    order_id = an_id()
    shop.world.refuse(order_id, "commit", "hold_expired")
    held = shop.world.hold(order_id, "reverse")
    handle = await shop.order(order_id=order_id)
    await held.begun.wait()
    await handle.cancel()
    await handle.query(contract.FulfilOrder.progress)
    await handle.cancel()
    await handle.query(contract.FulfilOrder.progress)
    held.hold.set()
    outcome = await handle.result()
    assert (outcome.status, outcome.reason) == (Status.REJECTED, "hold_expired")
    assert undos(shop.world, order_id) == UNDONE["commit"]
    assert {"reverse end", "release end"} <= set(shop.world.log[order_id])


async def test_after_the_pivot_a_cancellation_is_refused_and_temporals_is_ignored(shop: Any) -> None:
    order_id = an_id()
    held = shop.world.hold(order_id, "capture")
    handle = await shop.order(order_id=order_id)
    await held.begun.wait()
    refused = await why_update_failed(handle, contract.FulfilOrder.cancel, contract.CancelRequest())
    assert refused == contract.Refusal.TOO_LATE_TO_CANCEL
    await handle.cancel()
    held.hold.set()
    assert (await handle.result()).status is Status.FULFILLED
    assert undos(shop.world, order_id) == []


async def test_an_approved_order_goes_on(shop: Any) -> None:
    handle = await shop.order(approval_threshold=100)
    await shop.until(handle, Status.AWAITING_APPROVAL)
    decision = contract.Decision(approved=True, approver="mara")
    await handle.execute_update(contract.FulfilOrder.decide, decision)
    assert (await handle.result()).status is Status.FULFILLED
    assert (await handle.query(contract.FulfilOrder.progress)).decision == decision


async def test_a_refused_approval_rejects_the_order(shop: Any) -> None:
    handle = await shop.order(approval_threshold=100)
    await shop.until(handle, Status.AWAITING_APPROVAL)
    await handle.execute_update(contract.FulfilOrder.decide, contract.Decision(False, "mara", "too dear"))
    outcome = await handle.result()
    assert (outcome.status, outcome.reason) == (Status.REJECTED, contract.Refusal.APPROVAL_REFUSED)
    assert outcome.detail == "mara refused it: too dear"


async def test_nobody_approves_for_a_day_and_the_order_is_rejected(patient_shop: Any) -> None:
    order_id = an_id()
    outcome = await (await patient_shop.order(order_id=order_id, approval_threshold=100)).result()
    assert (outcome.status, outcome.reason) == (Status.REJECTED, contract.Refusal.APPROVAL_TIMED_OUT)
    assert undos(patient_shop.world, order_id) == ["release"]


async def test_a_customer_cancels_while_the_order_waits_for_its_approver(shop: Any) -> None:
    handle = await shop.order(approval_threshold=100)
    await shop.until(handle, Status.AWAITING_APPROVAL)
    await handle.execute_update(contract.FulfilOrder.cancel, contract.CancelRequest())
    assert (await handle.result()).status is Status.CANCELLED


async def test_an_approval_is_refused_where_nobody_waits_for_one(shop: Any) -> None:
    order_id = an_id()
    held = shop.world.hold(order_id, "commit")
    handle = await shop.order(order_id=order_id)
    await held.begun.wait()
    refused = await why_update_failed(handle, contract.FulfilOrder.decide, contract.Decision(True, "mara"))
    assert refused == contract.Refusal.NOT_AWAITING_APPROVAL
    held.hold.set()
    assert (await handle.result()).status is Status.FULFILLED


@pytest.mark.parametrize(("expected", "status"), [(3000, Status.FULFILLED), (2999, Status.REJECTED)])
async def test_another_price_than_expected_rejects_the_order(shop: Any, expected: int, status: Status) -> None:
    outcome = await (await shop.order(expected_total=expected)).result()
    assert outcome.status is status
    assert status is Status.FULFILLED or outcome.reason == contract.Refusal.PRICE_CHANGED


@pytest.mark.parametrize(
    ("price", "warehouses", "reason", "word"),
    [
        (100, 21, "too_many_parcels", "21 warehouses"),
        (10**11, 2, "total_out_of_range", "200000000000 EUR"),
        (0, 1, "total_out_of_range", "The total is 0"),
    ],
)
async def test_an_order_that_nobody_can_carry_or_pay_is_rejected_in_plain_words(
    shop: Any, price: int, warehouses: int, reason: str, word: str
) -> None:
    order_id = an_id()
    shop.world.reservations[order_id] = inventory.Reservation(
        order_id,
        "EUR",
        price * warehouses,
        tuple(inventory.ReservedLine("TEA-250", 1, f"w{number:02}", price, 250) for number in range(warehouses)),
        (),
        datetime.now(UTC) + timedelta(days=2),
    )
    outcome = await (await shop.order(order_id=order_id, approval_threshold=10**15)).result()
    assert (outcome.status, outcome.reason) == (Status.REJECTED, reason)
    assert word in (outcome.detail or "")
    assert shop.world.begun(order_id) == ["reserve", "release"]
    assert shop.world.statuses(order_id)[-2:] == ["compensating", "rejected"]


async def test_the_delivery_is_followed_and_then_a_review_is_asked_for(shop: Any) -> None:
    order_id = an_id()
    await (await shop.order(order_id=order_id, review_seconds=1)).result()
    follow = shop.client.get_workflow_handle(contract.follow_id(order_id), result_type=contract.Deliveries)
    deliveries = await follow.result()
    assert [(parcel.parcel, parcel.state) for parcel in deliveries.parcels] == [(1, "delivered"), (2, "delivered")]
    assert [message.template for message in shop.world.messages[order_id]] == ["fulfilled", "review"]
    last = shop.world.deliveries[order_id][-1]
    assert [parcel["state"] for parcel in last.parcels] == ["delivered", "delivered"]


async def test_a_delivery_that_is_reset_waits_for_the_tracks_that_go_on(shop: Any) -> None:
    order_id = an_id()
    held = shop.world.hold(order_id, "track_1")
    await (await shop.order(order_id=order_id, review_seconds=1)).result()
    await held.begun.wait()
    follow = shop.client.get_workflow_handle(contract.follow_id(order_id), result_type=contract.Deliveries)
    history = await follow.fetch_history()
    first = next(event for event in history.events if event.HasField("workflow_task_completed_event_attributes"))
    await shop.client.workflow_service.reset_workflow_execution(
        ResetWorkflowExecutionRequest(
            namespace=shop.client.namespace,
            workflow_execution=WorkflowExecution(workflow_id=follow.id),
            reason="as an operator does",
            request_id=uuid.uuid4().hex,
            workflow_task_finish_event_id=first.event_id,
        )
    )

    async def met_the_track() -> bool:
        kinds = [event.WhichOneof("attributes") for event in (await follow.fetch_history()).events]
        return "start_child_workflow_execution_failed_event_attributes" in kinds

    await eventually(met_the_track)
    held.let_go()
    deliveries = await follow.result()
    assert [(parcel.parcel, parcel.state) for parcel in deliveries.parcels] == [(1, "delivered"), (2, "delivered")]


@pytest.mark.parametrize(
    "nonsense",
    [
        {},
        {"quantity": 1.5},
        {"quantity": True},
        {"quantity": -1},
        {"quantity": "2"},
        {"lines": []},
        {"order_id": 7},
        {"order_id": ""},
        {"order_id": "x" * 300},
        {"order_id": "x" * 990},
        {"order_id": "a\nb"},
        {"order_id": "a\0b"},
        {"lines": [{"sku": "A", "quantity": 1}, {"sku": "A", "quantity": 2}]},
        {"lines": [{"sku": "A" * 5000, "quantity": 1}]},
        {"lines": [{"sku": "A\0", "quantity": 1}]},
        {"currency": "eur"},
        {"currency": "EUR\n"},
        {"approval_seconds": 10**9},
        {"approval_seconds": 10**15},
        {"approval_seconds": 0},
        {"review_seconds": 10**15},
        {"review_seconds": -1},
        {"card_token": "tok\0"},
        {"card_token": "tok\nok"},
        {"card_token": "", "account_id": "C 7"},
        {"email": ""},
        {"email": "nobody"},
        {"email": "a\0@example.org"},
        {"email": f"a@{'x' * 500}.org"},
        {"address": {"name": "a\0", "street": "b", "city": "c", "postcode": "d", "country": "NL"}},
        {"address": {"name": "a", "street": "b" * 5000, "city": "c", "postcode": "d", "country": "NL"}},
    ],
)
async def test_a_workflow_started_with_nonsense_fails_clearly_and_the_worker_lives(
    shop: Any, nonsense: dict[str, Any]
) -> None:
    order_id = an_id()
    body: dict[str, Any] = {
        "order_id": order_id,
        "currency": "EUR",
        "lines": [{"sku": "TEA-250", "quantity": nonsense.get("quantity", 1)}],
        "card_token": "tok_ok",
        "address": {"name": "a", "street": "b", "city": "c", "postcode": "d", "country": "NL"},
        "email": "a@example.org",
    } | {name: value for name, value in nonsense.items() if name != "quantity"}
    if not nonsense:
        body = {"utter": "nonsense"}
    handle = await shop.client.start_workflow(
        "orchestrator.FulfilOrder", body, id=contract.fulfil_id(order_id), task_queue=contract.TASK_QUEUE
    )
    with pytest.raises(WorkflowFailureError) as caught:
        await handle.result()
    assert isinstance(caught.value.cause, ApplicationError)
    assert caught.value.cause.type == INVALID_INPUT
    assert order_id not in shop.world.log
    assert (await (await shop.order()).result()).status is Status.FULFILLED


@pytest.mark.parametrize(
    "nonsense",
    [
        {"order_id": ""},
        {"order_id": "a\0b"},
        {"parcels": 0},
        {"parcels": -1},
        {"parcels": 3000},
        {"review_seconds": 10**15},
        {"review_seconds": -1},
        {"email": "nobody"},
    ],
)
async def test_a_delivery_followed_with_nonsense_fails_clearly(shop: Any, nonsense: dict[str, Any]) -> None:
    order_id = an_id()
    handle = await shop.client.start_workflow(
        "orchestrator.FollowDelivery",
        {"order_id": order_id, "parcels": 1, "email": "a@example.org", "review_seconds": 1} | nonsense,
        id=contract.follow_id(order_id),
        task_queue=contract.TASK_QUEUE,
    )
    with pytest.raises(WorkflowFailureError) as caught:
        await handle.result()
    assert isinstance(caught.value.cause, ApplicationError)
    assert caught.value.cause.type == INVALID_INPUT


@pytest.mark.parametrize(
    ("update", "nonsense"),
    [
        ("decide", {"approved": True, "approver": "mara\0"}),
        ("decide", {"approved": True, "approver": ""}),
        ("decide", {"approved": True, "approver": "mara", "note": "x" * 501}),
        ("cancel", {"reason": "a\0b"}),
        ("cancel", {"reason": "x" * 501}),
    ],
)
async def test_an_update_with_nonsense_is_refused_and_the_order_goes_on(
    shop: Any, update: str, nonsense: dict[str, Any]
) -> None:
    handle = await shop.order(approval_threshold=100)
    await shop.until(handle, Status.AWAITING_APPROVAL)
    assert await why_update_failed(handle, update, nonsense) == INVALID_INPUT
    await handle.execute_update(contract.FulfilOrder.decide, contract.Decision(approved=True, approver="mara"))
    assert (await handle.result()).status is Status.FULFILLED


@pytest.mark.parametrize("step", ["authorise", "commit", "capture"])
@pytest.mark.parametrize("answer", [{"amount": 1.5}, {}, [], 7])
async def test_an_answer_that_is_not_what_its_contract_says_fails_the_order_with_everything_undone(
    shop: Any, step: str, answer: Any
) -> None:
    order_id = an_id()
    shop.world.fate(order_id, step).answer = answer
    outcome = await (await shop.order(order_id=order_id)).result()
    assert (outcome.status, outcome.reason) == (Status.FAILED, "unforeseen")
    assert INVALID_INPUT in (outcome.detail or "")
    assert shop.world.books[order_id] == set()
    assert undos(shop.world, order_id) == UNDONE[step]
    assert [message.template for message in shop.world.messages[order_id]] == ["failed"]


async def test_what_an_undo_says_beyond_its_success_is_not_looked_at(shop: Any) -> None:
    order_id = an_id()
    shop.world.refuse(order_id, "commit", "hold_expired")
    shop.world.fate(order_id, "reverse").answer = {"refunded": 1.5}
    assert (await (await shop.order(order_id=order_id)).result()).status is Status.REJECTED
    assert undos(shop.world, order_id) == UNDONE["commit"]


@pytest.mark.parametrize("weight", [0, -5])
async def test_what_a_contract_does_not_take_fails_the_order_with_everything_undone(
    shop: Any, weight: int, caplog: pytest.LogCaptureFixture
) -> None:
    order_id = an_id()
    shop.world.reservations[order_id] = inventory.Reservation(
        order_id,
        "EUR",
        500,
        (inventory.ReservedLine("TEA-250", 1, "north", 500, weight),),
        (),
        datetime.now(UTC) + timedelta(days=2),
    )
    outcome = await (await shop.order(order_id=order_id)).result()
    assert (outcome.status, outcome.reason) == (Status.FAILED, "unforeseen")
    assert (outcome.detail or "").startswith("ValueError: a parcel has")
    assert shop.world.begun(order_id) == ["reserve", "release"]
    assert shop.world.statuses(order_id)[-2:] == ["compensating", "failed"]
    assert any(record.exc_info and "the order fails" in record.getMessage() for record in caplog.records)


async def test_thirty_orders_side_by_side_are_all_fulfilled(shop: Any) -> None:
    handles = [await shop.order() for _ in range(30)]
    outcomes = await asyncio.gather(*(handle.result() for handle in handles))
    assert {outcome.status for outcome in outcomes} == {Status.FULFILLED}
