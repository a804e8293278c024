"""The one way out of a process."""

import logging
import os
import sys
from typing import NoReturn

logger = logging.getLogger(__name__)


def exit_now(code: int) -> NoReturn:
    """Flush what was written and leave without the interpreter's own finalisation.

    A process that used temporalio can abort while the interpreter shuts down, after its work is done
    (temporalio/sdk-python issue 300), and its exit code then says 134 or 139. Nothing of ours waits for finalisers.

    Args:
        code: Exit code of the process, from 0 to 255.
    """
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (BrokenPipeError, ValueError):
            # Whoever read this stream is gone, or it was closed: there is nobody left to tell.
            continue
    os._exit(code)
