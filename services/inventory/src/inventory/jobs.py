"""Inventory's own long jobs, which no other service starts: their names, ids and arguments.

The HTTP surface and the schedules start them by what stands here; the workflows are in ``workflows/``.
"""

from dataclasses import dataclass

IMPORT_CATALOGUE = "inventory.ImportCatalogue"
IMPORT_PARTITION = "inventory.ImportPartition"

BULK = 5
"""Priority of bulk work on the queue, the lowest. What customers wait for has the default, 3, and goes first."""


def import_id_of(import_id: str) -> str:
    """Workflow id of an import's coordinator."""
    return f"import-catalogue:{import_id}"


def partition_id(import_id: str, number: int) -> str:
    """Workflow id of one partition of an import."""
    return f"import-partition:{import_id}:{number}"


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
