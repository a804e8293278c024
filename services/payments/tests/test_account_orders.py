"""Orders paid with store credit through the real workflows, on a real server, with workers that die."""

import asyncio
import json
import sys
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client, WorkflowFailureError
from temporalio.exceptions import ApplicationError
from temporalio.testing import WorkflowEnvironment

from chassis.testing.waiting import eventually
from payments import contract
from payments.account_terms import Booked, Move
from payments.contract import Authorisation, Capture, CaptureRequest, Refusal, Reversed, Undo
from payments.model import State
from payments.store_credit import StoreCredit, Unanswered

from .conftest import (
    World,
    account_with,
    balance_of,
    credit_of,
    credit_request,
    new_account,
    new_key,
    new_order,
    serving,
)

PROGRAM = Path(__file__).parent / "crashing_worker.py"


async def _authorise(client: Client, order_id: str, account_id: str) -> Authorisation:
    return await client.execute_workflow(
        contract.AuthorisePayment.run,
        credit_request(order_id, account_id),
        id=contract.authorise_id(order_id),
        task_queue=contract.TASK_QUEUE,
    )


async def _capture(client: Client, order_id: str) -> Capture:
    return await client.execute_workflow(
        contract.CapturePayment.run,
        CaptureRequest(order_id),
        id=contract.capture_id(order_id),
        task_queue=contract.TASK_QUEUE,
    )


async def _reverse(client: Client, order_id: str) -> Reversed:
    return await client.execute_workflow(
        contract.ReversePayment.run,
        Undo(order_id, "test"),
        id=contract.reverse_id(order_id),
        task_queue=contract.TASK_QUEUE,
    )


async def test_an_order_is_paid_with_store_credit_and_paid_back(world: World, dev_server: WorkflowEnvironment) -> None:
    order_id, account_id = new_order(), await account_with(world, 2000)
    async with serving(world, dev_server) as client:
        await _authorise(client, order_id, account_id)
        await _capture(client, order_id)
        assert await balance_of(world, account_id) == 750
        assert await _reverse(client, order_id) == Reversed(order_id, voided=0, refunded=1250)
    assert await balance_of(world, account_id) == 2000
    assert not world.outside.requests


@pytest.mark.parametrize("slots", [1, 2])
async def test_orders_that_hold_all_activity_slots_do_not_starve_their_account(
    world: World, dev_server: WorkflowEnvironment, slots: int
) -> None:
    """Each order's activity holds a slot while it waits for its account, whose own booking needs none of them."""
    account_id, orders = await account_with(world, 7 * 1250), [new_order() for _ in range(10)]
    async with serving(world, dev_server, activity_slots=slots) as client:
        answers = await asyncio.gather(
            *(_authorise(client, order_id, account_id) for order_id in orders), return_exceptions=True
        )
        declined = [answer.cause for answer in answers if isinstance(answer, WorkflowFailureError)]
        assert all(
            isinstance(cause, ApplicationError)
            and (cause.type, cause.message) == (Refusal.DECLINED, "insufficient_funds")
            for cause in declined
        )
        assert (len(answers), len(declined)) == (10, 3)
        assert await balance_of(world, account_id) == 0
        undone = await asyncio.gather(*(_reverse(client, order_id) for order_id in orders))
    assert sum(answer.voided for answer in undone) == await balance_of(world, account_id) == 7 * 1250
    # No attempt timed out and was repeated: an order's first update was answered.
    for order_id in orders:
        history = await dev_server.client.get_workflow_handle(contract.authorise_id(order_id)).fetch_history()
        attempts = [
            event.activity_task_started_event_attributes.attempt
            for event in history.events
            if event.HasField("activity_task_started_event_attributes")
        ]
        assert attempts == [1]


