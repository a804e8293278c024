"""The workflows still make the decisions that they made when the histories were recorded.

Record anew with ``RECORD_HISTORIES=1 pytest``, which is right only for a workflow that has no runs left in the world.
"""

import os
import re
import uuid
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer

from chassis.converter import DATA_CONVERTER
from orchestrator import contract
from orchestrator.workflows.follow_delivery import FollowDelivery
from orchestrator.workflows.fulfil_order import FulfilOrder

FOLDER = Path(__file__).parent / "histories"
CASES = (
    "fulfilled",
    "fulfilled_partly",
    "refused_and_undone",
    "approved",
    "approval_timed_out",
    "cancelled_by_customer",
    "cancelled_by_operator",
    "followed",
)


@pytest.mark.parametrize("case", CASES)
async def test_a_recorded_history_replays(case: str) -> None:
    history = WorkflowHistory.from_json(case, (FOLDER / f"{case}.json").read_text())
    replayer = Replayer(workflows=[FulfilOrder, FollowDelivery], data_converter=DATA_CONVERTER)
    await replayer.replay_workflow(history)


if os.environ.get("RECORD_HISTORIES"):

    @pytest.mark.parametrize("case", CASES)
    async def test_record(case: str, shop: Any) -> None:
        order_id = f"o-{uuid.uuid4().hex[:12]}"
        terms: dict[str, Any] = {"order_id": order_id, "review_seconds": 1}
        if case.startswith("approv"):
            terms |= {"approval_threshold": 1, "approval_seconds": 1 if case == "approval_timed_out" else 60}
        if case == "fulfilled_partly":
            terms |= {"allow_partial": True}
        if case == "refused_and_undone":
            shop.world.refuse(order_id, "book_2", "booking_refused")
        held = shop.world.hold(order_id, "authorise") if case.startswith("cancelled") else None
        handle = await shop.order(**terms)
        if case == "approved":
            await shop.until(handle, contract.Status.AWAITING_APPROVAL)
            await handle.execute_update(contract.FulfilOrder.decide, contract.Decision(True, "mara"))
        if held is not None:
            await held.begun.wait()
            if case == "cancelled_by_customer":
                await handle.execute_update(contract.FulfilOrder.cancel, contract.CancelRequest("no"))
            else:
                await handle.cancel()
            held.hold.set()
        if case == "followed":
            await handle.result()
            handle = shop.client.get_workflow_handle(contract.follow_id(order_id))
        async for _ in handle.fetch_history_events(wait_new_event=True):
            pass  # until it is closed, however it ends
        text = (await handle.fetch_history()).to_json()
        FOLDER.mkdir(exist_ok=True)
        (FOLDER / f"{case}.json").write_text(re.sub(r'"identity": "[^"]*"', '"identity": "recorded"', text))


def test_each_workflow_has_a_recorded_history() -> None:
    recorded = " ".join(path.read_text() for path in FOLDER.glob("*.json"))
    for workflow in ("FulfilOrder", "FollowDelivery"):
        assert f'"name": "orchestrator.{workflow}"' in recorded
