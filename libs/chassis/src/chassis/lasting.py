"""What the SDK logs of an activity after its span has ended, such as why it failed, is still part of its trace."""

from typing import Any

from opentelemetry import trace
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from chassis import logs


class Lasting(Interceptor):
    """Inside of the plugin: remembers in which span an activity runs, for the rest of its task."""

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002 - the base class's form
        """See the base class."""
        return _Remembering(next)


class _Remembering(ActivityInboundInterceptor):
    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002 - the base class's form
        logs.LAST_SPAN.set(trace.get_current_span().get_span_context())
        return await super().execute_activity(input)