@asynccontextmanager
async def _program(
    world: World, server: WorkflowEnvironment, crash_on: str | None
) -> AsyncIterator[asyncio.subprocess.Process]:
    told = {
        "temporal": server.client.service_client.config.target_host,
        "database": world.database.engine.url.render_as_string(hide_password=False),
        "gateway": world.gateway._base,
        "crash_on": crash_on,
    }
    process = await asyncio.create_subprocess_exec(sys.executable, str(PROGRAM), json.dumps(told))
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _insist(credit: StoreCredit, account_id: str, move: Move) -> Booked:
    while True:  # as operators and activities do: the same again, under the same key
        try:
            return await credit.deposit(account_id, move)
        except Unanswered:
            continue


async def test_a_worker_killed_between_the_booking_and_its_answer_books_once(
    world: World, dev_server: WorkflowEnvironment
) -> None:
    account_id, move = new_account(), Move(new_key(), 500, "EUR")
    credit = credit_of(world, dev_server.client)
    asked = asyncio.create_task(_insist(credit, account_id, move))
    async with _program(world, dev_server, crash_on="deposit") as dying:
        assert await dying.wait() == -9
    # It is in the table, and nobody has heard of it.
    assert not asked.done()
    assert await balance_of(world, account_id) == 500
    async with serving(world, dev_server):
        booked = await asked
    assert (booked.line.booking_key, booked.balance.balance) == (move.booking_key, 500)
    assert await balance_of(world, account_id) == 500


async def test_a_worker_killed_while_it_sets_an_orders_amount_aside_sets_it_aside_once(
    world: World, dev_server: WorkflowEnvironment
) -> None:
    order_id, account_id = new_order(), await account_with(world, 2000)
    asked = asyncio.create_task(_authorise(dev_server.client, order_id, account_id))
    async with _program(world, dev_server, crash_on="withdraw") as dying:
        assert await dying.wait() == -9
    async with serving(world, dev_server) as client:
        assert (await asked).amount == 1250
        assert await balance_of(world, account_id) == 750
        async with _program(world, dev_server, crash_on=None):  # another replica joins
            assert (await _reverse(client, order_id)).voided == 1250
    assert await balance_of(world, account_id) == 2000
    assert (await world.store.payment(order_id)).state is State.REVERSED


async def test_a_worker_killed_under_a_stream_of_bookings_and_continue_as_news_changes_no_result(
    world: World, forgetful_server: WorkflowEnvironment
) -> None:
    account_id = await account_with(world, 1000)
    credit = credit_of(world, forgetful_server.client)

    async def stream(number: int) -> None:
        for turn in range(25):
            await _insist(credit, account_id, Move(f"{account_id}-{number}-{turn}", 1 + number, "EUR"))

    async def booked(least: int) -> bool:
        account = await world.accounts.account(account_id)
        return account is not None and account.entries >= least

    streams = asyncio.gather(*(stream(number) for number in range(4)))
    async with _program(world, forgetful_server, crash_on=None) as worker:
        await eventually(lambda: booked(40))
        worker.kill()
    async with serving(world, forgetful_server):
        await streams
    assert await balance_of(world, account_id) == 1000 + 25 * (1 + 2 + 3 + 4)
    assert len(await world.accounts.statement(account_id, 0, 1000)) == 101


async def test_30_parallel_duplicates_of_each_workflow_take_effect_once(
    world: World, dev_server: WorkflowEnvironment
) -> None:
    order_id, account_id = new_order(), await account_with(world, 2000)
    async with serving(world, dev_server) as client:

        async def thirty(run: Any, request: object) -> set[Any]:
            return set(
                await asyncio.gather(
                    *(
                        client.execute_workflow(
                            run, request, id=f"duplicate:{uuid.uuid4()}", task_queue=contract.TASK_QUEUE
                        )
                        for _ in range(30)
                    )
                )
            )

        assert len(await thirty(contract.AuthorisePayment.run, credit_request(order_id, account_id))) == 1
        assert len(await thirty(contract.CapturePayment.run, CaptureRequest(order_id))) == 1
        assert await balance_of(world, account_id) == 750
        assert await thirty(contract.ReversePayment.run, Undo(order_id, "test")) == {Reversed(order_id, 0, 1250)}
    assert await balance_of(world, account_id) == 2000
