import asyncio

from opentelemetry import trace
from temporalio.contrib.opentelemetry import create_tracer_provider

from chassis import trace_context

TRACER = create_tracer_provider(shutdown_on_exit=False).get_tracer("t")


def test_a_trace_goes_on_from_what_was_written_down() -> None:
    with TRACER.start_as_current_span("first") as first:
        text = trace_context.current()
    with trace_context.continued(text), TRACER.start_as_current_span("second") as second:
        assert second.get_span_context().trace_id == first.get_span_context().trace_id
    assert trace_context.written(text) is not None
    assert not trace.get_current_span().get_span_context().is_valid


def test_where_nothing_is_traced_nothing_is_written_down() -> None:
    assert trace_context.current() is None
    for nothing in (None, "", "nonsense", "00-0-0-00"):
        assert trace_context.written(nothing) is None
        with trace_context.continued(nothing):
            assert not trace.get_current_span().get_span_context().is_valid


async def test_what_goes_on_is_not_part_of_what_is_done_beside_it() -> None:
    with TRACER.start_as_current_span("first"):
        text = trace_context.current()
    inside, outside = asyncio.Event(), asyncio.Event()

    async def later() -> None:
        with trace_context.continued(text):
            inside.set()
            await outside.wait()

    task = asyncio.create_task(later())
    await inside.wait()
    assert trace_context.current() is None
    outside.set()
    await task
