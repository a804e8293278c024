"""The workflows with their real activities, a real database and a gateway behind real HTTP."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from temporalio.client import Client, WorkflowFailureError
from temporalio.exceptions import ApplicationError
from temporalio.testing import WorkflowEnvironment

from chassis.testing.waiting import eventually
from payments import contract
from payments.contract import Authorisation, Capture, CaptureRequest, Refusal, Reversed, Undo
from payments.workflows.authorise_payment import AuthorisePayment

from .conftest import World, assert_nothing_is_left, new_order, request_for, serving
from .fake_gateway import Trouble


@pytest_asyncio.fixture
async def client(world: World, dev_server: WorkflowEnvironment) -> AsyncIterator[Client]:
    # Not the time-skipping server: with several workflows at once it miscounts what holds its clock, and either stops
    # answering or lets days pass while an activity runs.
    async with serving(world, dev_server) as client:
        yield client


async def _authorise(client: Client, order_id: str, card_token: str = "tok_ok", id: str | None = None) -> Authorisation:
    return await client.execute_workflow(
        contract.AuthorisePayment.run,
        request_for(order_id, card_token=card_token),
        id=id or contract.authorise_id(order_id),
        task_queue=contract.TASK_QUEUE,
    )


async def _capture(client: Client, order_id: str, id: str | None = None) -> Capture:
    return await client.execute_workflow(
        contract.CapturePayment.run,
        CaptureRequest(order_id),
        id=id or contract.capture_id(order_id),
        task_queue=contract.TASK_QUEUE,
    )


async def _reverse(client: Client, order_id: str, id: str | None = None) -> Reversed:
    return await client.execute_workflow(
        contract.ReversePayment.run,
        Undo(order_id, "test"),
        id=id or contract.reverse_id(order_id),
        task_queue=contract.TASK_QUEUE,
    )


def _refusal(failure: WorkflowFailureError) -> ApplicationError:
    assert isinstance(failure.cause, ApplicationError)
    assert failure.cause.non_retryable
    return failure.cause


async def test_a_payment_is_authorised_captured_and_paid_back(world: World, client: Client) -> None:
    order_id = new_order()
    assert (await _authorise(client, order_id)).amount == 1250
    assert (await _capture(client, order_id)).amount == 1250
    assert world.outside.taken(order_id) == 1250
    assert await _reverse(client, order_id) == Reversed(order_id, voided=0, refunded=1250)
    await assert_nothing_is_left(world, order_id)


async def test_a_payment_goes_through_on_a_real_server(world: World, dev_server: WorkflowEnvironment) -> None:
    order_id = new_order()
    async with serving(world, dev_server) as client:
        await _authorise(client, order_id)
        await _capture(client, order_id)
        assert await _reverse(client, order_id) == Reversed(order_id, voided=0, refunded=1250)
        with pytest.raises(WorkflowFailureError) as caught:
            await _capture(client, order_id, id=f"late:{order_id}")
    assert _refusal(caught.value).type == Refusal.PAYMENT_REVERSED
    await assert_nothing_is_left(world, order_id)


async def test_an_authorisation_is_voided(world: World, client: Client) -> None:
    order_id = new_order()
    await _authorise(client, order_id)
    assert await _reverse(client, order_id) == Reversed(order_id, voided=1250, refunded=0)
    await assert_nothing_is_left(world, order_id)


async def test_a_declined_card_fails_the_workflow_with_the_contracts_type(client: Client) -> None:
    with pytest.raises(WorkflowFailureError) as caught:
        await _authorise(client, new_order(), "tok_declined")
    refusal = _refusal(caught.value)
    assert (refusal.type, refusal.message) == (Refusal.DECLINED, "do_not_honour")


async def test_steps_that_arrive_after_their_undo_fail_with_payment_reversed(world: World, client: Client) -> None:
    order_id = new_order()
    assert await _reverse(client, order_id) == Reversed(order_id, 0, 0)
    for step in (_authorise, _capture):
        with pytest.raises(WorkflowFailureError) as caught:
            await step(client, order_id)
        assert _refusal(caught.value).type == Refusal.PAYMENT_REVERSED
    await assert_nothing_is_left(world, order_id)


async def test_a_capture_without_an_authorisation_fails_with_payment_missing(client: Client) -> None:
    with pytest.raises(WorkflowFailureError) as caught:
        await _capture(client, new_order())
    assert _refusal(caught.value).type == Refusal.PAYMENT_MISSING


async def test_30_parallel_duplicates_of_each_workflow_take_effect_once(world: World, client: Client) -> None:
    order_id = new_order()

    def names() -> list[str]:
        return [f"duplicate:{uuid.uuid4()}" for _ in range(30)]

    authorised = await asyncio.gather(*(_authorise(client, order_id, id=name) for name in names()))
    captured = await asyncio.gather(*(_capture(client, order_id, id=name) for name in names()))
    assert world.outside.taken(order_id) == 1250
    paid_back = await asyncio.gather(*(_reverse(client, order_id, id=name) for name in names()))
    assert len(set(authorised)) == len(set(captured)) == len(set(paid_back)) == 1
    await assert_nothing_is_left(world, order_id)


async def test_a_gateway_in_trouble_delays_a_payment_and_never_doubles_it(world: World, client: Client) -> None:
    order_id = new_order()
    for what in ("authorisations", "captures", "voids", "refunds"):
        world.outside.trouble[what] = [
            Trouble.ERROR_BEFORE_EFFECT,
            Trouble.DROP_BEFORE_EFFECT,
            Trouble.DROP_AFTER_EFFECT,
        ]
        world.outside.trouble["operations"] = [Trouble.ERROR_BEFORE_EFFECT] * 3
    await _authorise(client, order_id)
    await _capture(client, order_id)
    assert world.outside.taken(order_id) == 1250
    assert await _reverse(client, order_id) == Reversed(order_id, voided=0, refunded=1250)
    await assert_nothing_is_left(world, order_id)


async def test_a_step_cancelled_while_the_gateway_is_silent_is_undone_completely(world: World, client: Client) -> None:
    order_id = new_order()
    key = contract.authorise_key(order_id)
    world.outside.trouble["authorisations"] = [Trouble.HANG_AFTER_EFFECT]
    step = await client.start_workflow(
        AuthorisePayment.run,
        request_for(order_id),
        id=contract.authorise_id(order_id),
        task_queue=contract.TASK_QUEUE,
    )
    await eventually(lambda: world.outside.effects[key] == 1)
    await step.cancel()

    async def passed_on() -> bool:
        events = (await step.fetch_history()).events
        return any(event.HasField("activity_task_cancel_requested_event_attributes") for event in events)

    await eventually(passed_on)
    world.outside.released.set()
    # The cancellation waits for the effect to be known, and the step ends with its result.
    assert (await step.result()).amount == 1250
    await _reverse(client, order_id)
    await assert_nothing_is_left(world, order_id)


async def test_an_undo_overtakes_a_step_that_is_under_way(world: World, client: Client) -> None:
    order_id = new_order()
    key = contract.authorise_key(order_id)
    world.outside.trouble["authorisations"] = [Trouble.HANG_AFTER_EFFECT]
    # Should the step give up before the undo is through, it learns nothing by looking.
    world.outside.trouble["operations"] = [Trouble.ERROR_BEFORE_EFFECT] * 20
    step = asyncio.create_task(_authorise(client, order_id))
    await eventually(lambda: world.outside.effects[key] == 1)
    assert await _reverse(client, order_id) == Reversed(order_id, voided=1250, refunded=0)
    world.outside.trouble["operations"].clear()
    world.outside.released.set()
    with pytest.raises(WorkflowFailureError) as caught:
        await step
    assert _refusal(caught.value).type == Refusal.PAYMENT_REVERSED
    await assert_nothing_is_left(world, order_id)


GOOD = {"order_id": "o", "amount": 1, "currency": "EUR", "card_token": "tok_ok"}
NONSENSE: list[tuple[str, list[Any], str]] = [
    ("payments.AuthorisePayment", ["nonsense"], ""),
    ("payments.AuthorisePayment", [{}], "order_id"),
    ("payments.AuthorisePayment", [], ""),
    ("payments.AuthorisePayment", [None], ""),
    ("payments.AuthorisePayment", [GOOD | {"amount": True}], "amount"),
    ("payments.AuthorisePayment", [GOOD | {"amount": 1.5}], "amount"),
    ("payments.AuthorisePayment", [GOOD | {"amount": 0}], "amount"),
    ("payments.AuthorisePayment", [GOOD | {"amount": -1}], "amount"),
    ("payments.AuthorisePayment", [GOOD | {"amount": 10**30}], "amount"),
    ("payments.AuthorisePayment", [GOOD | {"currency": "euro"}], "currency"),
    ("payments.AuthorisePayment", [GOOD | {"card_token": ""}], "card_token"),
    ("payments.AuthorisePayment", [GOOD | {"order_id": "a\x00b"}], "order_id"),
    ("payments.CapturePayment", [{"order_id": ""}], "order_id"),
    ("payments.CapturePayment", [{"order_id": 7}], "order_id"),
    ("payments.ReversePayment", [{"order_id": "x" * 201, "reason": ""}], "order_id"),
    ("payments.ReversePayment", [{"order_id": "o"}], "reason"),
]


@pytest.mark.parametrize(("workflow", "args", "named"), NONSENSE)
async def test_nonsense_from_a_raw_client_fails_clearly_and_the_worker_lives(
    world: World, client: Client, workflow: str, args: list[Any], named: str
) -> None:
    with pytest.raises(WorkflowFailureError) as caught:
        await asyncio.wait_for(
            client.execute_workflow(workflow, args=args, id=f"nonsense:{uuid.uuid4()}", task_queue=contract.TASK_QUEUE),
            30,
        )
    assert isinstance(caught.value.cause, ApplicationError)
    assert named in caught.value.cause.message
    assert not world.outside.requests
    order_id = new_order()
    await _authorise(client, order_id)
    assert world.outside.set_aside(order_id) == 1250
