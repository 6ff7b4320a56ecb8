"""What stands around an attempt: the hooks and the span, and nothing where nothing is used."""

from __future__ import annotations

import asyncio
import random
import threading

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from penstock import App, Backoff
from penstock.events import EVENTS, JobErrored, JobStarted, JobStopped
from penstock.job import ClaimedJob, Finished, OutcomeState
from penstock.runtime.execution.outcomes import OutcomeBuilder
from penstock.runtime.middleware import chain as module
from penstock.runtime.middleware.hooks import MAX_CALLS, HookDispatcher
from penstock.runtime.middleware.tracing import TracingMiddleware
from penstock.runtime.observe.metrics import WorkerMetrics
from penstock.settings import Settings
from penstock.trace import read
from tests.unit.runtime.support import completed, job, until


@pytest.fixture
def app() -> App:
    made = App()

    @made.task(name="work", aliases=["toil"])
    def work() -> None:
        """Nothing."""

    return made


@pytest.fixture
def outcomes() -> OutcomeBuilder:
    return OutcomeBuilder(backoff=Backoff(strategy="constant", base_seconds=1), rng=random.Random(1))


async def test_a_worker_that_uses_nothing_runs_attempts_as_they_are(app, outcomes):
    """No breaker, no span, no hook: no layer."""
    metrics = WorkerMetrics(queue="q", tasks=app.tasks, version="1")

    async def run(one: ClaimedJob) -> Finished:
        return completed(one)

    def wrapped(*, tracing: object = None, **settings) -> object:
        given = Settings(database_url="postgresql://x", **settings)
        return module.apply_middleware(
            run,
            tasks=app.tasks,
            settings=given,
            outcomes=outcomes,
            metrics=metrics,
            hooks=HookDispatcher(app.hooks),
            tracing=tracing,
        )

    assert wrapped() is run
    assert wrapped(circuit_failure_percent=50) is not run
    assert wrapped(tracing=trace) is not run
    app.on("queue.depth")(lambda _: None)
    assert wrapped() is run
    app.on("job.stop")(lambda _: None)
    assert wrapped() is not run


# -- hooks --------------------------------------------------------------------------------------------------------


async def test_an_attempts_events_come_in_order_with_what_happened(app, outcomes):
    """Start, exception with the exception itself and what the history keeps, stop with the outcome."""
    heard: list[object] = []
    for event in EVENTS:
        app.on(event)(heard.append)
    error = ValueError("no")

    async def run(one: ClaimedJob) -> Finished:
        return outcomes.for_error(one, app.tasks["work"], error, 0.5) if one.attempt == 5 else completed(one, 0.25)

    hooked = module.HookMiddleware(run=run, hooks=HookDispatcher(app.hooks), outcomes=outcomes)
    good, bad = job(), job(attempt=5)
    await hooked.run(good)
    await hooked.run(bad)
    assert heard[:2] == [
        JobStarted(job=good),
        JobStopped(job=good, outcome=OutcomeState.COMPLETED, reason=None, duration=0.25),
    ]
    started, failed, stopped = heard[2:]
    assert started == JobStarted(job=bad)
    assert isinstance(failed, JobErrored)
    assert (failed.exception, failed.final, failed.error["message"]) == (error, True, "no")
    assert stopped == JobStopped(job=bad, outcome=OutcomeState.FAILED, reason="exhausted", duration=0.5)
    assert hooked._exceptions == {}


async def test_an_attempt_that_is_interrupted_stops_too(app, outcomes):
    """A middleware that counts what runs must come back to zero."""
    heard: list[JobStopped] = []
    app.on("job.stop")(heard.append)

    async def run(one: ClaimedJob) -> Finished:
        await asyncio.sleep(60)
        return completed(one)

    hooked = module.HookMiddleware(run=run, hooks=HookDispatcher(app.hooks), outcomes=outcomes)
    attempt = asyncio.create_task(hooked.run(job()))
    await asyncio.sleep(0)
    attempt.cancel()
    with pytest.raises(asyncio.CancelledError):
        await attempt
    assert [stopped.reason for stopped in heard] == ["interrupted"]


async def test_a_hook_that_raises_is_said_once_and_the_others_are_called(app, caplog):
    """Plain or async, on the loop or in a thread; what comes after it is not harmed."""
    heard: list[int] = []

    def broken(_: object) -> None:
        raise RuntimeError("hook")

    async def broken_async(_: object) -> None:
        raise RuntimeError("async hook")

    for event in ("job.stop", "job.dead"):
        for function in (broken, broken_async, heard.append):
            app.on(event)(function)
    hooks = HookDispatcher(app.hooks)
    for _ in range(3):
        hooks.dispatch("job.stop", 1)
        hooks.dispatch("job.dead", 2)
    await hooks.close(5.0)
    assert sorted(heard) == [1, 1, 1, 2, 2, 2]
    assert hooks.failed == {"job.stop": 6, "job.dead": 6, "job.start": 0, "job.exception": 0, "queue.depth": 0}
    assert len([record for record in caplog.records if record.name == "penstock.hooks"]) == 2


@pytest.mark.parametrize(
    "raised",
    [
        SystemExit(3), KeyboardInterrupt(), asyncio.CancelledError(), GeneratorExit(), StopIteration(1),
        StopAsyncIteration(), BaseException(), BaseExceptionGroup("two", [GeneratorExit()]),
    ],
    ids=repr,
)  # fmt: skip
async def test_a_hook_that_exits_ends_neither_the_attempt_nor_the_worker(app, raised):
    """What is no Exception would leave the attempt's task, or end the event loop."""

    def leave(_: object) -> None:
        raise raised

    async def leave_async(_: object) -> None:
        raise raised

    for event in ("job.start", "job.dead"):
        app.on(event)(leave)
        app.on(event)(leave_async)
    hooks = HookDispatcher(app.hooks)
    hooks.dispatch("job.start", 1)
    hooks.dispatch("job.dead", 2)
    await until(lambda: (hooks.failed["job.start"], hooks.failed["job.dead"]) == (2, 2))
    await hooks.close(1.0)


async def test_hooks_that_hang_do_not_pile_up_without_end(app):
    """Beyond a thousand under way calls are dropped; the worker's end does not wait for them."""
    gate = asyncio.Event()
    started: list[int] = []

    @app.on("job.stop")
    async def hang(value: int) -> None:
        started.append(value)
        await gate.wait()

    hooks = HookDispatcher(app.hooks)
    for number in range(MAX_CALLS + 10):
        hooks.dispatch("job.stop", number)
    await until(lambda: len(started) == MAX_CALLS)
    assert hooks.failed["job.stop"] == 10
    await hooks.close(0.01)
    assert not hooks._calls


async def test_a_plain_function_that_hangs_does_not_keep_the_worker(app):
    """It is in a thread, which nothing can interrupt: the worker is notified, and its process need not wait for it."""
    gate, started = threading.Event(), threading.Event()

    @app.on_dead_letter
    def hang(_: object) -> None:
        started.set()
        gate.wait()

    hooks = HookDispatcher(app.hooks)
    hooks.dispatch("job.dead", 1)
    await until(started.is_set)
    await hooks.close(0.01)
    assert hooks.stuck
    gate.set()
    await until(lambda: not hooks.stuck)


# -- spans --------------------------------------------------------------------------------------------------------


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
