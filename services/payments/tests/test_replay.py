"""Workflows that run today are finished by the code of tomorrow.

``RECORD_HISTORIES=1 pytest tests/test_replay.py`` writes the histories anew. Do that for a new shape of a workflow,
under a new name, and keep the old ones for as long as such workflows may run.
"""

import asyncio
import json
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client, WorkflowFailureError, WorkflowHistory
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Replayer

from chassis.converter import DATA_CONVERTER
from payments import contract
from payments.account_terms import AccountRefused, Move, account_workflow_id
from payments.contract import CaptureRequest, Undo
from payments.settlement_terms import SettleRequest
from payments.workflows.authorise_payment import AuthorisePayment
from payments.workflows.capture_payment import CapturePayment
from payments.workflows.registered import WORKFLOWS
from payments.workflows.reverse_payment import ReversePayment
from payments.workflows.settle_payments import SettlePayments

from .conftest import World, account_with, credit_of, credit_request, new_key, new_order, request_for, serving
from .fake_gateway import Trouble

HISTORIES = Path(__file__).parent / "histories"


def _replayer() -> Replayer:
    return Replayer(workflows=WORKFLOWS, data_converter=DATA_CONVERTER)


async def _authorised(world: World, client: Client, order_id: str, card_token: str = "tok_ok") -> str:
    name = contract.authorise_id(order_id)
    await client.execute_workflow(
        AuthorisePayment.run,
        request_for(order_id, card_token=card_token),
        id=name,
        task_queue=contract.TASK_QUEUE,
    )
    return name


async def _declined(world: World, client: Client, order_id: str) -> str:
    with pytest.raises(WorkflowFailureError):
        await _authorised(world, client, order_id, "tok_declined")
    return contract.authorise_id(order_id)


async def _authorised_at_the_second_attempt(world: World, client: Client, order_id: str) -> str:
    world.outside.trouble["authorisations"] = [Trouble.ERROR_BEFORE_EFFECT]
    return await _authorised(world, client, order_id)


async def _captured(world: World, client: Client, order_id: str) -> str:
    await world.activities.authorise(request_for(order_id))
    name = contract.capture_id(order_id)
    await client.execute_workflow(CapturePayment.run, CaptureRequest(order_id), id=name, task_queue=contract.TASK_QUEUE)
    return name


async def _voided(world: World, client: Client, order_id: str) -> str:
    name = contract.reverse_id(order_id)
    await client.execute_workflow(
        ReversePayment.run, Undo(order_id, "recorded"), id=name, task_queue=contract.TASK_QUEUE
    )
    return name


async def _refunded(world: World, client: Client, order_id: str) -> str:
    await world.activities.authorise(request_for(order_id))
    await world.activities.capture(CaptureRequest(order_id))
    return await _voided(world, client, order_id)


async def _settled(world: World, client: Client, order_id: str) -> str:
    name = f"settle:{order_id}"
    request = SettleRequest("2020-03-02")
    await client.execute_workflow(SettlePayments.run, request, id=name, task_queue=contract.TASK_QUEUE)
    return name


SCENARIOS: dict[str, Callable[[World, Client, str], Awaitable[str]]] = {
    "authorise_authorised": _authorised,
    "authorise_declined": _declined,
    "authorise_retried": _authorised_at_the_second_attempt,
    "capture_captured": _captured,
    "reverse_voided": _voided,
    "reverse_refunded": _refunded,
    "settle": _settled,
}


async def _authorised_on_credit(world: World, client: Client, order_id: str) -> str:
    request = credit_request(order_id, await account_with(world, 2000))
    name = contract.authorise_id(order_id)
    await client.execute_workflow(AuthorisePayment.run, request, id=name, task_queue=contract.TASK_QUEUE)
    return name


async def _put_back(world: World, client: Client, order_id: str) -> str:
    await _authorised_on_credit(world, client, order_id)
    return await _voided(world, client, order_id)


