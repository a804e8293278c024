"""The workflows still make the decisions that they made when the histories were recorded.

``RECORD_HISTORIES=1 pytest`` records those that are missing. To record one anew, remove it first, which is right only
for a workflow that has no runs left in the world.
"""

import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer

from chassis.converter import DATA_CONVERTER
from chassis.testing.waiting import eventually
from orchestrator import contract
from orchestrator.workflows.follow_delivery import FollowDelivery
from orchestrator.workflows.fulfil_order import FulfilOrder
from orchestrator.workflows.import_orders import ImportOrders
from orchestrator.workflows.report_sales import ReportSales

from .conftest import FINAL
from .recording import FOLDER, keep, recorded, to_record

CASES = (
    "fulfilled",
    "fulfilled_partly",
    "refused_and_undone",
    "approved",
    "approval_timed_out",
    "cancelled_by_customer",
    "cancelled_by_operator",
    "followed",
    "approved_after_reminders",
    "approval_timed_out_after_reminders",
    "imported",
    "reported",
    "undone_side_by_side",
)
REFUSALS = {
    "refused_and_undone": [("book_2", "booking_refused", 1)],
    # The fourth pause is longer than a turn.
    "undone_side_by_side": [("book_2", "booking_refused", 1), ("reverse", FINAL, 4)],
}
WORKFLOWS = [FulfilOrder, FollowDelivery, ImportOrders, ReportSales]


@pytest.mark.parametrize("case", CASES)
async def test_a_recorded_history_replays(case: str) -> None:
    await Replayer(workflows=WORKFLOWS, data_converter=DATA_CONVERTER).replay_workflow(recorded(case))


@pytest.mark.parametrize("case", CASES)
async def test_a_history_replays_from_wherever_a_worker_left_it(case: str) -> None:
    history = recorded(case)
    kinds = [event.WhichOneof("attributes") for event in history.events]
    shorter = []
    for task in (number for number, kind in enumerate(kinds) if kind == "workflow_task_completed_event_attributes"):
        # With the commands that the task ended with, and without what came after them.
        rest = enumerate(kinds[task:], start=task)
        end = next((number for number, kind in rest if kind == "workflow_task_scheduled_event_attributes"), len(kinds))
        shorter.append(WorkflowHistory(case, history.events[:end]))
    replayer = Replayer(workflows=WORKFLOWS, data_converter=DATA_CONVERTER)
    await replayer.replay_workflows(as_they_come(shorter))


async def as_they_come(histories: list[WorkflowHistory]) -> AsyncIterator[WorkflowHistory]:
    for history in histories:
        yield history


MISSING = [case for case in CASES if case not in ("imported", "reported") and to_record(case)]

if MISSING:

    @pytest.mark.parametrize("case", MISSING)
    async def test_record(case: str, shop: Any) -> None:
        order_id = f"o-{uuid.uuid4().hex[:12]}"
        terms: dict[str, Any] = {"order_id": order_id, "review_seconds": 1}
        if case.startswith("approv"):
            terms |= {"approval_threshold": 1, "approval_seconds": 6 if case.endswith("reminders") else 60}
        if case == "approval_timed_out":
            terms |= {"approval_seconds": 1}
        if case == "fulfilled_partly":
            terms |= {"allow_partial": True}
        for step, kind, times in REFUSALS.get(case, ()):
            shop.world.refuse(order_id, step, kind, times=times)
        held = shop.world.hold(order_id, "authorise") if case.startswith("cancelled") else None
        handle = await shop.order(**terms)
        if case == "approved_after_reminders":
            await eventually(lambda: len(shop.world.reminders.get(order_id, ())) == 2)
        if case.startswith("approved"):
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
        await keep(case, handle)


def test_each_workflow_has_a_recorded_history() -> None:
    all_of_them = " ".join(path.read_text() for path in FOLDER.glob("*.json"))
    for workflow in ("FulfilOrder", "FollowDelivery", "ImportOrders", "ReportSales"):
        assert f'"name": "orchestrator.{workflow}"' in all_of_them
