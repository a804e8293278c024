"""What is measured of a service's database, as its client sees it."""

import time
from typing import Any

from prometheus_client import CollectorRegistry, Gauge, Histogram
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import QueuePool

DATABASE_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 15)
"""Up to the time that a statement may take."""

OPERATIONS = ("SELECT", "INSERT", "UPDATE", "DELETE")
OTHER_OPERATION = "OTHER"
_BEGUN = "waybill_begun"


class DatabaseMetrics:
    """Statements by what they do, and the pool's connections."""

    def __init__(self, registry: CollectorRegistry, engine: AsyncEngine) -> None:
        """Make the metrics, and listen to an engine.

        Args:
            registry: Of the service.
            engine: Of its database.
        """
        self._seconds = Histogram(
            "db_client_operation_duration_seconds",
            "Time that statements took, by kind.",
            ["db_operation_name"],
            buckets=DATABASE_BUCKETS,
            registry=registry,
        )
        for operation in (*OPERATIONS, OTHER_OPERATION):
            self._seconds.labels(operation)
        connections = Gauge(
            "db_client_connections",
            "Connections of the process to its database.",
            ["state"],
            registry=registry,
        )
        connections.labels("used").set_function(lambda: _pool(engine).checkedout())
        connections.labels("idle").set_function(lambda: _pool(engine).checkedin())
        event.listen(engine.sync_engine, "before_cursor_execute", self._begin)
        event.listen(engine.sync_engine, "after_cursor_execute", self._end)
        event.listen(engine.sync_engine, "handle_error", self._fail)

    def _begin(self, *said: Any) -> None:
        context = said[4]  # after connection, cursor, statement and parameters
        if context is not None:
            setattr(context, _BEGUN, time.perf_counter())

    def _end(self, *said: Any) -> None:
        self._observe(said[4], said[2])

    def _fail(self, failure: Any) -> None:
        self._observe(failure.execution_context, failure.statement or "")

    def _observe(self, context: Any, statement: str) -> None:
        begun = getattr(context, _BEGUN, None)
        if begun is not None:
            delattr(context, _BEGUN)
            self._seconds.labels(operation_of(context, statement)).observe(time.perf_counter() - begun)


def operation_of(context: Any, statement: str) -> str:
    """What a statement does, in one word. One that begins with WITH does what SQLAlchemy made it for.

    Args:
        context: SQLAlchemy's, of the execution.
        statement: In SQL.
    """
    for operation in ("INSERT", "UPDATE", "DELETE"):
        if getattr(context, f"is{operation.lower()}", False):
            return operation
    words = statement.split(None, 1)
    word = words[0].upper() if words else ""
    if word == "WITH":
        # Text of our own: what it writes, it writes at its end or in one of its parts.
        return next((each for each in ("INSERT", "UPDATE", "DELETE") if f"{each} " in statement), "SELECT")
    return word if word in OPERATIONS else OTHER_OPERATION


def _pool(engine: AsyncEngine) -> QueuePool:
    """The pool of an engine: a new one after ``dispose``."""
    pool = engine.pool
    if not isinstance(pool, QueuePool):
        raise TypeError(f"{type(pool).__name__} does not count its connections")
    return pool
