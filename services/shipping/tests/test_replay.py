"""The workflows still make the decisions that they made when the histories were recorded.

Record anew with ``RECORD_HISTORIES=1 pytest``, which is right only for a workflow that has no runs left in the world.
"""

from pathlib import Path

import pytest
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer

from chassis.converter import DATA_CONVERTER
from shipping.workflows.registered import WORKFLOWS

HISTORIES = sorted((Path(__file__).parent / "histories").glob("*.json"))


@pytest.mark.parametrize("path", HISTORIES, ids=lambda path: path.stem)
async def test_a_recorded_history_replays(path: Path) -> None:
    history = WorkflowHistory.from_json(path.stem, path.read_text())  # noqa: ASYNC240 - a small file, in a test
    replayer = Replayer(workflows=WORKFLOWS, data_converter=DATA_CONVERTER)
    await replayer.replay_workflow(history)


def test_each_workflow_has_a_recorded_history() -> None:
    recorded = " ".join(path.read_text() for path in HISTORIES)
    for workflow in WORKFLOWS:
        assert f'"name": "shipping.{workflow.__name__}"' in recorded
