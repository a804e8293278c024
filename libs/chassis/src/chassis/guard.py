"""An interceptor that fails a workflow started with too few or too many arguments, which would otherwise hang."""

import inspect
from typing import Any

from temporalio.exceptions import ApplicationError
from temporalio.worker import (
    ExecuteWorkflowInput,
    Interceptor,
    WorkflowInboundInterceptor,
    WorkflowInterceptorClassInput,
)

from chassis.converter import INVALID_INPUT


class ArgumentGuard(Interceptor):
    """Guards every workflow of a worker.

    A workflow called with the wrong number of arguments raises TypeError, which fails its task and not itself: it is
    tried for ever. A workflow that takes its arguments in ``__init__`` too (``workflow.init``) is not reached.
    """

    def workflow_interceptor_class(self, input: WorkflowInterceptorClassInput) -> type[WorkflowInboundInterceptor]:  # noqa: A002, ARG002 - temporalio's names
        """See temporalio."""
        return _Guard


class _Guard(WorkflowInboundInterceptor):
    async def execute_workflow(self, input: ExecuteWorkflowInput) -> Any:  # noqa: A002 - temporalio's name
        wanted = len(inspect.signature(input.run_fn).parameters) - 1  # without self
        if len(input.args) != wanted:
            raise ApplicationError(
                f"expected {wanted} arguments, got {len(input.args)}", type=INVALID_INPUT, non_retryable=True
            )
        return await super().execute_workflow(input)
