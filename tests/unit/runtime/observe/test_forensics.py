"""What a dead letter keeps, what is said of failed attempts, and to whom dead letters are reported."""

from __future__ import annotations

import json
from typing import Any, cast

import pytest

from penstock import App
from penstock.errors import DatabaseUnavailable
from penstock.events import DeadLetterMade
from penstock.job import Finished, OutcomeState
from penstock.runtime.execution.outcomes import error_json
from penstock.runtime.middleware.hooks import HookDispatcher
from penstock.runtime.observe.forensics import RECENT_ERRORS, Forensics
from penstock.runtime.observe.line_limit import MAX_LINES, WINDOW_SECONDS
from penstock.runtime.observe.machine import machine_facts
from penstock.runtime.observe.metrics import WorkerMetrics
from penstock.store import Depth
from penstock.store.worker_store import UnreportedDeadLetter
from tests.unit.runtime.support import completed, job, until


def failed(state: OutcomeState = OutcomeState.FAILED, message: str = "no", **values) -> Finished:
    one = job(**values)
    return Finished(
        job=one,
        state=state,
        duration=0.5,
        reason="exhausted",
        error=error_json(ValueError(message), one.attempt),
        fault=True,
    )


class Glass:
    """A store to inspect: a depth, or an error; and dead letters of rescues."""

    def __init__(self) -> None:
        self.samples = 0
        self.error: Exception | None = None
        self.letters: list[UnreportedDeadLetter] = []

    async def depth(self, queue: int) -> Depth:
        self.samples += 1
        if self.error is not None:
            raise self.error
        return Depth(ready=queue, deferred=2, in_flight=3, dead=4, oldest=5.0)

    async def take_unreported(self, holder: str) -> list[UnreportedDeadLetter]:
        assert holder == "me"
        letters, self.letters = self.letters, []
        return letters


class Bench:
    """Forensics on a clock of its own."""

    def __init__(self) -> None:
        self.app, self.glass, self.now = App(), Glass(), 0.0
        self.metrics = WorkerMetrics(queue="q", tasks=["work"], version="1")
        self.heard: list[DeadLetterMade] = []

        @self.app.on_dead_letter
        async def hear(event: DeadLetterMade) -> None:
            self.heard.append(event)

        self.hooks = HookDispatcher(self.app.hooks)
        self.forensics = Forensics(
            store=cast("Any", self.glass),
            queue=lambda: (11, "q"),
            facts=lambda: {"pod": "p"},
            hooks=self.hooks,
            metrics=self.metrics,
            tasks=["work"],
            holder="me",
            clock=lambda: self.now,
            wall=lambda: 1000.0,
        )


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_only_what_dies_is_inspected_and_one_sample_serves_many(bench):
    """A batch without a dead letter costs no query; within five seconds one sample is enough."""
    lively = [completed(job()), failed(OutcomeState.RETRY)]
    assert await bench.forensics.attach(lively) is lively
    assert bench.glass.samples == 0
    for _ in range(3):
        batch = await bench.forensics.attach([*lively, failed(), failed()])
    assert [outcome.forensics is not None for outcome in batch] == [False, False, True, True]
    assert bench.glass.samples == 1
    bench.now = 5.0
    await bench.forensics.attach([failed()])
    assert bench.glass.samples == 2


async def test_a_dead_letter_keeps_what_was_around_it(bench):
    """Process, machine, queue, and the latest errors of the same task."""
    for number in range(RECENT_ERRORS + 2):
        bench.forensics.settled([failed(OutcomeState.RETRY, f"error {number}", id=500 + number)])
    [outcome] = await bench.forensics.attach([failed()])
    assert outcome.forensics is not None
    found = json.loads(outcome.forensics)
    assert (found["made_by"], found["pod"], found["queue"]["ready"], found["duration_seconds"]) == (
        "worker",
        "p",
        11,
        0.5,
    )
    assert found["memory"]["resident_bytes"] > 1_000_000
    assert len(found["load"]) == 3
    assert [one["message"] for one in found["recent_errors"]] == [f"error {n}" for n in range(2, RECENT_ERRORS + 2)]
    assert found["recent_errors"][0]["job"] == 502
    assert machine_facts()["threads"] >= 1


async def test_a_queue_that_cannot_be_sampled_does_not_block_a_dead_letter(bench):
    """It is buried all the same, without the depth."""
    bench.glass.error = DatabaseUnavailable("gone")
    [outcome] = await bench.forensics.attach([failed()])
    assert outcome.forensics is not None
    assert json.loads(outcome.forensics)["queue"] is None


async def test_errors_of_tasks_that_the_app_does_not_have_are_not_remembered(bench):
    """Names in the database must not fill the memory."""
    bench.forensics.settled([failed(task=f"made up {number}") for number in range(50)])
    assert set(bench.forensics._recent) == {"work"}


async def test_a_failed_attempt_is_one_line_and_a_dead_letter_is_reported(bench, caplog):
    """With its job; retries as warnings, dead letters as errors and to the hooks."""
    bench.forensics.settled([completed(job()), failed(OutcomeState.RETRY, id=1), failed(id=2, attempt=5)])
    lines = [record for record in caplog.records if record.name == "penstock.attempt"]
    assert [(record.levelname, record.job) for record in lines] == [("WARNING", 1), ("ERROR", 2)]
    assert (lines[1].attempt, lines[1].max_attempts, lines[1].error_type) == (5, 5, "builtins.ValueError")
    await until(lambda: bench.heard)
    assert bench.heard == [
        DeadLetterMade(
            id=2,
            queue="q",
            task="work",
            reason="exhausted",
            attempt=5,
            error="builtins.ValueError",
            message="no",
            by_rescue=False,
        )
    ]


async def test_a_task_that_fails_all_the_time_does_not_flood_the_log(bench, caplog):
    """Ten lines in ten seconds; the next one says how many were left out. Other tasks have their own."""
    for number in range(50):
        bench.forensics.settled([failed(OutcomeState.RETRY, id=number)])
    bench.forensics.settled([failed(OutcomeState.RETRY, id=60, task="another")])
    bench.now = WINDOW_SECONDS
    bench.forensics.settled([failed(OutcomeState.RETRY, id=70)])
    lines = [record for record in caplog.records if record.name == "penstock.attempt"]
    assert [record.job for record in lines] == [*range(MAX_LINES), 60, 70]
    assert lines[-1].suppressed == 40


async def test_dead_letters_of_a_rescue_are_counted_and_reported_by_the_rescuer(bench):
    """Of other queues as well."""
    bench.glass.letters = [UnreportedDeadLetter(5, "other", "work", "poison", 1, "WorkerLost", "lost three times")]
    await bench.forensics.rescued()
    await until(lambda: bench.heard)
    assert [(one.id, one.queue, one.reason, one.by_rescue) for one in bench.heard] == [(5, "other", "poison", True)]
    assert bench.metrics._dead["other", "work"] == 1
