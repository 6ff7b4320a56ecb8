"""What stands around an attempt: the hooks and the span, and nothing where nothing is used."""

from __future__ import annotations

import asyncio
import threading

import pytest
from opentelemetry import trace

from penstock.events import EVENTS, JobErrored, JobStarted, JobStopped
from penstock.job import ClaimedJob, Finished, OutcomeState
from penstock.runtime.middleware import chain as module
from penstock.runtime.middleware.hooks import MAX_CALLS, HookDispatcher
from penstock.runtime.observe.metrics import WorkerMetrics
from penstock.settings import Settings
from tests.unit.runtime.support import completed, job, until


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
        SystemExit(3),
        KeyboardInterrupt(),
        asyncio.CancelledError(),
        GeneratorExit(),
        StopIteration(1),
        StopAsyncIteration(),
        BaseException(),
        BaseExceptionGroup("two", [GeneratorExit()]),
    ],
    ids=repr,
)
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
