"""A trace that goes on later, from what was written down: W3C's ``traceparent``."""

from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry import context, trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

_FORM = TraceContextTextMapPropagator()
_NAME = "traceparent"


def current() -> str | None:
    """The current span as a text to write down; None where nothing is traced."""
    fields: dict[str, str] = {}
    _FORM.inject(fields)
    return fields.get(_NAME)


def written(traceparent: str | None) -> trace.SpanContext | None:
    """The span that a text names, to link to; None if it names none."""
    found = trace.get_current_span(_FORM.extract({_NAME: traceparent or ""}, context.Context())).get_span_context()
    return found if found.is_valid else None


@contextmanager
def continued(traceparent: str | None) -> Iterator[None]:
    """Let what is done inside be part of the trace that a text names; of none, if it names none.

    Args:
        traceparent: As ``current`` gave it.
    """
    token = context.attach(_FORM.extract({_NAME: traceparent or ""}, context.Context()))
    try:
        yield
    finally:
        context.detach(token)
