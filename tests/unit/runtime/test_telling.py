"""What a worker tells people: log lines with their job, its report of itself, forensics of dead letters, its probes."""

from __future__ import annotations

import asyncio
import contextvars
import io
import json
import logging
import re
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from penstock import App, Context
from penstock.client import Client
from penstock.context import LONGEST_NOTE
from penstock.errors import DatabaseUnavailable
from penstock.events import DeadLetterMade
from penstock.job import Finished, OutcomeState
from penstock.runtime import logs
from penstock.runtime.announce import Announcer
from penstock.runtime.beside import beside
from penstock.runtime.failure import describe
from penstock.runtime.forensics import LINES_SECONDS, MOST_LINES, RECENT_ERRORS, Forensics, machine
from penstock.runtime.held import Held
from penstock.runtime.metrics import WorkerMetrics
from penstock.runtime.probes import LONGEST_BLOCK, Probes
from penstock.runtime.reporting import MOST_JOBS, report
from penstock.store import Depth
from penstock.store.witness import Untold
from penstock.trace import read
from tests.unit.runtime.support import completed, job, until

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def failed(state: OutcomeState = OutcomeState.FAILED, message: str = "no", **values) -> Finished:
    one = job(**values)
    return Finished(
        job=one,
        state=state,
        duration=0.5,
        reason="exhausted",
        error=describe(ValueError(message), one.attempt),
        fault=True,
    )


# -- log lines ----------------------------------------------------------------------------------------------------


@pytest.fixture
def written() -> Iterator[Callable[[logging.Formatter], tuple[logging.Logger, io.StringIO]]]:
    """A logger of its own with the worker's filter, and what it wrote."""
    handlers: list[logging.Handler] = []
    logger = logging.getLogger("tests.written")

    def make(formatter: logging.Formatter) -> tuple[logging.Logger, io.StringIO]:
        stream = io.StringIO()
        handler = logging.StreamHandler(stream)
        handler.setFormatter(formatter)
        handler.addFilter(logs.JobFields())
        logger.addHandler(handler)
        handlers.append(handler)
        return logger, stream

    yield make
    for handler in handlers:
        logger.removeHandler(handler)


def inside(one, function: Callable[[], object]) -> None:
    """Call it as the attempt of a job does, in a context of its own."""

    def run() -> None:
        logs.running.set(one)
        function()

    contextvars.copy_context().run(run)


def test_a_tasks_own_line_carries_its_job_for_machines(written):
    """Job, attempt, queue, task and the producer's trace; a line outside of any attempt carries none."""
    logger, stream = written(logs.JsonFormatter())
    one = job(id=7, attempt=2, headers=json.dumps({"traceparent": PARENT}))
    inside(one, lambda: logger.warning("half way"))
    logger.warning("idle")
    first, second = map(json.loads, stream.getvalue().splitlines())
    assert {key: first[key] for key in ("job", "attempt", "queue", "task", "message", "trace_id")} == {
        "job": 7, "attempt": 2, "queue": "q", "task": "work", "message": "half way", "trace_id": PARENT[3:35],
    }  # fmt: skip
    assert "job" not in second


def test_a_line_for_people_ends_with_its_job(written):
    """In brackets, behind the message; what `extra` says of another job wins."""
    logger, stream = written(logs.TextFormatter())
    inside(job(id=7), lambda: logger.warning("half way"))
    inside(job(id=7), lambda: logger.warning("other", extra={"job": 8}))
    logger.warning("idle")
    first, second, third = stream.getvalue().splitlines()
    assert first.endswith("half way [job=7 attempt=1 task=work]")
    assert second.endswith("other [job=8]")
    assert third.endswith("idle")


async def test_the_job_follows_its_task_into_threads(written):
    """As `asyncio.to_thread` and the worker's own threads copy the context."""
    logger, stream = written(logs.TextFormatter())

    async def attempt() -> None:
        logs.running.set(job(id=9))
        await asyncio.to_thread(logger.warning, "in a thread")

    await asyncio.create_task(attempt())
    assert "[job=9" in stream.getvalue()


@pytest.mark.parametrize(
    "headers",
    [
        None, "{}", '{"traceparent": 7}', '{"traceparent": "00-' + "0" * 32 + '-00f067aa0ba902b7-01"}',
        '{"traceparent": "ff' + PARENT[2:] + '"}', '{"traceparent": "' + PARENT[:-1] + '"}', '["traceparent"]',
        '{"traceparent": ', '{"traceparent": "00-' + "A" * 32 + '-00f067aa0ba902b7-01"}',
    ],
)  # fmt: skip
def test_a_malformed_trace_is_no_trace(headers):
    """What somebody else's enqueue wrote must not break a line or an attempt."""
    assert read(headers) is None


def test_a_later_version_of_the_trace_header_is_read_as_far_as_it_is_known():
    """The rule of the recommendation."""
    found = read(json.dumps({"traceparent": "01" + PARENT[2:] + "-more", "tracestate": "a=b"}))
    assert found is not None
    assert (found.trace_id, found.span_id, found.flags, found.state) == (PARENT[3:35], PARENT[36:52], 1, "a=b")


