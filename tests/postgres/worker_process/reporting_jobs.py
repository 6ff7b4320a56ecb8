"""The application of the tests about what a worker reports: its hooks and its tasks write what they see to a file."""

from __future__ import annotations

import asyncio
import logging
import os
import pathlib
from collections.abc import Iterator, Sequence

from opentelemetry import trace as otel
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult

from penstock import App, Context
from penstock.events import DeadLetterMade, JobErrored, JobStarted, JobStopped, QueueDepth
from tests.postgres.jobs import trace

app = App()
logger = logging.getLogger("shop")


def companion_path(name: str) -> pathlib.Path:
    """A file of the test that says how things stand."""
    return pathlib.Path(os.environ["TRACE"]).with_name(name)


class ToTrace(SpanExporter):
    """Spans as lines of the test's file: what they are of, and the span that they link to."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        for span in spans:
            links = [f"{link.context.trace_id:032x}" for link in span.links]
            trace(f"span {(span.attributes or {}).get('messaging.message.id')} {span.name} {' '.join(links)}".rstrip())
        return SpanExportResult.SUCCESS


@app.lifespan
def tracing() -> Iterator[None]:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(ToTrace()))
    otel.set_tracer_provider(provider)  # this process's, which is a worker; the test that imports us sets none
    yield
    provider.shutdown()


@app.task(name="flaky", queue="q", max_attempts=1)
async def flaky() -> None:
    if companion_path("sick").exists():
        raise ConnectionError("the payment service is down")


@app.task(name="advance", queue="q")
async def advance(ctx: Context) -> None:
    logger.info("three pages of ten")
    ctx.progress(3, 10, note="pages")
    while not companion_path("go").exists():
        await asyncio.sleep(0.02)


@app.task(name="work", queue="q")
async def work() -> None:
    """Nothing."""


@app.on("job.start")
def started(event: JobStarted) -> None:
    trace(f"start {event.job.id}")


@app.on("job.stop")
async def stopped(event: JobStopped) -> None:
    trace(f"stop {event.job.id} {event.outcome} {event.reason}")


@app.on("job.exception")
def failed(event: JobErrored) -> None:
    trace(f"exception {event.job.id} {type(event.exception).__name__} {event.final}")


@app.on("queue.depth")
def depth(event: QueueDepth) -> None:
    trace(f"depth {event.queue} {event.ready}")


@app.on_dead_letter
def dead(event: DeadLetterMade) -> None:
    trace(f"dead {event.id} {event.queue} {event.task} {event.reason} {event.by_rescue}")
