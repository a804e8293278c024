"""Workflows that begin a trace of their own, linked to the one that they were started in.

What lives for weeks, or goes on as new, would make a trace that never ends. A workflow class says so by
``own_trace = ALWAYS``; one that is part of its caller's trace except where another workflow starts thousands of it,
by ``own_trace = AS_CHILD``. A run that another run went on as always begins its own.
"""

from contextvars import ContextVar
from typing import Any

import temporalio.client
import temporalio.worker
from opentelemetry import trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from temporalio import workflow
from temporalio.converter import PayloadConverter
from temporalio.worker import ExecuteWorkflowInput, WorkflowInboundInterceptor, WorkflowInterceptorClassInput

HEADER = "_tracer-data"
"""Where temporalio's OpenTelemetry plugin puts the caller's context."""

# Texts rather than an enum: the sandbox has another copy of the class than we have.
ALWAYS = "always"
AS_CHILD = "as child"

_STARTED_BY: ContextVar[trace.SpanContext | None] = ContextVar("started_by", default=None)


class Detach(temporalio.client.Interceptor, temporalio.worker.Interceptor):
    """Outside of the plugin: takes the caller's context away from those that begin their own trace."""

    def workflow_interceptor_class(self, input: WorkflowInterceptorClassInput) -> type[WorkflowInboundInterceptor]:  # noqa: A002, ARG002 - the base class's form
        """See the base class."""
        return _Detaching


class Attach(temporalio.worker.Interceptor):
    """Inside of the plugin: links the span of such a run to what started it."""

    def workflow_interceptor_class(self, input: WorkflowInterceptorClassInput) -> type[WorkflowInboundInterceptor]:  # noqa: A002, ARG002 - the base class's form
        """See the base class."""
        return _Attaching


class _Detaching(WorkflowInboundInterceptor):
    async def execute_workflow(self, input: ExecuteWorkflowInput) -> Any:  # noqa: A002 - the base class's form
        if HEADER in input.headers and _is_apart(input.type):
            fields = PayloadConverter.default.from_payload(input.headers[HEADER])
            input.headers = {name: value for name, value in input.headers.items() if name != HEADER}
            context = TraceContextTextMapPropagator().extract(fields)
            _STARTED_BY.set(trace.get_current_span(context).get_span_context())
        return await super().execute_workflow(input)


class _Attaching(WorkflowInboundInterceptor):
    async def execute_workflow(self, input: ExecuteWorkflowInput) -> Any:  # noqa: A002 - the base class's form
        started_by = _STARTED_BY.get()
        if started_by is not None and started_by.is_valid:
            trace.get_current_span().add_link(started_by)
        return await super().execute_workflow(input)


def _is_apart(kind: type) -> bool:
    info, own = workflow.info(), getattr(kind, "own_trace", None)
    return info.continued_run_id is not None or own == ALWAYS or (own == AS_CHILD and info.parent is not None)