# -- progress and the report ----------------------------------------------------------------------------------------


def test_progress_is_taken_at_most_once_a_second_and_its_end_always():
    """A loop may call it for every row."""
    told: list[dict[str, Any]] = []
    now = [100.0]
    context = Context(job=job(), client=cast("Client", None), report=told.append, clock=lambda: now[0])
    for done in range(1, 11):
        context.progress(done, 10, note="x" * 500 + "\0")
        now[0] += 0.3
    assert [one["done"] for one in told] == [1, 5, 9, 10]
    assert told[0]["note"] == "x" * LONGEST_NOTE
    for bad in ((-1, 1), (1, 0), (float("nan"), 1), (1, float("inf"))):
        with pytest.raises(ValueError, match="progress"):
            context.progress(*bad)


def test_progress_outside_of_a_worker_is_accepted_and_goes_nowhere():
    """In `run_inline` and in tests."""
    Context(job=job(), client=cast("Client", None)).progress(0.5)


def test_a_report_says_what_runs_since_when_how_far_and_what_came_last():
    """The oldest first, a bounded number of them, those that told their progress among them; ages in seconds."""
    now: list[float] = [100.0]
    held = Held(clock=lambda: now[0])
    jobs = [job(token=number, id=number) for number in range(1, 31)]
    for one in jobs:
        held.add([one])
        now[0] += 1
    held.progress[30] = {"done": 1, "total": 2}
    held.accepted([completed(job(id=99))])
    now[0] += 5
    told = json.loads(report(held, clock=lambda: now[0]))
    assert [one["id"] for one in told["jobs"]] == [*range(1, MOST_JOBS), 30]
    assert (told["jobs"][0]["age"], told["jobs"][-1]["age"]) == (35.0, 6.0)
    assert told["jobs"][-1]["progress"] == {"done": 1, "total": 2}
    assert told["more"] == 30 - MOST_JOBS
    assert told["last"] == {"id": 99, "task": "work", "outcome": "completed", "age": 5.0}
    held.remove(jobs)
    assert held.progress == {}
    assert json.loads(report(held, clock=lambda: now[0]))["jobs"] == []


# -- dead letters -------------------------------------------------------------------------------------------------


class Glass:
    """A store to look through: a depth, or an error; and dead letters of rescues."""

    def __init__(self) -> None:
        self.looks = 0
        self.error: Exception | None = None
        self.letters: list[Untold] = []

    async def depth(self, queue: int) -> Depth:
        self.looks += 1
        if self.error is not None:
            raise self.error
        return Depth(ready=queue, deferred=2, in_flight=3, dead=4, oldest=5.0)

    async def untold(self, holder: str) -> list[Untold]:
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

        self.announcer = Announcer(self.app.hooks)
        self.forensics = Forensics(
            store=cast("Any", self.glass), queue=lambda: (11, "q"), facts=lambda: {"pod": "p"},
            announcer=self.announcer,
            metrics=self.metrics, tasks=["work"], holder="me", clock=lambda: self.now, wall=lambda: 1000.0,
        )  # fmt: skip


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_only_what_dies_is_looked_into_and_one_look_serves_many(bench):
    """A batch without a dead letter costs no query; within five seconds one look is enough."""
    lively = [completed(job()), failed(OutcomeState.RETRY)]
    assert await bench.forensics.attach(lively) is lively
    assert bench.glass.looks == 0
    for _ in range(3):
        batch = await bench.forensics.attach([*lively, failed(), failed()])
    assert [outcome.forensics is not None for outcome in batch] == [False, False, True, True]
    assert bench.glass.looks == 1
    bench.now = 5.0
    await bench.forensics.attach([failed()])
    assert bench.glass.looks == 2


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
    assert machine()["threads"] >= 1


async def test_a_queue_that_cannot_be_looked_at_does_not_hold_up_a_dead_letter(bench):
    """It is buried all the same, without the depth."""
    bench.glass.error = DatabaseUnavailable("gone")
    [outcome] = await bench.forensics.attach([failed()])
    assert outcome.forensics is not None
    assert json.loads(outcome.forensics)["queue"] is None


async def test_errors_of_tasks_that_the_app_does_not_have_are_not_remembered(bench):
    """Names in the database must not fill the memory."""
    bench.forensics.settled([failed(task=f"made up {number}") for number in range(50)])
    assert set(bench.forensics._recent) == {"work"}


async def test_a_failed_attempt_is_one_line_and_a_dead_letter_is_told(bench, caplog):
    """With its job; retries as warnings, dead letters as errors and to the hooks."""
    bench.forensics.settled([completed(job()), failed(OutcomeState.RETRY, id=1), failed(id=2, attempt=5)])
    lines = [record for record in caplog.records if record.name == "penstock.attempt"]
    assert [(record.levelname, record.job) for record in lines] == [("WARNING", 1), ("ERROR", 2)]
    assert "attempt 5 of 5 failed with builtins.ValueError: no" in lines[1].getMessage()
    await until(lambda: bench.heard)
    assert bench.heard == [
        DeadLetterMade(
            id=2, queue="q", task="work", reason="exhausted", attempt=5, error="builtins.ValueError", message="no",
            by_rescue=False,
        )
    ]  # fmt: skip


