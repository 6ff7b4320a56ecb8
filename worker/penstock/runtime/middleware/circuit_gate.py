"""Middleware that asks the circuit of a job's task before each attempt, and reports the result to it.

It wraps the run of one attempt and is no stage before the consumers: jobs claimed ahead of free slots would be past
such a stage when the circuit opens. A blocked job is snoozed like a job of an unknown task: about half a minute later
it is claimed again, its attempt refunded. A worker without a breaker has no gate at all.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping

from penstock.app.task import TaskRegistry
from penstock.job import ClaimedJob, Finished, OutcomeState, RunAttempt

from ..execution.outcomes import OutcomeBuilder
from ..observe.metrics import WorkerMetrics
from .circuit_breaker import Breaker, BreakerPolicy, CircuitState

logger = logging.getLogger("penstock.breaker")


class CircuitGate:
    """Breakers by task around a run of attempts.

    Args:
        run: runs an attempt; raises nothing but cancellation.
        tasks: the App's; an alias shares its task's circuit. Jobs of other tasks pass; their outcome is decided later.
        policy: of every breaker.
        outcomes: builds the outcome of a blocked job.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        *,
        run: RunAttempt,
        tasks: TaskRegistry,
        policy: BreakerPolicy,
        outcomes: OutcomeBuilder,
        metrics: WorkerMetrics,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._inner, self._policy, self._outcomes, self._metrics, self._clock = (
            run,
            policy,
            outcomes,
            metrics,
            clock,
        )
        self._tasks = tasks
        self._breakers = {name: Breaker(policy) for name in tasks}
        self._logged = dict.fromkeys(tasks, CircuitState.CLOSED)

    def states(self) -> Mapping[str, int]:
        """State by task, for a scrape; from any thread."""
        now = self._clock()
        return {name: int(breaker.state(now)) for name, breaker in self._breakers.items()}

    async def run(self, job: ClaimedJob) -> Finished:
        """Run the attempt if the circuit of its task admits it; otherwise snooze the job."""
        task = self._tasks.get(job.task)
        if task is None:
            return await self._inner(job)
        breaker = self._breakers[task.name]
        if not breaker.admit(self._clock()):
            self._metrics.blocked(task.name)
            return self._outcomes.for_open_circuit(job)
        epoch = breaker.epoch
        self._log_change(breaker, task.name)
        finished = None
        try:
            finished = await self._inner(job)
        finally:
            if finished is None or not (finished.fault or finished.state is OutcomeState.COMPLETED):
                breaker.abandoned(epoch)
            else:
                breaker.finished(epoch, failed=finished.fault, now=self._clock())
                self._log_change(breaker, task.name)
        return finished

    def _log_change(self, breaker: Breaker, task: str) -> None:
        """Log each change once."""
        state = breaker.state(self._clock())
        if state is self._logged[task]:
            return
        self._logged[task] = state
        extra: dict[str, object] = {"task": task, "circuit": state.name.lower()}
        if state is CircuitState.OPEN:
            failed, calls = breaker.counted
            extra |= {"failed": failed, "attempts": calls, "window_seconds": self._policy.window_seconds}
            extra |= {"open_seconds": self._policy.open_seconds}
            logger.warning("circuit opened, jobs of its task are deferred", extra=extra)
        elif state is CircuitState.HALF_OPEN:
            logger.info("circuit half-open, probing its task", extra={**extra, "probes": self._policy.probes})
        else:
            logger.info("circuit closed", extra=extra)
