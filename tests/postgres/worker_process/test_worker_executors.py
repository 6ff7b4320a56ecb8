"""The process executor of a real worker: children that run, crash, are replaced, flood the log, and end with it."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator

import pytest

from penstock import JobState
from penstock.errors import JobFailed
from tests.postgres import desk
from tests.postgres.worker_process import executor_jobs as jobs
from tests.postgres.worker_process.executors import alive, over
from tests.postgres.workers import WorkerProcess, lines


@pytest.fixture
def launch(start, newest) -> Iterator[Callable[..., WorkerProcess]]:
    """Starts a worker over the tasks of `executor_jobs`."""
    yield lambda **settings: start(app=jobs.APP, **settings)
    jobs.app.close()


def test_a_task_runs_in_a_warm_child_that_opened_the_lifespan_once(launch, trace):
    """Plain and async, one child after the other job; it leaves its lifespan when the worker drains."""
    worker = launch(concurrency=1)
    pids = {jobs.whoami.enqueue().result(60)[0] for _ in range(3)}
    handle = jobs.whoami_async.enqueue()
    pid, job, attempt = handle.result(60)
    assert ({pid}, job, attempt) == (pids, handle.id, 1)
    assert jobs.whoami.enqueue().result(60) == [pid, worker.pid]
    assert jobs.own_loop.enqueue().result(60) == "ran"
    code, said = worker.end()
    assert code == 0, said
    assert lines(trace).count(f"opened {pid}") == lines(trace).count(f"closed {pid}") == 1
    assert not alive(pid)


def test_a_worker_whose_default_is_process_runs_all_that_do_not_say_in_children(launch, trace):
    """The executor of the JobQueue; what a task says wins."""
    launch(executor="process", concurrency=2)
    assert over(jobs.odd.enqueue("none")) == ("completed", None)
    assert over(jobs.odd_in_thread.enqueue("exit"))[0] == "dead"
    assert len([line for line in lines(trace) if line.startswith("opened")]) >= 2


def test_outcomes_and_errors_are_those_of_any_executor(launch):
    """Snooze, an error's policy by its base class, sys.exit and KeyboardInterrupt as errors of the one attempt."""
    launch(concurrency=2)
    snoozed, key = jobs.snoozing.enqueue(), jobs.crash.enqueue("key")
    soft = [jobs.crash.options(max_attempts=1).enqueue(how) for how in ("exit", "interrupt")]
    assert over(key) == ("dead", "non_retryable")
    assert [over(handle) for handle in soft] == [("dead", "exhausted")] * 2
    assert [handle.info().errors[0]["type"] for handle in (key, *soft)] == [
        "builtins.KeyError",
        "builtins.SystemExit",
        "builtins.KeyboardInterrupt",
    ]
    assert "in crash" in key.info().errors[0]["traceback"]
    desk.until(lambda: snoozed.info().reason == "later")


def test_the_third_crash_of_a_child_makes_poison_and_neighbours_finish(launch, newest, trace):
    """Each crash fails that one attempt; the error says how the process ended; the worker lives and so do its jobs."""
    worker = launch(concurrency=4)
    poison = {how: jobs.crash.enqueue(how) for how in ("_exit", "signal", "memory", "close")}
    neighbours = [jobs.crash.enqueue("well") for _ in range(30)]
    assert [over(handle, 60) for handle in poison.values()] == [("dead", "poison")] * 4
    assert [handle.result(60) for handle in neighbours] == ["well"] * 30
    for handle in poison.values():
        info = handle.info()
        assert (info.crashes, info.attempt) == (3, 3)
        assert [error["type"] for error in info.errors] == ["penstock.errors.ChildCrashed"] * 3
    assert "exit code 3" in poison["_exit"].info().errors[0]["message"]
    assert "SIGKILL), which the kernel sends when memory runs out" in poison["memory"].info().errors[0]["message"]
    assert [handle.info().crashes for handle in neighbours] == [0] * 30
    assert newest.execute("SELECT count(*) FROM penstock.worker").fetchone() == (1,)
    assert worker.end()[0] == 0


def test_what_a_crashed_child_said_last_is_in_its_error(launch):
    """A segmentation fault names the line of the task."""
    launch(concurrency=1)
    handle = jobs.crash.options(max_attempts=1).enqueue("signal")
    assert over(handle) == ("dead", "exhausted")
    error = handle.info().errors[0]
    assert "signal 11 (SIGSEGV)" in error["message"]
    assert "in crash" in error["traceback"]


