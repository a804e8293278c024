"""Histories that are kept, for the replay tests."""

import os
import re
from pathlib import Path
from typing import Any

from temporalio.client import WorkflowHandle, WorkflowHistory

FOLDER = Path(__file__).parent / "histories"


def to_record(case: str) -> bool:
    """Whether it is asked for and missing."""
    return bool(os.environ.get("RECORD_HISTORIES")) and not (FOLDER / f"{case}.json").exists()


def recorded(case: str) -> WorkflowHistory:
    return WorkflowHistory.from_json(case, (FOLDER / f"{case}.json").read_text())


async def keep(case: str, handle: WorkflowHandle[Any, Any]) -> None:
    async for _ in handle.fetch_history_events(wait_new_event=True):
        pass  # until it is closed, however it ends
    text = (await handle.fetch_history()).to_json()
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / f"{case}.json").write_text(re.sub(r'"identity": "[^"]*"', '"identity": "recorded"', text))
