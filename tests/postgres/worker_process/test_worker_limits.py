"""Limits of an attempt over a real worker: timeouts, cancellation, forks, whatever it raises, and the lease's end."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator

import pytest

from penstock import JobHandle
from tests.postgres import desk
from tests.postgres.worker_process import executor_jobs as jobs
from tests.postgres.worker_process.executors import alive, over
from tests.postgres.workers import WorkerProcess, lines


@pytest.fixture
def launch(start, newest) -> Iterator[Callable[..., WorkerProcess]]:
    """Starts a worker over the tasks of `executor_jobs`."""
    yield lambda **settings: start(app=jobs.APP, **settings)
    jobs.app.close()


def test_a_soft_timeout_is_raised_inside_plain_and_async_tasks(launch):
    """The error says which task and which limit, and the child runs the next job."""
    launch(concurrency=1)
    for task in (jobs.sleepy, jobs.sleepy_async):
        late = task.enqueue(60)
        assert over(late) == ("dead", "exhausted")
        (error,) = late.info().errors
        assert error["type"] == "penstock.errors.TaskTimeout"
        assert f"'{task.name}': ran longer than its timeout of 0.2 s" in error["message"]
        assert over(jobs.whoami.enqueue()) == ("completed", None)


def test_a_hard_timeout_kills_the_child_and_what_it_forked(launch, trace):
    """Even one that stops every exception; the next job gets a new child."""
    launch(concurrency=1)
    handle = jobs.deaf.enqueue()
    assert over(handle) == ("dead", "exhausted")
    assert "hard timeout of 1.5 s" in handle.info().errors[0]["message"]
    assert jobs.whoami.enqueue().result(60)
    pids = [int(line.split()[1]) for line in lines(trace) if line.startswith("deaf")]
    assert len(pids) == 2
    desk.until(lambda: not any(alive(pid) for pid in pids))


def test_a_timed_out_thread_keeps_its_slot_until_it_returns_and_has_failed_then(launch, trace):
    """Nothing can interrupt it; it may check `ctx.cancelled`, and what it returns is not taken."""
    launch(concurrency=1)
    handle = jobs.slow_thread.enqueue()
    assert over(handle) == ("dead", "exhausted")
    assert handle.info().errors[0]["type"] == "penstock.errors.TaskTimeout"
    assert "cancel seen" in lines(trace)


def test_cancelling_a_running_job_is_seen_then_raised_then_a_kill(launch, trace):
    """A plain function sees it, an async one is cancelled, one that does not listen is killed five seconds later."""
    launch(concurrency=3)
    handles: list[JobHandle] = [jobs.patient.enqueue(), jobs.waiting.enqueue(), jobs.waiting.enqueue(deaf=True)]
    desk.until(lambda: all(f"start {handle.id}" in lines(trace) for handle in handles))
    for handle in handles:
        assert handle.cancel("not wanted")
    assert [over(handle)[0] for handle in handles] == ["cancelled"] * 3
    assert all(f"noticed {handle.id}" in lines(trace) for handle in handles)


@pytest.mark.parametrize("task", [jobs.fork, jobs.fork_in_thread, jobs.fork_in_child], ids=lambda task: task.name)
def test_a_task_that_forks_and_comes_back_twice_ends_once(task, launch, newest, trace):
    """The copy ends where it returns; the worker goes on."""
    worker = launch(concurrency=2)
    assert over(task.enqueue()) == ("completed", None)
    desk.until(lambda: len([line for line in lines(trace) if line.startswith("fork")]) == 2)
    pids = {int(line.split()[1]) for line in lines(trace) if line.startswith("fork")}
    assert len(pids) == 2
    assert jobs.whoami.enqueue().result(60)
    if task is not jobs.fork_in_child:
        desk.until(lambda: [pid for pid in pids if alive(pid)] == [worker.pid])
    assert worker.end()[0] == 0
    assert newest.execute("SELECT count(*) FROM penstock.outcome").fetchone() == (2,)


def test_a_copy_of_the_worker_that_awaits_ends_there(launch, newest, trace):
    """It would run the other jobs' next steps, which are ready here, and speak on the worker's connections."""
    worker = launch(concurrency=12)
    humming = [jobs.hum.enqueue(1_000_000_000) for _ in range(4)]
    for _ in range(5):
        assert over(jobs.fork.enqueue(wait=True)) == ("completed", None)
    assert [line for line in lines(trace) if not line.startswith("opened")] == [f"fork {worker.pid}"] * 5
    assert [handle.cancel() for handle in humming] == [True] * 4
    assert [over(handle)[0] for handle in humming] == ["cancelled"] * 4
    assert worker.end()[0] == 0


def test_a_fork_that_outlives_its_job_does_not_keep_the_worker_waiting(launch):
    """The copy holds no end of the pipe; it ends with its child."""
    worker = launch(concurrency=1)
    assert jobs.fork_in_child.enqueue(linger=600).result(60) == "done"
    assert jobs.whoami.enqueue().result(60)
    assert worker.end()[0] == 0


def test_whatever_a_task_raises_is_its_attempts_end(launch):
    """A cancellation of its own, a BaseException, a StopIteration from a thread: no slot is lost."""
    launch(concurrency=1)
    handles = [jobs.odd.enqueue(what) for what in ("cancelled", "base", "interrupt")]
    handles += [jobs.odd_in_thread.enqueue(what) for what in ("stop", "cancelled", "exit")]
    assert [over(handle)[0] for handle in handles] == ["dead"] * 6


def test_an_exclusive_child_ends_with_the_lease_though_its_worker_is_frozen(launch, newest, trace):
    """It runs nowhere twice at a time: the frozen worker's attempt is over before another one starts."""
    frozen = launch(lease_seconds=2, concurrency=1)
    handle = jobs.sole.enqueue(5.0, first=600)
    desk.until(lambda: any(line.startswith("start") for line in lines(trace)))
    (first,) = [int(line.split()[2]) for line in lines(trace) if line.startswith("start")]
    frozen.process.send_signal(signal.SIGSTOP)
    other = launch(lease_seconds=2, concurrency=1)
    desk.until(lambda: len([line for line in lines(trace) if line.startswith("start")]) >= 2)
    assert not alive(first)
    assert handle.result(60) >= 1  # losses of a worker; longer than two leases, so renewals arrived
    frozen.process.send_signal(signal.SIGCONT)
    traced = [line.split()[0] for line in lines(trace) if f" {handle.id} " in line]
    assert (traced.count("end"), traced[-1]) == (1, "end")
    assert other.end()[0] == 0


def test_an_exclusive_task_on_the_loop_stops_as_soon_as_its_worker_thaws(launch, newest, trace):
    """Its lease is over and its job runs elsewhere; nobody waits for it."""
    frozen = launch(lease_seconds=1, concurrency=1)
    handle = jobs.sole_async.enqueue(600)
    desk.until(lambda: f"start {handle.id}" in lines(trace))
    frozen.process.send_signal(signal.SIGSTOP)
    other = launch(lease_seconds=1, concurrency=1)
    assert over(handle) == ("completed", None)
    frozen.process.send_signal(signal.SIGCONT)
    desk.until(lambda: f"stopped {handle.id}" in lines(trace))
    assert lines(trace).count(f"end {handle.id}") == 1
    assert other.end()[0] == 0
