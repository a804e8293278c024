"""What the services' logs tell of workflow tasks that failed."""

import json
from pathlib import Path

from waybill.stack import SERVICES

FAILED_TASK = "Failing workflow task"
"""How the SDK's log line of a workflow task that fails begins, whatever made it fail; the failure stands in it."""
DEADLOCK = "[TMPRL1101]"
"""The SDK's word for a task that did not come to its end within 2 s. Our workflows do no more than milliseconds of work
between two awaits: where this stands, the machine gave the process no processor."""


def failed_tasks(directory: Path) -> list[str]:
    """Log lines of failed workflow tasks.

    Args:
        directory: Of the stack.
    """
    return [
        f"{service}: {line}"
        for service in SERVICES
        for path in sorted((directory / "logs").glob(f"{service}*.log"))
        for line in path.read_text().splitlines()
        if line.startswith("{") and str(json.loads(line).get("event", "")).startswith(FAILED_TASK)
    ]


def by_the_machine(lines: list[str]) -> bool:
    """Whether workflow tasks failed, and each of them because the machine was too slow."""
    return bool(lines) and all(DEADLOCK in line for line in lines)
