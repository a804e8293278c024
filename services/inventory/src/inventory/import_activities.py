"""What the import's workflows do to the world. Lists stay in the database: workflows know line numbers only."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.exc import NotSupportedError, ProgrammingError
from temporalio import activity
from temporalio.exceptions import ApplicationError

from inventory.applying import Applier, UnknownPartitionError
from inventory.beating import alive
from inventory.imports import ImportStore
from inventory.jobs import Applied, Begun, CatalogueImport, ImportResult, Partition

CHUNKS = 5
"""Chunks of one activity. Its time-out is for all of them."""
CLEARED = 20_000
"""Staged lines that are removed in one transaction."""

UNKNOWN = "unknown_import"
"""Type of the error for an import or a partition that does not exist. Not retryable."""
SENSELESS = "senseless"
"""Type of the error for a statement that the database cannot make sense of: it will make none the next time."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A partition cannot be finished."""

    import_id: str
    number: int
    reason: str
    attempts: int


@dataclass(frozen=True, slots=True)
class Ending:
    """An import is over."""

    import_id: str
    state: str
    """``completed``, ``cancelled`` or ``failed``."""


class ImportActivities:
    """The import's activities."""

    def __init__(self, store: ImportStore, applier: Applier) -> None:
        """Take what they work with."""
        self._store = store
        self._applier = applier

    def all(self) -> Sequence[Callable[..., Any]]:
        """The bound methods, for the worker."""
        return [self.prepare, self.apply, self.note_failure, self.finish]

    @activity.defn(name="inventory.import_prepare")
    async def prepare(self, job: CatalogueImport) -> Begun | None:
        """Reject lines that contradict each other, and divide the list into partitions.

        Returns:
            What there is to do, or None if the import is over.

        Raises:
            ApplicationError: ``unknown_import``, not retryable.
        """
        try:
            return await alive(self._store.prepare(job.import_id, job.portions))
        except LookupError as error:
            raise ApplicationError(str(error), type=UNKNOWN, non_retryable=True) from error

    @activity.defn(name="inventory.import_apply")
    async def apply(self, partition: Partition) -> Applied:
        """Apply the next lines of a partition: a few chunks, each in one transaction.

        Any replica can go on where another died: the partition's row in the database says from which line on, and
        moves in the transaction that applied the lines. The heartbeat tells the same to whoever looks at Temporal.

        Raises:
            ApplicationError: ``unknown_import`` or ``senseless``, not retryable; with the number of attempts.
        """
        applied = None
        attempt = activity.info().attempt
        for _ in range(CHUNKS):
            chunk = self._applier.chunk(partition.import_id, partition.number, partition.chunk_rows, attempt)
            try:
                applied = await alive(chunk, applied)
            except UnknownPartitionError as error:
                raise ApplicationError(str(error), attempt, type=UNKNOWN, non_retryable=True) from error
            except (ProgrammingError, NotSupportedError) as error:
                raise ApplicationError(str(error.orig), attempt, type=SENSELESS, non_retryable=True) from error
            activity.heartbeat(applied)
            # A worker that drains stops between two chunks, and the next activity goes on elsewhere.
            if applied.finished or activity.is_worker_shutdown():
                break
        assert applied is not None  # noqa: S101 - CHUNKS is positive
        return applied

    @activity.defn(name="inventory.import_note_failure")
    async def note_failure(self, failure: Failure) -> None:
        """Remember that a partition cannot be finished."""
        await self._store.note_failure(failure.import_id, failure.number, failure.reason, failure.attempts)

    @activity.defn(name="inventory.import_finish")
    async def finish(self, ending: Ending) -> ImportResult:
        """Remember what came of an import, and remove its staged lines.

        They stay where a partition failed: someone will want to look at them.

        Raises:
            ApplicationError: ``unknown_import``, not retryable.
        """
        try:
            result = await alive(self._store.finish(ending.import_id, ending.state))
        except LookupError as error:
            raise ApplicationError(str(error), type=UNKNOWN, non_retryable=True) from error
        if result.failed == 0 and ending.state != "failed":
            while await alive(self._store.clear(ending.import_id, CLEARED)):
                activity.heartbeat()
        return result
