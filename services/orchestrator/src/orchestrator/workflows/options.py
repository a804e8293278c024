"""How long the orchestrator's own activities may take, and how they are tried again."""

from datetime import timedelta

from temporalio.common import RetryPolicy

RECORD_TIMEOUT = timedelta(seconds=10)
MESSAGE_TIMEOUT = timedelta(seconds=15)
"""The provider's own time-out and a write: see ``Settings.mailbox_seconds``."""
PATIENT = RetryPolicy(initial_interval=timedelta(milliseconds=200), maximum_interval=timedelta(seconds=10))
"""For what must happen in the end: tried until it succeeds."""