async def test_a_task_that_fails_all_the_time_does_not_flood_the_log(bench, caplog):
    """Ten lines in ten seconds; the next one says how many were left out. Other tasks have their own."""
    for number in range(50):
        bench.forensics.settled([failed(OutcomeState.RETRY, id=number)])
    bench.forensics.settled([failed(OutcomeState.RETRY, id=60, task="another")])
    bench.now = LINES_SECONDS
    bench.forensics.settled([failed(OutcomeState.RETRY, id=70)])
    lines = [record for record in caplog.records if record.name == "penstock.attempt"]
    assert [record.job for record in lines] == [*range(MOST_LINES), 60, 70]
    assert lines[-1].getMessage().endswith("; 40 more of this task were not logged")


async def test_dead_letters_of_a_rescue_are_counted_and_told_by_whoever_rescued(bench):
    """Of other queues as well."""
    bench.glass.letters = [Untold(5, "other", "work", "poison", 1, "WorkerLost", "lost three times")]
    await bench.forensics.rescued()
    await until(lambda: bench.heard)
    assert [(one.id, one.queue, one.reason, one.by_rescue) for one in bench.heard] == [(5, "other", "poison", True)]
    assert bench.metrics._dead["other", "work"] == 1


# -- probes and what runs beside -------------------------------------------------------------------------------------


class Parts:
    """The parts of a worker that probes look at, all well."""

    def __init__(self) -> None:
        self.now, self.draining = 1000.0, False
        self.lease = SimpleNamespace(worker=1, alive=True, state="running", renewed_lately=True, age=1.0, trouble=None)
        self.claimer = SimpleNamespace(defect=None, disconnected=False, trouble=None, pending=0)
        self.held = Held(clock=lambda: self.now)
        self.probes = Probes(
            lease=cast("Any", self.lease), held=self.held, claimer=cast("Any", self.claimer),
            consumers=cast("Any", SimpleNamespace(
                running=1, concurrency=4, waiting=0, unacknowledged=0, prefetching=False)),
            maintenance=cast("Any", SimpleNamespace(
                upkeep=SimpleNamespace(leading=True, rescued=0, poisoned=0, succeeded_at=990.0))),
            draining=lambda: self.draining, longest_timeout=900.0, clock=lambda: self.now, wall=lambda: 5000.0,
        )  # fmt: skip

    def breaks(self, what: str) -> None:
        match what:
            case "draining":
                self.draining = True
            case "cordoned":
                self.lease.state = "cordoned"
            case "lease":
                self.lease.renewed_lately, self.lease.age, self.lease.trouble = False, 12.0, "no route"
            case "claims":
                self.claimer.disconnected, self.claimer.trouble = True, "DatabaseUnavailable: gone"
            case "refused":
                self.claimer.defect = "SchemaMissing: no function claim"
            case "blocked":
                self.now += 3.0


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("draining", "draining"), ("cordoned", "cordoned"), ("lease", "disconnected: .*12 s ago .*no route"),
        ("claims", "disconnected: claims fail .*gone"), ("refused", "claims are refused: SchemaMissing"),
        ("blocked", "event loop has been blocked for 3 s"),
    ],
)  # fmt: skip
def test_a_worker_is_not_ready_for_each_reason_and_says_it_but_lives(what, said):
    """A restart would mend none of them."""
    parts = Parts()
    assert parts.probes.ready() is None
    parts.breaks(what)
    assert re.search(said, str(parts.probes.ready()))
    assert parts.probes.live() is None


def test_a_cordoned_worker_stays_ready_while_it_holds_jobs():
    """It is still at work."""
    parts = Parts()
    parts.held.add([job()])
    parts.breaks("cordoned")
    assert parts.probes.ready() is None


def test_only_a_dead_lease_thread_or_a_loop_blocked_for_longer_than_any_task_may_take_ends_a_worker():
    """A restart interrupts jobs."""
    parts = Parts()
    parts.now += LONGEST_BLOCK + 1  # a task may take 900 s
    assert parts.probes.live() is None
    parts.now += 300
    assert "901 s" in str(parts.probes.live())
    other = Parts()
    other.lease.alive = False
    assert other.probes.live() == "the lease thread has ended"


def test_times_in_the_gauges_are_of_the_epoch():
    """Whoever asks works out the age."""
    parts = Parts()
    parts.held.add([job()])
    parts.now += 10
    gauges = parts.probes.gauges()
    assert (gauges["lease_renewed"], gauges["oldest_running"], gauges["maintenance_success"]) == (4999, 4990, 4980)


async def test_what_runs_beside_a_worker_and_ends_by_itself_is_heard_of():
    """An upkeep that died silently would look like a worker that has nothing to do."""
    said: list[str] = []

    async def breaks() -> None:
        raise RuntimeError("ticker")

    async def stays() -> None:
        await asyncio.sleep(60)

    async with beside(said.append, ticker=breaks(), upkeep=stays()):
        await until(lambda: said)
    assert said == ["ticker ended: RuntimeError('ticker')"]
