"""A service with one choice of its chassis made otherwise: ``python -m waybill.bench.tuned SERVICE``.

Such a choice is no setting of the service, for nobody would make it otherwise: only a benchmark asks what it is worth.
"""

import asyncio
import gc
import os
import runpy
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, TypeVar

from temporalio.client import Client
from temporalio.converter import DataConverter
from temporalio.worker import UnsandboxedWorkflowRunner, Worker, WorkflowRunner
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner

from chassis import database, sandboxing, service, serving

T = TypeVar("T")

CHOICE = "WAYBILL_BENCH_CHOICE"
"""Variable that names the choice."""


def _sdk_runner() -> None:
    """The SDK's own sandbox: contracts and chassis are imported anew for each run."""
    sandboxing.runner = _no_matter_which(SandboxedWorkflowRunner)


def _asked() -> None:
    """The sandbox is asked of every payload whose it is."""
    sandboxing.wants_context = _always


def _always(converter: DataConverter) -> bool:  # noqa: ARG001 - it stands for another
    return True


def _unsandboxed() -> None:
    """No sandbox at all."""
    sandboxing.runner = _no_matter_which(UnsandboxedWorkflowRunner)


def _no_matter_which(runner: Callable[[], WorkflowRunner]) -> Any:
    def make(_workflows: Sequence[type], _converter: DataConverter) -> WorkflowRunner:
        return runner()

    return make


def _eager_start() -> None:
    """Workflows that a client starts may begin in its own process, without a poll."""
    start: Any = Client.start_workflow

    async def eagerly(self: Client, *arguments: Any, **options: Any) -> Any:
        return await start(self, *arguments, **options, request_eager_start=True)

    Client.start_workflow = eagerly  # type: ignore[method-assign]


def _frozen() -> None:
    """What the start left in memory is no more looked through for garbage, and what is new less often."""
    make = service.Service.worker

    def frozen(self: service.Service, client: Client) -> Worker:
        worker = make(self, client)
        gc.collect()
        gc.freeze()
        gc.set_threshold(20_000, 20, 20)
        return worker

    service.Service.worker = frozen  # type: ignore[method-assign]


def _asyncio() -> None:
    """Asyncio's own event loop."""
    vars(serving)["run_loop"] = _asyncio_run


def _asyncio_run(main: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(main)


def _unprepared() -> None:
    """PostgreSQL parses and plans each statement each time."""
    make: Any = vars(database)["create_async_engine"]

    def engine(address: Any, **options: Any) -> Any:
        options["connect_args"] = {**options["connect_args"], "prepare_threshold": None}
        return make(address, **options)

    vars(database)["create_async_engine"] = engine


CHOICES: Mapping[str, Callable[[], None]] = {
    "sdk-runner": _sdk_runner,
    "asked": _asked,
    "unsandboxed": _unsandboxed,
    "eager-start": _eager_start,
    "gc-frozen": _frozen,
    "asyncio": _asyncio,
    "unprepared": _unprepared,
}


def main(name: str, choice: str) -> None:
    """Be the service.

    Args:
        name: Of the service.
        choice: One of ``CHOICES``.
    """
    CHOICES[choice]()
    sys.argv = [name]
    runpy.run_module(name, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(sys.argv[1], os.environ[CHOICE])
