"""What ImportOrders asks of the orders table, a chunk of rows at a time."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from temporalio import activity
from temporalio.client import WorkflowExecutionStatus
from temporalio.converter import value_to_type
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory
from temporalio.service import RPCError, RPCStatusCode

from chassis.connection import Connection
from orchestrator import contract
from orchestrator.import_contract import ImportResult, ImportStatus
from orchestrator.import_store import ImportStore, UnknownImport
from orchestrator.import_views import ImportViews
from orchestrator.metrics import GOOD

WATCH_SECONDS = 15.0
"""How long one attempt looks for ended orders; its start-to-close time-out is twice that."""
GATHER_SECONDS = 1.0
"""How long it waits for more, once it has some: few of them a look are many events an order."""
PAUSE = timedelta(seconds=2)
"""Between two attempts. They cost no events, so an order that waits for a day for its approver costs none."""
NOT_YET = "not_yet"
UNKNOWN_IMPORT = "unknown_import"


@dataclass(frozen=True, slots=True)
class TakeRequest:
    """Rows behind a line, as orders."""

    import_id: str
    after: int
    limit: int


@dataclass(frozen=True, slots=True)
class Taken:
    """See ``import_store.TakenRows``."""

    orders: tuple[contract.Order, ...]
    running: tuple[str, ...]
    last_line: int
    done: int
    exhausted: bool


@dataclass(frozen=True, slots=True)
class WatchRequest:
    """Wait until some orders have ended.

    Attributes:
        enough: How many are not waited for any longer.
    """

    import_id: str
    order_ids: tuple[str, ...]
    enough: int


@dataclass(frozen=True, slots=True)
class Watched:
    """Orders that ended, those that did well apart."""

    good: tuple[str, ...]
    bad: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Note:
    """Where an import is, in the order of ``sequence``."""

    import_id: str
    status: ImportStatus
    sequence: int


class ImportActivities:
    """Each may run twice and takes effect once."""

    def __init__(self, store: ImportStore, views: ImportViews, connection: Connection, *, look_seconds: float) -> None:
        """Take what they work with.

        Args:
            store: Of imports.
            views: Of the same.
            connection: To Temporal, to tell an order that takes long from one that was stopped.
            look_seconds: Pause between two looks at the orders table.
        """
        self._store = store
        self._views = views
        self._connection = connection
        self._pause = look_seconds

    def all(self) -> Sequence[Callable[..., Any]]:
        """For the worker."""
        return [self.take_rows, self.watch_orders, self.note_import, self.finish_import]

    @activity.defn(name="orchestrator.take_rows")
    async def take_rows(self, request: TakeRequest) -> Taken:
        """Accept the next rows as orders.

        Raises:
            ApplicationError: If there is no such import; not to be tried again.
        """
        try:
            taken = await self._store.take(request.import_id, request.after, request.limit)
        except UnknownImport as error:
            raise ApplicationError(
                f"there is no import {request.import_id}", type=UNKNOWN_IMPORT, non_retryable=True
            ) from error
        return Taken(
            tuple(value_to_type(contract.Order, order) for order in taken.orders),
            tuple(taken.running),
            taken.last_line,
            taken.done,
            taken.exhausted,
        )

    @activity.defn(name="orchestrator.watch_orders")
    async def watch_orders(self, request: WatchRequest) -> Watched:
        """Wait until enough orders have ended, or some have and no more do for a moment.

        Raises:
            ApplicationError: If none has yet; to be tried again, for as long as it takes.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + WATCH_SECONDS
        ended = await self._store.look(request.import_id, request.order_ids)
        while len(ended) < request.enough and loop.time() < deadline and not activity.is_worker_shutdown():
            if ended:
                deadline = min(deadline, loop.time() + GATHER_SECONDS)
            activity.heartbeat()
            await asyncio.sleep(self._pause)
            ended = await self._store.look(request.import_id, request.order_ids)
        lost = [] if ended or activity.is_worker_shutdown() else await self._stopped(request)
        if not ended and not lost:
            raise ApplicationError(
                f"none of {len(request.order_ids)} orders has ended yet",
                type=NOT_YET,
                next_retry_delay=PAUSE,
                category=ApplicationErrorCategory.BENIGN,
            )
        good = tuple(order_id for order_id, status in ended.items() if status in GOOD)
        return Watched(good, (*(order_id for order_id in ended if order_id not in good), *lost))

    async def _stopped(self, request: WatchRequest) -> list[str]:
        """Orders whose workflow ended without a word in the orders table: somebody terminated it."""
        closed = []
        for order_id in request.order_ids:
            activity.heartbeat()
            if await self._is_closed(order_id):
                closed.append(order_id)
        # It may have said its word between the look and this question.
        ended = await self._store.look(request.import_id, closed)
        lost = [order_id for order_id in closed if order_id not in ended]
        if lost:
            await self._store.lose(request.import_id, lost)
        return lost

    async def _is_closed(self, order_id: str) -> bool:
        handle = self._connection.client.get_workflow_handle(contract.fulfil_id(order_id))
        try:
            description = await handle.describe(rpc_timeout=timedelta(seconds=5))
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                return True
            raise
        return description.status is not WorkflowExecutionStatus.RUNNING

    @activity.defn(name="orchestrator.note_import")
    async def note_import(self, note: Note) -> None:
        """Write where an import is."""
        await self._store.note(note.import_id, note.status, note.sequence)

    @activity.defn(name="orchestrator.finish_import")
    async def finish_import(self, note: Note) -> ImportResult:
        """Write that an import is over, and say how its rows ended."""
        await self._store.note(note.import_id, note.status, note.sequence)
        outcomes = await self._views.outcomes(note.import_id)
        return ImportResult(note.import_id, note.status, sum(outcomes.values()), outcomes)
