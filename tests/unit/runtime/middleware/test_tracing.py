"""The span of an attempt: its link to the span that enqueued the job, its error, and tracing that is broken."""

from __future__ import annotations

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from penstock import App
from penstock.job import ClaimedJob, Finished, OutcomeState
from penstock.runtime.execution.outcomes import OutcomeBuilder
from penstock.runtime.middleware.tracing import TracingMiddleware
from penstock.trace import read
from tests.unit.runtime.support import completed, job


@pytest.fixture
def spans() -> InMemorySpanExporter:
    """Spans that ended. The provider is given to the tracer here, never set for the process."""
    return InMemorySpanExporter()


def traced(run, spans: InMemorySpanExporter) -> TracingMiddleware:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(spans))
    made = TracingMiddleware(run=run, otel=trace, version="1")
    made._tracer = provider.get_tracer("penstock")
    return made


async def test_a_span_of_an_attempt_links_to_the_span_that_enqueued_the_job(app, spans):
    """From the header that the enqueue wrote: a link, not a parent; the task's spans are children."""
    provider = TracerProvider(shutdown_on_exit=False)
    with provider.get_tracer("web").start_as_current_span("request") as request, app.test_mode() as collected:
        app.tasks["work"].options(headers={"mine": "kept"}).enqueue()
        [new] = collected
    headers = new.headers
    assert headers is not None
    assert '"mine":"kept"' in headers

    async def run(one: ClaimedJob) -> Finished:
        assert trace.get_current_span().is_recording()
        return completed(one)

    await traced(run, spans).run(job(headers=headers, queue="q"))
    [span] = spans.get_finished_spans()
    assert (span.name, span.kind, span.parent) == ("process q", trace.SpanKind.CONSUMER, None)
    [link] = span.links
    assert link.context.trace_id == request.get_span_context().trace_id
    assert link.context.span_id == request.get_span_context().span_id
    assert span.attributes is not None
    assert span.attributes["penstock.outcome"] == "completed"


async def test_a_failed_attempt_is_a_span_with_an_error(
    app: App, outcomes: OutcomeBuilder, spans: InMemorySpanExporter
):
    """And one without a producer has no link."""

    async def run(one: ClaimedJob) -> Finished:
        return outcomes.for_error(one, app.tasks["work"], ValueError("no"), 0.1)

    await traced(run, spans).run(job())
    [span] = spans.get_finished_spans()
    assert span.status.status_code is trace.StatusCode.ERROR
    assert list(span.links) == []


class BrokenProcessor(SpanProcessor):
    """Raises where the test says."""

    def __init__(self, *, at: str) -> None:
        self._at = at

    def on_start(self, span: object, parent_context: object = None) -> None:
        if self._at == "start":
            raise RuntimeError("no start")

    def on_end(self, span: object) -> None:
        if self._at == "end":
            raise RuntimeError("not done")


@pytest.mark.parametrize("at", ["start", "end"])
async def test_a_span_that_cannot_be_made_or_ended_fails_no_attempt(spans, caplog, at):
    """Its processors are the application's; it is said once, and the context is as before."""
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(BrokenProcessor(at=at))

    async def run(one: ClaimedJob) -> Finished:
        return completed(one)

    made = traced(run, spans)
    made._tracer = provider.get_tracer("penstock")
    for _ in range(2):
        assert (await made.run(job())).state is OutcomeState.COMPLETED
        assert not trace.get_current_span().get_span_context().is_valid
    assert len([record for record in caplog.records if record.name == "penstock.tracing"]) == 1


def test_headers_that_are_nested_without_end_name_no_span():
    """They are read for each line of the job's log."""
    deep = '{"traceparent": "00-' + "1" * 32 + "-" + "2" * 16 + '-01", "deep": ' + "[" * 3000 + "]" * 3000 + "}"
    assert read(deep) is None
