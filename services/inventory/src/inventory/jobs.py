"""Inventory's own long jobs, which no other service starts: their names, ids and arguments.

The HTTP surface and the schedules start them by what stands here; the workflows are in ``workflows/``.
"""

from dataclasses import dataclass
from enum import StrEnum

IMPORT_CATALOGUE = "inventory.ImportCatalogue"
IMPORT_PARTITION = "inventory.ImportPartition"
STOCKTAKE_ROUND = "inventory.StocktakeRound"
WAREHOUSE_STOCKTAKE = "inventory.WarehouseStocktake"
RECONCILE_STOCK = "inventory.ReconcileStock"

SHEET_COMPLETE = "sheet_complete"
"""Signal to a warehouse's stocktake."""

MAX_WAREHOUSE = 200
"""Most characters of a warehouse's name."""

BULK = 5
"""Priority of bulk work on the queue, the lowest. What customers wait for has the default, 3, and goes first."""


def import_id_of(import_id: str) -> str:
    """Workflow id of an import's coordinator."""
    return f"import-catalogue:{import_id}"


def partition_id(import_id: str, number: int) -> str:
    """Workflow id of one partition of an import."""
    return f"import-partition:{import_id}:{number}"


def round_workflow_id(round_id: str) -> str:
    """Workflow id of a round of stocktakes."""
    return f"stocktake-round:{round_id}"


def stocktake_workflow_id(warehouse: str) -> str:
    """Workflow id of a warehouse's stocktake: one for each warehouse, so that there is never a second at a time."""
    return f"stocktake:{warehouse}"


def stocktake_key(round_id: str, warehouse: str) -> str:
    """Key of what one round does in one warehouse, under which its counts and movements stand."""
    return f"{round_id}:{warehouse}"


def _require_positive(**values: int) -> None:
    for name, value in values.items():
        if value < 1:
            raise ValueError(f"{name} is {value}, not positive")


@dataclass(frozen=True, slots=True)
class Portions:
    """Into what an import is divided.

    Raises:
        ValueError: If one of them is not positive.
    """

    partition_rows: int = 10_000
    """Lines of one partition, which is a child workflow with a history of its own."""
    chunk_rows: int = 1_000
    """Lines of one transaction."""
    concurrency: int = 4
    """Partitions that run at the same time."""
    renew_after: int = 0
    """Partitions after which the coordinator continues as new; 0: when the server suggests it. Tests set it."""

    def __post_init__(self) -> None:
        _require_positive(partition_rows=self.partition_rows, chunk_rows=self.chunk_rows, concurrency=self.concurrency)
        if self.renew_after < 0:
            raise ValueError(f"renew_after is {self.renew_after}, negative")


@dataclass(frozen=True, slots=True)
class Begun:
    """What one run of the coordinator hands to the next."""

    partitions: int
    rows: int
    next: int
    """Number of the first partition that has not been started."""
    done: int = 0
    """Rows that are through."""
    rejected: int = 0
    """Rows among them that were rejected."""
    failed: int = 0
    """Partitions that failed."""
    started_at: str = ""
    """When the import began: ISO 8601."""


@dataclass(frozen=True, slots=True)
class CatalogueImport:
    """Apply a supplier's list that stands in the staging table."""

    import_id: str
    portions: Portions = Portions()
    begun: Begun | None = None
    """Where an earlier run of the coordinator got to."""


@dataclass(frozen=True, slots=True)
class Partition:
    """One partition of an import."""

    import_id: str
    number: int
    chunk_rows: int


@dataclass(frozen=True, slots=True)
class Applied:
    """How far a partition is."""

    line: int
    """The last line that is through."""
    applied: int
    rejected: int
    finished: bool

    @property
    def rows(self) -> int:
        """Rows that are through."""
        return self.applied + self.rejected


@dataclass(frozen=True, slots=True)
class FailedPartition:
    """A partition that could not be finished."""

    number: int
    first_line: int
    """The first line that was not looked at."""
    last_line: int
    reason: str
    attempts: int


@dataclass(frozen=True, slots=True)
class ImportResult:
    """What became of an import."""

    import_id: str
    rows: int
    applied: int
    rejected: int
    skipped: int
    """Rows that were not looked at: of failed partitions, or after a cancellation."""
    failed_partitions: tuple[FailedPartition, ...]
    """The first of them, in order."""
    failed: int
    """How many partitions failed."""


class Counting(StrEnum):
    """Where the numbers of a stocktake come from."""

    SHEET = "sheet"
    """People count, and send what they counted."""
    BOOKS = "books"
    """A drill: what the books say is taken for counted, and nothing is corrected."""


class CountStatus(StrEnum):
    """How a warehouse's stocktake ended."""

    COUNTED = "counted"
    INCOMPLETE = "incomplete"
    """The deadline passed before the sheet was complete. What was counted is corrected, the rest is left."""
    CANCELLED = "cancelled"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Round:
    """Count some warehouses.

    Raises:
        ValueError: If a time is not positive, or a warehouse is named twice.
    """

    round_id: str
    warehouses: tuple[str, ...]
    """Empty: all that have shelves."""
    counting: Counting = Counting.SHEET
    deadline_seconds: int = 8 * 3600
    """How long the counting may take."""
    lease_seconds: int = 900
    """For how long a warehouse is closed at a time. The stocktake prolongs it; if it dies the warehouse opens then."""
    renew_after: int = 0
    """Prolongations after which a stocktake continues as new; 0: when the server suggests it. Tests set it."""

    def __post_init__(self) -> None:
        _require_positive(deadline_seconds=self.deadline_seconds, lease_seconds=self.lease_seconds)
        if len(set(self.warehouses)) != len(self.warehouses):
            raise ValueError("a warehouse is named twice")


@dataclass(frozen=True, slots=True)
class Stocktake:
    """Count one warehouse."""

    key: str
    round_id: str
    warehouse: str
    counting: Counting
    deadline_seconds: int
    lease_seconds: int
    renew_after: int = 0
    """As the round says."""
    deadline_at: str = ""
    """When the counting must be over, ISO 8601; empty before the warehouse is closed."""
    complete: bool = False
    """Whether the sheet is complete."""
    joined: tuple[str, ...] = ()
    """Workflow ids of other rounds that wait for the result."""


@dataclass(frozen=True, slots=True)
class RefusedCount:
    """A count that would leave fewer units than are held for orders. Somebody must decide which orders to let go."""

    sku: str
    counted: int
    held: int


@dataclass(frozen=True, slots=True)
class Counted:
    """What came of one warehouse's stocktake."""

    warehouse: str
    key: str
    """Of the stocktake: another round's, where a round joined it."""
    status: CountStatus
    counted: int = 0
    """SKUs that were counted."""
    corrected: int = 0
    """SKUs of which there were more or fewer than the books said."""
    units: int = 0
    """Units that came, or, if negative, went by that."""
    uncounted: int = 0
    """SKUs that should be there and were not counted."""
    refused: tuple[RefusedCount, ...] = ()
    """The first counts that were not booked."""
    reason: str = ""
    """Why it failed."""


@dataclass(frozen=True, slots=True)
class RoundResult:
    """What came of a round, by warehouse."""

    round_id: str
    warehouses: tuple[Counted, ...]


@dataclass(frozen=True, slots=True)
class Reconciled:
    """What a check of the stock found."""

    shelves: int
    violations: int
    """Shelves that are not what movements and holds say."""
