"""Histories that were recorded must replay, or workflows under way break when this version is rolled out.

``RECORD_HISTORIES=1 pytest tests/test_workflows.py`` records them anew. Keep the old ones beside, under names of their
own (``reserve_stock_1.json``), for as long as workflows of their kind may run.
"""

from pathlib import Path

import pytest
from temporalio import workflow
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer, UnsandboxedWorkflowRunner
from temporalio.workflow import NondeterminismError

from chassis.converter import DATA_CONVERTER
from chassis.service import Service
from inventory.workflows.registered import WORKFLOWS

HISTORIES = sorted((Path(__file__).parent / "histories").glob("*.json"))


def recorded(path: Path) -> WorkflowHistory:
    return WorkflowHistory.from_json(path.stem, path.read_text())


@pytest.mark.parametrize("path", HISTORIES, ids=[path.stem for path in HISTORIES])
async def test_a_recorded_history_replays(path: Path) -> None:
    await Replayer(workflows=WORKFLOWS, data_converter=DATA_CONVERTER).replay_workflow(recorded(path))


async def test_every_workflow_has_a_recorded_history(service: Service) -> None:
    seen = {
        recorded(path).events[0].workflow_execution_started_event_attributes.workflow_type.name for path in HISTORIES
    }
    assert list(service.workflows) == WORKFLOWS
    assert seen == {f"inventory.{cls.__name__}" for cls in WORKFLOWS}


@workflow.defn(name="inventory.ReleaseStock")
class Changed:
    @workflow.run
    async def run(self, undo: dict[str, str]) -> None:
        await workflow.sleep(1)


async def test_a_changed_workflow_would_be_noticed() -> None:
    replayer = Replayer(workflows=[Changed], data_converter=DATA_CONVERTER, workflow_runner=UnsandboxedWorkflowRunner())
    [path] = [path for path in HISTORIES if path.stem == "release_stock"]
    with pytest.raises(NondeterminismError):
        await replayer.replay_workflow(recorded(path))