def test_a_job_whose_child_crashed_runs_again_and_knows_it(launch):
    """A crash is an attempt, with a policy of its own in `retry=`."""
    launch(concurrency=1)
    handle = jobs.crash_once.enqueue()
    assert handle.result(60) == 1
    assert handle.info().attempt == 2


def test_memory_that_is_refused_is_an_error_and_the_child_lives(launch):
    """A limit of the address space raises inside the task."""
    launch(concurrency=1)
    handle = jobs.greedy.enqueue()
    assert over(handle) == ("dead", "exhausted")
    assert handle.info().errors[0]["type"] == "builtins.MemoryError"


def test_a_child_that_has_run_its_count_is_replaced(launch):
    """By a new one that is there before it is needed."""
    launch(concurrency=1, child_max_jobs=2)
    pids = [jobs.whoami.enqueue().result(60)[0] for _ in range(6)]
    assert len(set(pids)) == 3
    assert pids[0] == pids[1]


def test_a_child_that_has_grown_is_replaced(launch):
    """By what is resident after a job; an interpreter alone is above 1 MiB."""
    launch(concurrency=1, child_max_resident_mib=1)
    pids = [jobs.whoami.enqueue().result(60)[0] for _ in range(3)]
    assert len(set(pids)) == 3


def test_children_die_with_a_worker_that_is_killed(launch):
    """Nothing runs on that nobody can stop."""
    worker = launch(concurrency=1)
    pid = jobs.whoami.enqueue().result(60)[0]
    worker.kill()
    desk.until(lambda: not alive(pid))


def test_a_drain_waits_for_children_and_releases_what_takes_too_long(launch, newest, trace):
    """As in any executor: what ends within three quarters of the grace period ends well."""
    worker = launch(concurrency=2, drain_timeout_seconds=8)
    short, long = jobs.sole.enqueue(1.0), jobs.waiting.enqueue()
    desk.until(lambda: len([line for line in lines(trace) if line.startswith("start")]) == 2)
    code, said = worker.end()
    assert code == 0, said
    assert short.status() is JobState.COMPLETED
    assert (long.status(), long.info().attempt) == (JobState.QUEUED, 0)


def test_signals_of_the_group_do_not_end_children(launch, trace):
    """Ctrl-C and a SIGTERM meant for the worker: the child finishes its job."""
    worker = launch(concurrency=1)
    pid = jobs.whoami.enqueue().result(60)[0]
    handle = jobs.sole.enqueue(0.5)
    desk.until(lambda: f"start {handle.id} {pid}" in lines(trace))
    for number in (signal.SIGTERM, signal.SIGINT):
        os.kill(pid, number)
    assert worker.end()[0] == 0
    assert handle.status() is JobState.COMPLETED


def test_a_flood_of_output_is_bounded_and_counted(launch):
    """The first lines of a second are shown, with the child's name; the job ends; the worker is not drowned."""
    worker = launch(concurrency=1)
    assert jobs.talk.enqueue(20_000).result(60) == 20_000
    assert jobs.talk.enqueue(1).result(60) == 1
    _, said = worker.end()
    shown = said.count(" of many")
    assert 1 <= shown < 5_000
    assert "output of a child process suppressed" in said
    assert "the last words" in said


def test_a_child_has_the_jobs_transaction_and_can_enqueue(launch, newest):
    """Both on connections of its own."""
    newest.execute("CREATE TABLE booking (job bigint)")
    launch(concurrency=1)
    booked = jobs.book.enqueue()
    assert over(booked) == ("completed", None)
    assert newest.execute("SELECT job FROM booking").fetchall() == [(booked.id,)]
    (followed,) = jobs.follow.enqueue().result(60)
    assert over(jobs.app.job(followed)) == ("completed", None)


def test_an_app_that_no_child_can_open_is_reported_at_the_start(launch, monkeypatch):
    """One line, exit code 1, nothing claimed."""
    code, said = start_broken(launch).ended()
    assert code == 1
    assert "a child process does not start: RuntimeError: not in a child" in said


def start_broken(launch: Callable[..., WorkerProcess]) -> WorkerProcess:
    os.environ["PENSTOCK_TEST_BROKEN"] = "1"
    try:
        return launch(concurrency=1)
    finally:
        del os.environ["PENSTOCK_TEST_BROKEN"]


def test_the_result_of_a_child_that_cannot_be_kept_is_refused_as_elsewhere(launch):
    """Too long for the limit: a dead letter at once, for its effects are there."""
    launch(concurrency=1)
    with pytest.raises(JobFailed, match="unstorable_result"):
        jobs.large.enqueue().result(60)
