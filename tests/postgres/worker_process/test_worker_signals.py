"""The worker as a process of its own: what signals, loss, freezing and blocking do to it."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable

import psycopg

from penstock import JobState
from tests.postgres import desk, jobs
from tests.postgres.workers import WorkerProcess, lines


def test_on_sigterm_running_jobs_finish_and_unstarted_ones_go_back(start, newest, trace):
    """Exit 0, nothing claimed is left, and nothing runs twice."""
    worker = start(concurrency=2, max_demand=2, drain_timeout_seconds=60)
    handles = [jobs.gated.enqueue() for _ in range(6)]
    desk.until(lambda: len(lines(trace)) == 2)
    worker.process.send_signal(signal.SIGTERM)
    desk.until(lambda: worker.get(newest, "/readyz") == (503, "draining\n"))
    desk.until(lambda: [handle.status() for handle in handles].count(JobState.QUEUED) == 4)
    jobs.go().touch()
    code, said = worker.ended()
    assert code == 0, said
    assert [handle.status() for handle in handles].count(JobState.COMPLETED) == 2
    assert newest.execute("SELECT count(*) FROM penstock.worker").fetchone() == (0,)
    assert newest.execute("SELECT sum(attempt) FROM penstock.job").fetchone() == (0,)


def test_a_worker_asked_to_stop_says_so_at_once_and_again_after_it_was_declared_lost(start, newest, trace):
    """Its jobs hold no replica then, whatever it is called: a new registration would count as a worker to keep."""
    worker = start(concurrency=1, drain_timeout_seconds=600)
    jobs.gated.enqueue()
    desk.until(lambda: len(lines(trace)) == 1)
    old = worker.row(newest)[0]
    worker.process.send_signal(signal.SIGTERM)
    desk.until(lambda: worker.row(newest)[1] == "draining")
    assert newest.execute("SELECT penstock.cordon(%s, false)", [[old]]).fetchall() == []
    newest.execute("UPDATE penstock.worker SET state = 'lost', swept = true")
    newest.execute("SELECT pg_notify('penstock_control', %s::text)", [old])
    young = "SELECT state FROM penstock.worker WHERE id > %s"
    desk.until(lambda: newest.execute(young, [old]).fetchall() == [("draining",)])
    jobs.go().touch()
    assert worker.ended()[0] == 0


def test_a_job_longer_than_the_grace_period_is_released_in_time(start, newest, trace):
    """Cancelled at three quarters, released with its attempt refunded; the process is gone before the kill."""
    worker = start(drain_timeout_seconds=8)
    handle = jobs.sleep.enqueue(600)
    blocking = jobs.thread.enqueue(600)
    desk.until(lambda: len(lines(trace)) == 1 and blocking.status() is JobState.RUNNING)
    before = time.monotonic()
    code, said = worker.end()
    assert time.monotonic() - before < 8 + 30  # whatever the machine takes for itself
    assert code == 0, said
    assert (handle.status(), blocking.status()) == (JobState.QUEUED, JobState.QUEUED)
    assert handle.info().attempt == 0


def test_a_second_signal_ends_the_worker_at_once(start, newest, trace):
    """A second signal gets it; the lease covers what was running."""
    worker = start(drain_timeout_seconds=60)
    handle = jobs.sleep.enqueue(600)
    desk.until(lambda: lines(trace))
    worker.process.send_signal(signal.SIGTERM)
    desk.until(lambda: worker.get(newest, "/readyz") == (503, "draining\n"))
    assert worker.end()[0] == 1
    assert handle.status() is JobState.RUNNING


def test_after_sigkill_the_jobs_run_elsewhere(start, newest, trace):
    """Within the lease and a little: the attempt that was killed leaves one crash and no outcome."""
    first = start(lease_seconds=1, concurrency=3)
    handles = [jobs.gated.enqueue() for _ in range(3)]
    desk.until(lambda: len(lines(trace)) == 3)
    first.kill()
    start(lease_seconds=1)
    assert [handle.result(timeout=60) for handle in handles] == [2, 2, 2]
    assert newest.execute("SELECT count(*), count(DISTINCT job_id) FROM penstock.outcome").fetchone() == (3, 3)
    assert [handle.info().crashes for handle in handles] == [1, 1, 1]


def until_all_are_over(start: Callable[..., WorkerProcess], db: psycopg.Connection, count: int) -> None:
    """Have a worker run until so many jobs have ended; one that is killed is started again, as its Deployment would.

    The lease is long, so that no worker loses it that merely stands still; for one that is dead it is ended here.
    """
    over = "SELECT count(*) FROM penstock.jobs WHERE state IN ('completed', 'dead')"
    worker = start(lease_seconds=10, concurrency=60, max_demand=60)

    def all_over() -> bool:
        nonlocal worker
        if worker.process.poll() is not None:
            db.execute("UPDATE penstock.worker SET lease_until = clock_timestamp() - interval '1 s'")
            db.execute("UPDATE penstock.leader SET lease_until = clock_timestamp() - interval '1 s'")
            worker = start(lease_seconds=10, concurrency=60, max_demand=60)
        db.execute("UPDATE penstock.leader SET held_since = clock_timestamp() - interval '1 hour'")
        return bool(db.execute(over.encode()).fetchone() == (count,))

    desk.until(all_over, 200)


def test_a_job_that_kills_its_process_each_time_is_buried_and_its_fifty_neighbours_finish(start, newest):
    """Run alone once it is suspect, so that the third crash is its own: poison, and all the others completed."""
    (killer,) = jobs.app.enqueue_many([jobs.poison.job()])
    ids = jobs.app.enqueue_many(jobs.sleep.job(0.02) for _ in range(50))
    until_all_are_over(start, newest, 51)
    assert newest.execute("SELECT id, reason, crashes FROM penstock.dead").fetchall() == [(killer, "poison", 3)]
    done = newest.execute("SELECT count(DISTINCT job_id) FROM penstock.outcome WHERE state = 'completed'").fetchone()
    assert done == (len(ids),)


def test_of_several_suspects_in_one_claim_the_killer_takes_no_other_with_it(start, newest):
    """All were there at two crashes and come at once: one stays, the others are released before it runs."""
    (killer,) = jobs.app.enqueue_many([jobs.poison.job()])
    jobs.app.enqueue_many(jobs.add.job(n, 0) for n in range(4))
    newest.execute("UPDATE penstock.job SET crashes = 2")
    until_all_are_over(start, newest, 5)
    assert newest.execute("SELECT id, reason, crashes FROM penstock.dead").fetchall() == [(killer, "poison", 3)]
    assert newest.execute("SELECT DISTINCT crashes, state FROM penstock.outcome").fetchall() == [(2, "completed")]


def test_a_worker_frozen_past_its_lease_changes_nothing_when_it_thaws(start, newest, trace):
    """The job runs elsewhere meanwhile; its own outcome is refused and counted, and it works on under a new id."""
    frozen = start(lease_seconds=2, concurrency=1)
    handle = jobs.gated.enqueue()
    desk.until(lambda: lines(trace))
    old = frozen.row(newest)[0]
    frozen.process.send_signal(signal.SIGSTOP)
    other = start(lease_seconds=2, concurrency=1)
    assert handle.result(timeout=60) == 2
    winner = handle.info().worker
    other.end()
    jobs.go().touch()
    frozen.process.send_signal(signal.SIGCONT)
    desk.until(lambda: frozen.metric(newest, "penstock_fenced_total") == 1)
    assert (handle.info().worker, handle.status()) == (winner, JobState.COMPLETED)
    assert newest.execute("SELECT count(*) FROM penstock.outcome").fetchone() == (1,)
    desk.until(lambda: frozen.row(newest)[0] != old)
    assert jobs.add.enqueue(2, 2).result(timeout=60) == 4


def test_a_task_that_blocks_the_event_loop_past_the_lease_keeps_its_job(start, newest):
    """The lease is renewed by a thread of its own: nobody takes the job back, it ends once."""
    worker = start(lease_seconds=2, concurrency=1)
    handle = jobs.block.enqueue()
    desk.until(lambda: handle.status() is JobState.RUNNING)
    watcher = start(lease_seconds=2, concurrency=1)
    desk.until(lambda: worker.get(newest, "/readyz")[0] == 503)
    assert worker.get(newest, "/healthz") == (200, "ok\n")
    three_leases = "SELECT claimed_at < clock_timestamp() - interval '6 s' FROM penstock.job"
    desk.until(lambda: newest.execute(three_leases).fetchone() == (True,))
    jobs.go().touch()
    handle.result(timeout=60)
    assert (handle.info().crashes, handle.info().attempt) == (0, 1)
    watcher.end()


def test_terminated_connections_lose_no_job_and_finish_none_twice(start, newest, trace):
    """All of the worker's backends are killed again and again while 200 jobs run."""
    worker = start(concurrency=10, max_demand=20)
    assert jobs.add.enqueue(0, 0).result(timeout=60) == 0  # it is up: one that cannot start ends, and is started again
    ids = jobs.app.enqueue_many(jobs.add.job(n, 0) for n in range(200))
    kill = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE application_name LIKE 'penstock %' AND datname = current_database()"
    )
    done = "SELECT count(*) FROM penstock.outcome WHERE state = 'completed'"
    for _ in range(12):
        newest.execute(kill)
        desk.until(lambda: newest.execute("SELECT pg_sleep(0.05)"))
    jobs.app.close()
    desk.until(lambda: newest.execute(done).fetchone() == (len(ids) + 1,), 60)
    assert newest.execute("SELECT count(DISTINCT job_id) FROM penstock.outcome").fetchone() == (len(ids) + 1,)
    assert worker.process.poll() is None
    assert newest.execute("SELECT count(*) FROM penstock.job").fetchone() == (0,)


def test_a_cordoned_worker_finishes_releases_reports_drained_and_can_be_called_back(start, newest, trace):
    """Not ready when empty, claiming nothing; running again after the call."""
    worker = start(concurrency=1)
    running = jobs.gated.enqueue()
    desk.until(lambda: lines(trace))
    row = worker.row(newest)[0]
    newest.execute("SELECT penstock.cordon(%s, true)", [[row]])
    waiting = jobs.add.enqueue(1, 1)
    jobs.go().touch()
    desk.until(lambda: worker.row(newest)[1] == "drained")
    assert running.status() is JobState.COMPLETED
    assert waiting.status() is JobState.QUEUED
    desk.until(lambda: worker.get(newest, "/readyz") == (503, "drained\n"))
    newest.execute("SELECT penstock.cordon(%s, false)", [[row]])
    assert waiting.result(timeout=60) == 2
    desk.until(lambda: worker.get(newest, "/readyz")[0] == 200)
