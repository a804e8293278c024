"""An interceptor for calls with too few or too many arguments, which would otherwise leave a workflow hanging."""

import inspect
from collections.abc import Callable
from typing import Any

from temporalio import workflow
from temporalio.exceptions import ApplicationError
from temporalio.worker import (
    ExecuteWorkflowInput,
    HandleSignalInput,
    HandleUpdateInput,
    Interceptor,
    WorkflowInboundInterceptor,
    WorkflowInterceptorClassInput,
)

from chassis.converter import INVALID_INPUT


class ArgumentGuard(Interceptor):
    """Guards every workflow of a worker.

    A workflow called with the wrong number of arguments raises TypeError, which fails its task and not itself: it is
    tried for ever, and so is one that is sent such a signal or update. With the guard the workflow fails, the update
    fails, and the signal, which has nobody to answer to, is logged and dropped.

    A workflow that takes its arguments in ``__init__`` too (``workflow.init``) is not reached.
    """

    def workflow_interceptor_class(self, input: WorkflowInterceptorClassInput) -> type[WorkflowInboundInterceptor]:  # noqa: A002, ARG002 - temporalio's names
        """See temporalio."""
        return _Guard


class _Guard(WorkflowInboundInterceptor):
    async def execute_workflow(self, input: ExecuteWorkflowInput) -> Any:  # noqa: A002 - temporalio's name
        _insist(input.run_fn, len(input.args) + 1)  # self
        return await super().execute_workflow(input)

    async def handle_signal(self, input: HandleSignalInput) -> None:  # noqa: A002 - temporalio's name
        try:
            _insist(workflow.get_signal_handler(input.signal), len(input.args))
        except ApplicationError as error:
            workflow.logger.error("signal %s dropped: %s", input.signal, error.message)
            return
        await super().handle_signal(input)

    def handle_update_validator(self, input: HandleUpdateInput) -> None:  # noqa: A002 - temporalio's name
        _insist(workflow.get_update_handler(input.update), len(input.args))
        super().handle_update_validator(input)

    async def handle_update_handler(self, input: HandleUpdateInput) -> Any:  # noqa: A002 - temporalio's name
        _insist(workflow.get_update_handler(input.update), len(input.args))
        return await super().handle_update_handler(input)


def _insist(function: Callable[..., Any] | None, given: int) -> None:
    """Refuse a wrong number of arguments.

    Ones with defaults count as well: temporalio decodes by type only where the numbers are equal.
    """
    if function is None:  # a dynamic handler takes what comes
        return
    wanted = len(inspect.signature(function).parameters)
    if given != wanted:
        spare = 0 if inspect.ismethod(function) else 1
        raise ApplicationError(
            f"expected {wanted - spare} arguments, got {given - spare}", type=INVALID_INPUT, non_retryable=True
        )
