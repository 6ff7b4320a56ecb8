"""Applies the middleware of an attempt: circuit breaker, span, hooks. Only what is used.

    circuit breaker ─► span ─► hooks ─► the attempt

A worker without circuit breaker, tracing and hooks runs attempts directly: each layer costs one await more per job.
"""

from __future__ import annotations

from typing import Any

import msgspec

from penstock.app.task import TaskRegistry
from penstock.distribution_version import distribution_version
from penstock.events import JobErrored, JobStarted, JobStopped
from penstock.job import ClaimedJob, Finished, OutcomeState, RunAttempt
from penstock.settings import Settings

from ..execution.outcomes import OutcomeBuilder
from ..observe.metrics import WorkerMetrics
from .circuit_breaker import BreakerPolicy
from .circuit_gate import CircuitGate
from .hooks import HookDispatcher
from .tracing import TracingMiddleware


class HookMiddleware:
    """Runs attempts and dispatches their hooks.

    Args:
        run: runs an attempt; raises nothing but cancellation.
        hooks: at least one has a function for attempts.
        outcomes: keeps the exceptions until then.
    """

    def __init__(self, *, run: RunAttempt, hooks: HookDispatcher, outcomes: OutcomeBuilder) -> None:
        self._inner, self._hooks = run, hooks
        self._exceptions = outcomes.keep_exceptions()

    async def run(self, job: ClaimedJob) -> Finished:
        """Run one."""
        dispatch = self._hooks.dispatch
        dispatch("job.start", JobStarted(job=job))
        try:
            finished = await self._inner(job)
        except BaseException:  # released or cancelled: its outcome is decided elsewhere
            dispatch(
                "job.stop", JobStopped(job=job, outcome=OutcomeState.CANCELLED, reason="interrupted", duration=0.0)
            )
            raise
        finally:
            exception = self._exceptions.pop(id(job), None)
        if finished.fault and finished.error is not None:
            error = msgspec.json.decode(finished.error)
            final = finished.state is OutcomeState.FAILED
            dispatch(
                "job.exception",
                JobErrored(
                    job=job,
                    error=error,
                    exception=exception,
                    duration=finished.duration,
                    final=final,
                ),
            )
        dispatch(
            "job.stop",
            JobStopped(
                job=job,
                outcome=finished.state,
                reason=finished.reason,
                duration=finished.duration,
            ),
        )
        return finished


def apply_middleware(
    run: RunAttempt,
    *,
    tasks: TaskRegistry,
    settings: Settings,
    outcomes: OutcomeBuilder,
    metrics: WorkerMetrics,
    hooks: HookDispatcher,
    tracing: Any = None,
) -> RunAttempt:
    """`run` with the middleware that this worker uses; `run` itself if it uses none.

    `tracing` is the module `opentelemetry.trace`, if the application uses it.
    """
    if hooks.has_functions("job.start", "job.stop", "job.exception"):
        run = HookMiddleware(run=run, hooks=hooks, outcomes=outcomes).run
    if tracing is not None:
        run = TracingMiddleware(run=run, otel=tracing, version=distribution_version()).run
    if settings.circuit_failure_percent:
        policy = BreakerPolicy(
            failure_percent=settings.circuit_failure_percent,
            minimum_calls=settings.circuit_minimum_calls,
            window_seconds=settings.circuit_window_seconds,
            open_seconds=settings.circuit_open_seconds,
        )
        gate = CircuitGate(run=run, tasks=tasks, policy=policy, outcomes=outcomes, metrics=metrics)
        metrics.circuits = gate.states
        run = gate.run
    return run
