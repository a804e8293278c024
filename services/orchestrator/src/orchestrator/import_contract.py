"""What the import of orders promises to its clients: its workflow, how it is steered, and what it says of itself.

Beside the standard library and temporalio it imports only the form of progress, which is the chassis's.
"""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from temporalio import workflow
from temporalio.common import Priority

from chassis.progress import Progress

MAX_WINDOW = 500
"""Most orders of one import that are under way at the same time."""

BULK_KEY = 5
"""Priority of imported orders, the lowest: what customers wait for goes first on every queue."""
BULK = Priority(priority_key=BULK_KEY)
"""Of an import and its orders, and by inheritance of all that they start: whatever else waits goes first."""


class ImportStatus(StrEnum):
    """Where an import is."""

    ACCEPTED = "accepted"
    RUNNING = "running"
    PAUSED = "paused"
    """Nothing is handed out; what is under way goes on."""
    COMPLETED = "completed"
    """Every row came to its end, good or not."""
    CANCELLED = "cancelled"
    """No more is handed out; what was under way goes on without the import."""
    FAILED = "failed"
    """Somebody terminated the import, or nobody foresaw what ended it."""


OVER = frozenset({ImportStatus.COMPLETED, ImportStatus.CANCELLED, ImportStatus.FAILED})

IMPORT_OVER = "import_over"
"""Type of the application error that refuses to steer an import that ended or is being cancelled."""


@dataclass(slots=True)
class Carried:
    """What an import knows of itself, taken along when it continues as new."""

    last_line: int = 0
    """Rows up to this one are handed out or refused."""
    exhausted: bool = False
    """There are no rows behind it."""
    running: list[str] = field(default_factory=list)
    """Ids of the orders under way."""
    done: int = 0
    failed: int = 0
    paused: bool = False
    cancelled: bool = False
    steered: int = 0
    """Updates that took effect."""
    sequence: int = 0
    """Of the last status that was written."""
    runs: int = 1
    started: datetime | None = None


@dataclass(frozen=True, slots=True)
class ImportRequest:
    """Hand out the rows of an import that stands in the staging table.

    Raises:
        ValueError: If the import has no id or no rows, or its window is not from 1 to ``MAX_WINDOW``.
    """

    import_id: str
    rows: int
    """All of them, the malformed ones among them."""
    window: int = 20
    """Most orders under way at the same time."""
    events: int = 0
    """Continue as new when the history has so many events; 0 leaves it to the server's suggestion."""
    carried: Carried = field(default_factory=Carried)
    priority: int = BULK_KEY
    """Of its orders, from 1, which goes first, to 5."""

    def __post_init__(self) -> None:
        if not self.import_id or self.rows < 1 or self.events < 0:
            raise ValueError("an import has an id and at least one row")
        if not 1 <= self.window <= MAX_WINDOW:
            raise ValueError(f"window is {self.window}, not from 1 to {MAX_WINDOW}")
        if not 1 <= self.priority <= BULK_KEY:
            raise ValueError(f"priority is {self.priority}, not from 1 to {BULK_KEY}")


@dataclass(frozen=True, slots=True)
class ImportState:
    """Where an import is, as its workflow knows it."""

    import_id: str
    status: ImportStatus
    last_line: int
    running: int
    """Orders under way."""
    steered: int
    """Updates that took effect, over all its runs."""
    runs: int
    """1, and one for each time that it continued as new."""


@dataclass(frozen=True, slots=True)
class ImportResult:
    """How an import ended."""

    import_id: str
    status: ImportStatus
    rows: int
    outcomes: dict[str, int]
    """How many rows came to which end: a status of an order, ``malformed``, ``duplicate``, ``lost`` (its workflow was
    stopped from outside), ``under_way`` or ``not_started`` (of a cancelled import)."""


@workflow.defn(name="orchestrator.ImportOrders")
class ImportOrders(Protocol):
    """Starts an order for each row, so many at a time, and leaves them to themselves.

    Its updates say what shall be, so that saying it twice is saying it once.
    """

    @workflow.run
    async def run(self, request: ImportRequest) -> ImportResult: ...

    @workflow.update
    async def pause(self) -> ImportState:
        """Hand out nothing for the time being. Refused with ``import_over``."""
        ...

    @workflow.update
    async def resume(self) -> ImportState:
        """Hand out again. Refused with ``import_over``."""
        ...

    @workflow.update
    async def cancel(self) -> ImportState:
        """Hand out no more, and end. Answers when it has ended. Refused with ``import_over`` once it is completed."""
        ...

    @workflow.query
    def progress(self) -> Progress:
        """How far it is, and how long it will take."""
        ...

    @workflow.query
    def state(self) -> ImportState:
        """Where it is."""
        ...


def import_id_of(import_id: str) -> str:
    """Workflow id of an import."""
    return f"import-orders:{import_id}"