async def _account(world: World, client: Client, order_id: str) -> str:
    credit = credit_of(world, client)
    request = credit_request(order_id, await account_with(world, 100))
    await credit.deposit(request.account_id, Move(new_key(), 2000, "EUR"))
    await credit.withdraw(request.account_id, Move(new_key(), 100, "EUR"))
    for refused in (Move(new_key(), 3000, "EUR"), Move(new_key(), 1, "USD")):
        with pytest.raises(AccountRefused):
            await credit.withdraw(request.account_id, refused)
    await credit.set_open(request.account_id, open=False)
    await credit.set_open(request.account_id, open=True)
    await client.execute_workflow(
        AuthorisePayment.run, request, id=contract.authorise_id(order_id), task_queue=contract.TASK_QUEUE
    )
    await _voided(world, client, order_id)
    return account_workflow_id(request.account_id)


async def _account_continued(world: World, client: Client, order_id: str) -> str:
    """Eight at a time, until there is a second run."""
    credit, account_id = credit_of(world, client), await account_with(world, 100)
    handle = client.get_workflow_handle(account_workflow_id(account_id))
    await credit.deposit(account_id, Move(new_key(), 1, "EUR"))
    first = (await handle.describe()).run_id
    while (await handle.describe()).run_id == first:
        await asyncio.gather(*(credit.deposit(account_id, Move(new_key(), 1, "EUR")) for _ in range(8)))
    return f"{handle.id}/{first}"


CREDIT_SCENARIOS: dict[str, Callable[[World, Client, str], Awaitable[str]]] = {
    "authorise_on_credit": _authorised_on_credit,
    "reverse_put_back": _put_back,
    "account": _account,
    "account_continued": _account_continued,
}


@pytest.mark.parametrize("name", SCENARIOS)
async def test_a_history_of_today_replays(name: str, world: World, time_skipping: WorkflowEnvironment) -> None:
    async with serving(world, time_skipping) as client:
        workflow_id = await SCENARIOS[name](world, client, new_order())
        history = await client.get_workflow_handle(workflow_id).fetch_history()
    await _replayed(name, workflow_id, history)


@pytest.mark.parametrize("name", CREDIT_SCENARIOS)
async def test_a_history_of_store_credit_replays(
    name: str, world: World, forgetful_server: WorkflowEnvironment
) -> None:
    async with serving(world, forgetful_server) as client:
        workflow_id, _, run_id = (await CREDIT_SCENARIOS[name](world, client, new_order())).partition("/")
        history = await client.get_workflow_handle(workflow_id, run_id=run_id or None).fetch_history()
    await _replayed(name, workflow_id, history)


async def _replayed(name: str, workflow_id: str, history: WorkflowHistory) -> None:
    await _replayer().replay_workflow(history)
    if os.environ.get("RECORD_HISTORIES"):
        record = {"workflow_id": workflow_id, "history": _anonymous(json.loads(history.to_json()))}
        (HISTORIES / f"{name}.json").write_text(json.dumps(record, indent=1, sort_keys=True) + "\n")


def _anonymous(history: Any) -> Any:
    """Without the name of the machine that recorded it, and the paths on it."""
    if isinstance(history, dict):
        return {
            key: "recorded" if key in ("identity", "stackTrace") else _anonymous(value)
            for key, value in history.items()
        }
    return [_anonymous(item) for item in history] if isinstance(history, list) else history


@pytest.mark.parametrize("path", sorted(HISTORIES.glob("*.json")), ids=lambda path: path.stem)
async def test_a_recorded_history_replays(path: Path) -> None:
    record = json.loads(await asyncio.to_thread(path.read_text))
    await _replayer().replay_workflow(WorkflowHistory.from_json(record["workflow_id"], record["history"]))


def test_every_scenario_is_recorded() -> None:
    assert {path.stem for path in HISTORIES.glob("*.json")} >= {*SCENARIOS, *CREDIT_SCENARIOS}
