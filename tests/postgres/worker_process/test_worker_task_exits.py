"""The contract of outcomes on a real worker: however a task ends, in any executor, its attempt ends and no more."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from penstock import App, JobHandle
from tests import exit_jobs as jobs
from tests.postgres import desk
from tests.postgres.jobs import go
from tests.postgres.worker_process import disrupting_jobs
from tests.postgres.worker_process.executors import over
from tests.postgres.workers import WorkerProcess
from tests.task_exits import TASK_EXITS


@pytest.fixture
def launch(start, newest) -> Iterator[Callable[..., WorkerProcess]]:
    """Starts a worker over the tasks of `exit_jobs`."""
    yield lambda **settings: start(app=jobs.PATH, **settings)
    jobs.app.close()


def seen(handle: JobHandle) -> tuple[str, str | None, str | None, object]:
    """State, reason, class of the last error and result of a job; only a snooze refunds its attempt."""
    info = handle.info()
    assert info.attempt == (0 if info.state.value == "scheduled" else 1)
    return info.state.value, info.reason, info.errors[-1]["type"] if info.errors else None, info.result


def test_every_exit_in_every_executor_ends_its_attempt_and_nothing_else(launch, newest):
    """One worker for all: it holds nothing at the end, is the one that started, and drains when asked to."""
    worker = launch(concurrency=4)
    handles = {
        (how, where): jobs.TASKS[where].enqueue(how) for how, expected in TASK_EXITS.items() for where in expected.where
    }
    unfinished = "SELECT count(*) FROM penstock.job WHERE ord IS NOT NULL"
    desk.until(lambda: newest.execute(unfinished).fetchone() == (0,), 120)
    for (how, where), handle in handles.items():
        expected, (state, reason, error, result) = TASK_EXITS[how], seen(handle)
        error = error if expected.error else None  # which class it is may depend on the executor
        assert (how, where, state, reason, error, result) == (
            how,
            where,
            expected.state,
            expected.reason,
            expected.error,
            expected.result,
        )
    query = "SELECT count(*), (SELECT count(*) FROM penstock.job WHERE token IS NOT NULL) FROM penstock.worker"
    assert newest.execute(query).fetchone() == (1, 0)
    code, said = worker.end()
    assert (code, "was declared lost" in said) == (0, False), said


def test_an_application_that_silences_logging_hears_its_worker_and_who_blocks_the_event_loop(start, newest):
    """At its import, in a lifespan and in a task; the line comes while the loop is blocked, once."""
    # The import of that application would silence the whole test process.
    worker = start(app="tests.postgres.worker_process.quiet_jobs:app")
    app = App()
    careless = app.task(name="careless", queue="q")(lambda: None)
    try:
        desk.until(lambda: "worker started" in worker.said())
        handle = careless.enqueue()
        desk.until(lambda: "event loop blocked" in worker.said())
        assert handle.status().value == "running"
    finally:
        go().touch()
    assert handle.result(60) is None
    code, said = worker.end()
    app.close()
    assert code == 0
    assert ": drained " in said
    (line,) = (line for line in said.splitlines() if "event loop blocked" in line)
    assert 'blocked_by="task careless" stack="careless (' in line
    assert "quiet_jobs.py" in line
    assert f" job={handle.id} " in line


def test_what_tasks_change_or_leave_in_their_process_keeps_no_worker_from_working_or_exiting(start, newest):
    """Settings, handlers, tasks and threads: jobs of every executor run, and SIGTERM drains; the process ends after."""
    jobs = disrupting_jobs
    worker = start(app=jobs.PATH, concurrency=2)
    for how in jobs.DISRUPTIONS:
        for disrupt in (jobs.disrupt_async, jobs.disrupt_thread, jobs.disrupt_process):
            assert disrupt.enqueue(how).result(60) == how
    assert over(jobs.crash.enqueue()) == ("dead", "exhausted")  # the next job has a child of its own
    for ping in (jobs.ping_async, jobs.ping_thread, jobs.ping_process):
        assert ping.enqueue().result(60) == "pong"
    desk.until(lambda: "signals=SIGTERM,SIGINT" in worker.said())
    jobs.app.close()
    code, said = worker.end()
    assert code == 0
    assert ": drained " in said
    assert "abandoned" in said
    (line,) = (line for line in said.splitlines() if "process did not exit in time" in line)
    assert "left by a task" in line


def test_a_task_that_cancels_every_task_of_the_loop_ends_its_worker_and_loses_no_job(start, newest):
    """The worker's own tasks are among them: it says so and leaves with 1, like one of which a stage has ended."""
    handle = disrupting_jobs.cancel_all.enqueue()
    worker = start(app=disrupting_jobs.PATH)
    code, said = worker.ended()
    assert code == 1
    assert "worker failed, draining" in said
    assert handle.status().value in {"queued", "running", "scheduled"}
    disrupting_jobs.app.close()
