"""How long the orchestrator's own activities may take, and how they are tried again."""

from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy

RECORD_TIMEOUT = timedelta(seconds=10)
MESSAGE_TIMEOUT = timedelta(seconds=15)
"""The provider's own time-out and a write: see ``Settings.mailbox_seconds``."""
CONCLUDE_TIMEOUT = RECORD_TIMEOUT + MESSAGE_TIMEOUT
PATIENT = RetryPolicy(initial_interval=timedelta(milliseconds=200), maximum_interval=timedelta(seconds=10))
"""For what must happen in the end: tried until it succeeds."""
RECORD = workflow.ActivityConfig(start_to_close_timeout=RECORD_TIMEOUT, retry_policy=PATIENT)
"""Of what writes where customers see it."""
