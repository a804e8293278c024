"""The one way out of a process."""

import logging
import os
import sys
from typing import NoReturn, TextIO

logger = logging.getLogger(__name__)


def exit_now(code: int) -> NoReturn:
    """Flush what was written and leave without the interpreter's own finalisation.

    A process that used temporalio can abort while the interpreter shuts down, after its work is done
    (temporalio/sdk-python issue 300), and its exit code then says 134 or 139. Nothing of ours waits for finalisers.

    Args:
        code: Exit code of the process, from 0 to 255.
    """
    logging.shutdown()
    # A process that was started without one of them has None in its place.
    streams: list[TextIO | None] = [sys.stdout, sys.stderr]
    for stream in streams:
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError):
            # Whoever read this stream is gone, its disk is full, or it was closed: there is nobody left to tell.
            continue
    os._exit(code)
