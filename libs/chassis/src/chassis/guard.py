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

    A workflow that takes its arguments in ``__init__`` too (``workflow.init``) is not reached, nor are dynamic handlers
    and those set at run time.
    """

    def workflow_interceptor_class(self, input: WorkflowInterceptorClassInput) -> type[WorkflowInboundInterceptor]:  # noqa: A002, ARG002 - temporalio's names
        """See temporalio."""
        return _Guard


class _Guard(WorkflowInboundInterceptor):
    async def execute_workflow(self, input: ExecuteWorkflowInput) -> Any:  # noqa: A002 - temporalio's name
        _insist(input.run_fn, len(input.args))
        return await super().execute_workflow(input)

    async def handle_signal(self, input: HandleSignalInput) -> None:  # noqa: A002 - temporalio's name
        try:
            if (handler := _definition().signals.get(input.signal)) is not None:
                _insist(handler.fn, len(input.args))
        except ApplicationError as error:
            workflow.logger.error("signal %s dropped: %s", input.signal, error.message)
            return
        await super().handle_signal(input)

    def handle_update_validator(self, input: HandleUpdateInput) -> None:  # noqa: A002 - temporalio's name
        _insist_on_update(input)
        super().handle_update_validator(input)

    async def handle_update_handler(self, input: HandleUpdateInput) -> Any:  # noqa: A002 - temporalio's name
        _insist_on_update(input)
        return await super().handle_update_handler(input)


def _insist_on_update(given: HandleUpdateInput) -> None:
    if (handler := _definition().updates.get(given.update)) is not None:
        _insist(handler.fn, len(given.args))


def _definition() -> Any:
    # What workflow.get_signal_handler returns is wrapped and hides the handler's parameters.
    return workflow._Definition.must_from_class(type(workflow.instance()))  # noqa: SLF001 - see above


def _insist(method: Callable[..., Any], given: int) -> None:
    """Refuse a wrong number of arguments.

    All or, where each has a default, none: temporalio decodes by type only where the number is that of the parameters.
    """
    parameters = list(inspect.signature(method).parameters.values())[1:]  # without self
    optional = all(parameter.default is not inspect.Parameter.empty for parameter in parameters)
    if given != len(parameters) and not (given == 0 and optional):
        raise ApplicationError(
            f"expected {len(parameters)} arguments, got {given}", type=INVALID_INPUT, non_retryable=True
        )
