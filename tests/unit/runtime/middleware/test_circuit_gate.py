"""The gate of the circuit breakers: what it lets through, what it counts, what it says."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

import pytest

from penstock import App, Cancel, Retry, Snooze
from penstock.job import ClaimedJob, Finished, OutcomeState
from penstock.runtime.execution.outcomes import OutcomeBuilder
from penstock.runtime.middleware.circuit_breaker import BreakerPolicy, CircuitState
from penstock.runtime.middleware.circuit_gate import CircuitGate
from penstock.runtime.observe.metrics import WorkerMetrics
from tests.unit.runtime.support import completed, job

POLICY = BreakerPolicy(failure_percent=50, minimum_calls=3, window_seconds=60, open_seconds=30)


class Door:
    """A gate whose attempts end as the test says, on a clock of its own."""

    def __init__(self, app: App, outcomes: OutcomeBuilder) -> None:
        self.now = 0.0
        self.ran: list[ClaimedJob] = []
        self.end: Callable[[ClaimedJob], Finished] = completed
        self.app, self.outcomes = app, outcomes
        self.metrics = WorkerMetrics(queue="q", tasks=app.tasks, version="1")
        self.gate = CircuitGate(
            run=self.run,
            tasks=app.tasks,
            policy=POLICY,
            outcomes=outcomes,
            metrics=self.metrics,
            clock=lambda: self.now,
        )

    async def run(self, one: ClaimedJob) -> Finished:
        self.ran.append(one)
        await asyncio.sleep(0)
        return self.end(one)

    def fails(self, error: Exception | None = None) -> None:
        task = self.app.tasks["work"]
        self.end = lambda one: self.outcomes.for_error(one, task, error or ValueError("no"), 0.1)


@pytest.fixture
def door(app, outcomes) -> Door:
    return Door(app, outcomes)


async def test_jobs_of_a_task_that_mostly_fails_are_put_off_and_keep_their_attempt(door):
    """Not run, not failed: snoozed for about half a minute, counted, and shown."""
    door.fails()
    for _ in range(3):
        await door.gate.run(job())
    blocked = [await door.gate.run(job()) for _ in range(50)]
    assert len(door.ran) == 3
    assert {(b.state, b.reason) for b in blocked} == {(OutcomeState.SNOOZE, "breaker")}
    assert 22 < min(b.delay for b in blocked) < max(b.delay for b in blocked) < 38
    assert door.metrics._blocked["work"] == 50
    assert door.gate.states() == {"work": CircuitState.OPEN}


async def test_a_timeout_counts_as_a_failure_and_what_a_task_asks_for_does_not(door, outcomes):
    """Retry, Snooze and Cancel are the task's own word; invalid arguments are not its doing."""
    said = [
        lambda one, outcome=outcome: outcomes.for_outcome(one, outcome, 0.1)
        for outcome in (Retry(reason="error"), Snooze(3), Cancel("timeout"))
    ]
    for end in [*said, lambda one: outcomes.for_invalid_arguments(one, ValueError("no"))] * 3:
        door.end = end
        await door.gate.run(job())
    assert door.gate.states() == {"work": CircuitState.CLOSED}
    door.fails(TimeoutError())
    for _ in range(3):
        await door.gate.run(job(attempt=5))
    assert door.gate.states() == {"work": CircuitState.OPEN}


async def test_probes_run_after_the_pause_and_their_success_lets_everything_through(door):
    """An alias has its task's circuit; each change is said once."""
    door.fails()
    for _ in range(3):
        await door.gate.run(job(task="toil"))
    assert (await door.gate.run(job())).reason == "breaker"
    door.now, door.end = 31.0, completed
    together = await asyncio.gather(*(door.gate.run(job()) for _ in range(10)))
    assert [one.state for one in together].count(OutcomeState.COMPLETED) == POLICY.probes
    assert (await door.gate.run(job())).state is OutcomeState.COMPLETED


async def test_each_change_of_a_circuit_is_one_log_line(door, caplog):
    """Opened with its numbers, half-open, closed; never one line per job."""
    caplog.set_level(logging.INFO, "penstock.breaker")
    door.fails()
    for _ in range(20):
        await door.gate.run(job())
    door.now, door.end = 31.0, completed
    for _ in range(20):
        await door.gate.run(job())
    assert (caplog.records[0].failed, caplog.records[0].attempts) == (3, 3)
    assert [record.circuit for record in caplog.records] == ["open", "half_open", "closed"]


async def test_a_probe_that_is_cancelled_makes_room_for_another(door):
    """Its worker drains, or its job was cancelled."""
    door.fails()
    for _ in range(3):
        await door.gate.run(job())
    door.now = 31.0
    probes = [asyncio.create_task(door.gate.run(job())) for _ in range(POLICY.probes)]
    await asyncio.sleep(0)
    assert (await door.gate.run(job())).reason == "breaker"
    for probe in probes:
        probe.cancel()
    await asyncio.wait(probes)
    door.end = completed
    assert (await door.gate.run(job())).state is OutcomeState.COMPLETED


async def test_jobs_of_unknown_tasks_pass_the_gate(door):
    """Their end is decided after it."""
    assert (await door.gate.run(job(task="nobody's"))).state is OutcomeState.COMPLETED
