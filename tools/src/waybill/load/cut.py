"""What ends an experiment half-way, with what it measured until then."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import aiohttp
from temporalio.service import RPCError

from waybill.demo.shop import ShopError
from waybill.load.report.model import Section
from waybill.load.targets import LoadError
from waybill.stack.spec import StackError

CANNOT_GO_ON = (LoadError, ShopError, StackError, RPCError, aiohttp.ClientError, OSError)
"""What ends an experiment, and is told beside what was measured until then. A time-out is an OSError too."""


class CutShortError(Exception):
    """An experiment that could not go on, of which some points were measured.

    Attributes:
        section: With those.
        reason: Why not, for a person.
    """

    def __init__(self, section: Section, reason: str) -> None:
        """Take both."""
        super().__init__(reason)
        self.section = section
        self.reason = reason


def why(error: BaseException) -> str:
    """Why it could not go on, for a person: some errors have no text."""
    return str(error) or type(error).__name__


@contextmanager
def keeping(points: Sequence[object], section: Callable[[], Section]) -> Iterator[None]:
    """Keep the points measured until something ends the experiment: each took a minute or more.

    Args:
        points: Those measured, by then.
        section: Describes them.

    Raises:
        CutShortError: With their section, in the place of what ended it. Where there is none, that goes its way.
    """
    try:
        yield
    except CANNOT_GO_ON as error:
        if not points:
            raise
        raise CutShortError(section(), why(error)) from error
