"""A consumer span for each attempt, linked to the span in which the job was enqueued. OpenTelemetry's API alone.

Made only where the application has imported OpenTelemetry by the time the worker starts; how spans leave the process is
the application's. A link, not a parent: a job may run hours later and several times, which no trace view draws well.
Names follow the semantic conventions for messaging (status: development).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from penstock import trace as context
from penstock.job import ClaimedJob, Finished, OutcomeState

Run = Callable[[ClaimedJob], Awaitable[Finished]]


class Traced:
    """Runs attempts, each in a span.

    Args:
        run: runs an attempt; raises nothing but cancellation.
        trace: the module `opentelemetry.trace`.
        version: of penstock, for the tracer.
    """

    def __init__(self, *, run: Run, trace: Any, version: str) -> None:
        self._inner, self._trace = run, trace
        self._tracer = trace.get_tracer("penstock", version)

    async def run(self, job: ClaimedJob) -> Finished:
        """Run one; what the task does is inside the span, its own spans are children."""
        trace = self._trace
        with self._tracer.start_as_current_span(
            f"process {job.queue}", kind=trace.SpanKind.CONSUMER, links=self._links(job), attributes={
                "messaging.system": "penstock", "messaging.operation.type": "process",
                "messaging.operation.name": "process", "messaging.destination.name": job.queue,
                "messaging.message.id": str(job.id), "penstock.task": job.task, "penstock.attempt": job.attempt,
            },
        ) as span:  # fmt: skip
            finished = await self._inner(job)
            span.set_attribute("penstock.outcome", finished.state.value)
            if finished.reason is not None:
                span.set_attribute("penstock.reason", finished.reason)
            if finished.fault or finished.state is OutcomeState.FAILED:
                span.set_status(trace.Status(trace.StatusCode.ERROR, finished.reason))
        return finished

    def _links(self, job: ClaimedJob) -> list[Any]:
        producer = context.read(job.headers)
        if producer is None:
            return []
        trace = self._trace
        return [
            trace.Link(
                trace.SpanContext(
                    trace_id=int(producer.trace_id, 16), span_id=int(producer.span_id, 16), is_remote=True,
                    trace_flags=trace.TraceFlags(producer.flags),
                    trace_state=trace.TraceState.from_header([producer.state] if producer.state else []),
                )
            )
        ]  # fmt: skip
