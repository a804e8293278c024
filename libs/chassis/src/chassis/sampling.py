"""Which traces are worth beginning."""

from collections.abc import Sequence

from opentelemetry.context import Context
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult, _get_from_env_or_default
from opentelemetry.trace import Link, SpanKind, TraceState, get_current_span
from opentelemetry.util.types import Attributes

from chassis.access import PROBES

QUERY = "HandleQuery:"
CHECKOUT = "connect"
"""Span of SQLAlchemy's instrumentation for each connection that is taken from the pool: as many as transactions."""


class Worthwhile(Sampler):
    """The sampler of ``OTEL_TRACES_SAMPLER``, but no trace begins with a probe, nor with a look at a workflow."""

    def __init__(self, sampler: Sampler | None = None) -> None:
        """Take the sampler that decides of the others.

        Args:
            sampler: By default the environment's.
        """
        self._sampler = sampler or _get_from_env_or_default()

    def should_sample(  # noqa: PLR0917 - the base class's form
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        """See the base class."""
        if name == CHECKOUT and kind is SpanKind.CLIENT:
            return SamplingResult(Decision.DROP)
        begins = not get_current_span(parent_context).get_span_context().is_valid
        if begins and (name.startswith(QUERY) or (attributes or {}).get("url.path") in PROBES):
            return SamplingResult(Decision.DROP)
        return self._sampler.should_sample(parent_context, trace_id, name, kind, attributes, links, trace_state)

    def get_description(self) -> str:
        """Names both."""
        return f"Worthwhile({self._sampler.get_description()})"
