"""A consumer span for each attempt, linked to the span in which the job was enqueued. OpenTelemetry's API alone.

Made only where the application has imported OpenTelemetry by the time the worker starts; how spans leave the process is
the application's. A link, not a parent: a job may run hours later and several times, which no trace view draws well.
Names follow the semantic conventions for messaging (status: development).
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

from penstock import trace
from penstock.job import ClaimedJob, Finished, OutcomeState, RunAttempt

logger = logging.getLogger("penstock.tracing")


class TracingMiddleware:
    """Runs attempts, each in a span.

    Args:
        run: runs an attempt; raises nothing but cancellation.
        otel: the module `opentelemetry.trace`.
        version: of penstock, for the tracer.
    """

    def __init__(self, *, run: RunAttempt, otel: Any, version: str) -> None:
        self._inner, self._otel = run, otel
        self._tracer = otel.get_tracer("penstock", version)
        self._logged = False

    async def run(self, job: ClaimedJob) -> Finished:
        """Run one; what the task does is inside the span, its own spans are children."""
        scope = contextlib.ExitStack()
        finished = span = None
        with self._harmless():
            span = scope.enter_context(self._span(job))
        try:
            finished = await self._inner(job)
        finally:
            with self._harmless(), scope:
                if span is not None and finished is not None:
                    self._annotate(span, finished)
        return finished

    def _span(self, job: ClaimedJob) -> AbstractContextManager[Any]:
        span: AbstractContextManager[Any] = self._tracer.start_as_current_span(
            f"process {job.queue}",
            kind=self._otel.SpanKind.CONSUMER,
            links=self._links(job),
            attributes={
                "messaging.system": "penstock",
                "messaging.operation.type": "process",
                "messaging.operation.name": "process",
                "messaging.destination.name": job.queue,
                "messaging.message.id": str(job.id),
                "penstock.task": job.task,
                "penstock.attempt": job.attempt,
            },
        )
        return span

    def _annotate(self, span: Any, finished: Finished) -> None:
        span.set_attribute("penstock.outcome", finished.state.value)
        if finished.reason is not None:
            span.set_attribute("penstock.reason", finished.reason)
        if finished.fault or finished.state is OutcomeState.FAILED:
            span.set_status(self._otel.Status(self._otel.StatusCode.ERROR, finished.reason))

    @contextlib.contextmanager
    def _harmless(self) -> Iterator[None]:
        """A span processor, a sampler or an exporter of the application's may raise: no attempt fails for it."""
        try:
            yield
        except Exception:
            if not self._logged:
                self._logged = True
                logger.exception("span of an attempt failed, further errors are not logged")

    def _links(self, job: ClaimedJob) -> list[Any]:
        producer = trace.read(job.headers)
        if producer is None:
            return []
        otel = self._otel
        return [
            otel.Link(
                otel.SpanContext(
                    trace_id=int(producer.trace_id, 16),
                    span_id=int(producer.span_id, 16),
                    is_remote=True,
                    trace_flags=otel.TraceFlags(producer.flags),
                    trace_state=otel.TraceState.from_header([producer.state] if producer.state else []),
                )
            )
        ]
