"""The worker as a process of its own, over a real server: what it does, and what signals, loss and silence do to it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from prometheus_client.parser import text_string_to_metric_families

from penstock import JobState, Unique
from penstock.errors import UniqueConflict
from penstock.store import SyncClient
from tests.postgres import desk, jobs
from tests.support.postgres import Database

ROOT = Path(__file__).parents[2]


class WorkerProcess:
    """`penstock worker` as a child process."""

    def __init__(self, url: str, trace: Path, **settings: object) -> None:
        environment = {
            **os.environ, "TRACE": str(trace), "PENSTOCK_DATABASE_URL": url, "PENSTOCK_QUEUE": "q",
            "PENSTOCK_HTTP_PORT": "0", "PENSTOCK_POLL_SECONDS": "0.5", "PENSTOCK_BACKOFF_BASE_SECONDS": "0.01",
            "PENSTOCK_BACKOFF_STRATEGY": "constant", "PENSTOCK_DRAIN_TIMEOUT_SECONDS": "8",
            **{f"PENSTOCK_{name.upper()}": str(value) for name, value in settings.items()},
        }  # fmt: skip
        command = [sys.executable, "-m", "penstock", "worker", "tests.postgres.jobs:app"]
        self.process = subprocess.Popen(command, env=environment, cwd=ROOT, stderr=subprocess.PIPE, text=True)
        self._url = url

    @property
    def pid(self) -> int:
        return self.process.pid

    def row(self, db: psycopg.Connection) -> tuple:
        """id, state and http address of this process in the registry."""
        query = "SELECT id, state, info ->> 'http' FROM penstock.worker WHERE identity LIKE %s ORDER BY id DESC LIMIT 1"
        desk.until(lambda: db.execute(query, [f"%:{self.pid}"]).fetchone())
        row = db.execute(query, [f"%:{self.pid}"]).fetchone()
        assert row is not None
        return row

    def get(self, db: psycopg.Connection, path: str) -> tuple[int, str]:
        address = self.row(db)[2]
        try:
            with urllib.request.urlopen(f"http://{address}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as refused:
            return refused.code, refused.read().decode()

    def metric(self, db: psycopg.Connection, name: str, **labels: str) -> float:
        families = text_string_to_metric_families(self.get(db, "/metrics")[1])
        samples = [s for family in families for s in family.samples if s.name == name]
        return sum(s.value for s in samples if labels.items() <= s.labels.items())

    def end(self, number: signal.Signals = signal.SIGTERM, timeout: float = 15) -> tuple[int, str]:
        """Send a signal and wait; exit code and what it said."""
        self.process.send_signal(number)
        _, said = self.process.communicate(timeout=timeout)
        return self.process.returncode, said


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    path = tmp_path / "trace"
    path.touch()
    return path


@pytest.fixture
def start(pg_newest: Database, trace: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator:
    """Starts workers; ends what a test leaves running."""
    monkeypatch.setenv("PENSTOCK_DATABASE_URL", pg_newest.url)
    monkeypatch.setenv("TRACE", str(trace))
    started: list[WorkerProcess] = []

    def begin(**settings: object) -> WorkerProcess:
        started.append(WorkerProcess(pg_newest.url, trace, **settings))
        return started[-1]

    yield begin
    for worker in started:
        if worker.process.poll() is None:
            worker.process.send_signal(signal.SIGCONT)
            worker.process.kill()
            worker.process.communicate(timeout=10)
    jobs.app.close()


@pytest.fixture
def db(pg_newest: Database) -> Iterator[psycopg.Connection]:
    with pg_newest.connect() as connection:
        yield connection


def lines(trace: Path) -> list[str]:
    return trace.read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize("listen", ["true", "false"])
def test_a_job_runs_and_its_result_comes_back(listen, start, db):
    """With wake-ups and by polling alone."""
    worker = start(listen=listen)
    assert [jobs.add.enqueue(n, 1).result(timeout=20) for n in range(3)] == [1, 2, 3]
    assert worker.end()[0] == 0


def test_a_failing_job_is_retried_and_then_becomes_a_dead_letter_with_its_history(start, db):
    """Three attempts, each with type, message and traceback; the metrics tell the same."""
    worker = start()
    handle = jobs.fail.enqueue("broken")
    desk.until(lambda: handle.status() is JobState.DEAD, 20)
    info = handle.info()
    assert (info.attempt, info.reason) == (3, "exhausted")
    assert [(e["attempt"], e["type"], e["message"]) for e in info.errors] == [
        (n, "builtins.ValueError", "broken\ufffdpipe") for n in (1, 2, 3)
    ]
    assert all("in fail" in error["traceback"] for error in info.errors)
    assert worker.metric(db, "penstock_jobs_total", task="fail", outcome="retry") == 2
    assert worker.metric(db, "penstock_dead_letters_total", task="fail") == 1


def test_what_a_task_says_about_its_attempt_is_done(start, db):
    """Cancel, snooze, retry, a timeout, sys.exit, a result that cannot be stored: each has its end."""
    start(concurrency=3)
    said = {what: jobs.say.enqueue(what) for what in ("cancel", "snooze", "retry", "exit", "late", "nothing")}
    odd, timed = jobs.unstorable.enqueue(), jobs.timed.enqueue()
    desk.until(lambda: said["nothing"].status() is JobState.COMPLETED, 20)
    desk.until(lambda: said["cancel"].status() is JobState.CANCELLED)
    desk.until(lambda: said["snooze"].status() is said["retry"].status() is JobState.SCHEDULED)
    for what, reason, attempt in (("snooze", "later", 0), ("retry", "soon", 1)):
        info = said[what].info()
        assert (info.reason, info.attempt) == (reason, attempt)
    desk.until(lambda: odd.status() is JobState.DEAD and timed.status() is JobState.DEAD, 20)
    desk.until(lambda: said["exit"].status() is JobState.DEAD and said["late"].status() is JobState.DEAD, 20)
    assert (odd.info().reason, odd.info().attempt) == ("unstorable_result", 1)
    assert timed.info().errors[-1]["type"] == "builtins.TimeoutError"


def test_a_job_of_an_unknown_task_waits_for_a_version_that_knows_it(start, db):
    """Neither imported nor failed: deferred, attempt given back, visible."""
    start()
    desk.enqueue(db, 1)
    desk.until(lambda: db.execute("SELECT reason FROM penstock.job").fetchone() == ("task_unknown",), 20)
    assert db.execute("SELECT attempt, ord FROM penstock.job").fetchone() == (0, None)


def test_arguments_that_do_not_fit_the_task_any_more_make_a_dead_letter(start, db):
    """The signature changed since the enqueue: running again would not help."""
    start()
    db.execute("""SELECT penstock.enqueue('q', 'add', '{"a": "one"}')""")
    desk.until(lambda: db.execute("SELECT reason FROM penstock.dead").fetchone() == ("invalid_arguments",), 20)


def test_on_sigterm_running_jobs_finish_and_unstarted_ones_go_back(start, db, trace):
    """Exit 0, nothing claimed is left, and nothing runs twice."""
    worker = start(concurrency=2, max_demand=2)
    handles = [jobs.sleep.enqueue(1.0) for _ in range(6)]
    desk.until(lambda: len(lines(trace)) >= 2, 20)
    code, said = worker.end()
    assert code == 0, said
    states = [handle.status() for handle in handles]
    assert states.count(JobState.COMPLETED) == 2
    assert states.count(JobState.QUEUED) == 4
    assert db.execute("SELECT count(*) FROM penstock.worker").fetchone() == (0,)
    assert db.execute("SELECT sum(attempt) FROM penstock.job").fetchone() == (0,)


def test_a_job_longer_than_the_grace_period_is_handed_back_in_time(start, db, trace):
    """Cancelled at three quarters, released with its attempt refunded; the process is gone before the kill."""
    worker = start(drain_timeout_seconds=2)
    handle = jobs.sleep.enqueue(60)
    blocking = jobs.thread.enqueue(30)
    desk.until(lambda: len(lines(trace)) == 1 and blocking.status() is JobState.RUNNING, 20)
    before = time.monotonic()
    code, said = worker.end()
    assert time.monotonic() - before < 4
    assert code == 0, said
    assert (handle.status(), blocking.status()) == (JobState.QUEUED, JobState.QUEUED)
    assert handle.info().attempt == 0


def test_a_second_signal_ends_the_worker_at_once(start, db, trace):
    """Whoever insists gets it; the lease covers what was running."""
    worker = start(drain_timeout_seconds=60)
    handle = jobs.sleep.enqueue(60)
    desk.until(lambda: lines(trace), 20)
    worker.process.send_signal(signal.SIGTERM)
    desk.until(lambda: worker.get(db, "/readyz") == (503, "draining\n"))
    assert worker.end()[0] == 1
    assert handle.status() is JobState.RUNNING


def test_after_sigkill_the_jobs_run_elsewhere(start, db, trace):
    """Within the lease and a little: the attempt that was killed leaves one crash and no outcome."""
    first = start(lease_seconds=1, concurrency=3)
    handles = [jobs.sleep.enqueue(0.8) for _ in range(3)]
    desk.until(lambda: len(lines(trace)) == 3, 20)
    first.process.kill()
    first.process.communicate(timeout=10)
    start(lease_seconds=1)
    assert [handle.result(timeout=30) for handle in handles] == [2, 2, 2]
    assert db.execute("SELECT count(*), count(DISTINCT job_id) FROM penstock.outcome").fetchone() == (3, 3)
    assert [handle.info().crashes for handle in handles] == [1, 1, 1]


def test_a_worker_frozen_past_its_lease_changes_nothing_when_it_thaws(start, db, trace):
    """The job runs elsewhere meanwhile; its own outcome is refused and counted, and it works on under a new id."""
    frozen = start(lease_seconds=1, concurrency=1)
    handle = jobs.sleep.enqueue(1.5)
    desk.until(lambda: lines(trace), 20)
    old = frozen.row(db)[0]
    frozen.process.send_signal(signal.SIGSTOP)
    other = start(lease_seconds=1, concurrency=1)
    assert handle.result(timeout=30) == 2
    winner = handle.info().worker
    other.end()
    frozen.process.send_signal(signal.SIGCONT)
    desk.until(lambda: frozen.metric(db, "penstock_fenced_total") == 1, 20)
    assert (handle.info().worker, handle.status()) == (winner, JobState.COMPLETED)
    assert db.execute("SELECT count(*) FROM penstock.outcome").fetchone() == (1,)
    desk.until(lambda: frozen.row(db)[0] != old)
    assert jobs.add.enqueue(2, 2).result(timeout=20) == 4


def test_a_task_that_blocks_the_event_loop_past_the_lease_keeps_its_job(start, db):
    """The lease is renewed by a thread of its own: nobody takes the job back, it ends once."""
    worker = start(lease_seconds=1, concurrency=1)
    handle = jobs.block.enqueue(2.5)
    desk.until(lambda: handle.status() is JobState.RUNNING, 20)
    watcher = start(lease_seconds=1, concurrency=1)
    desk.until(lambda: worker.get(db, "/readyz")[0] == 503)
    assert worker.get(db, "/healthz") == (200, "ok\n")
    handle.result(timeout=20)
    assert (handle.info().crashes, handle.info().attempt) == (0, 1)
    watcher.end()


def test_terminated_connections_lose_no_job_and_finish_none_twice(start, db, trace):
    """All of the worker's backends are killed again and again while 200 jobs run."""
    start(concurrency=10, max_demand=20)
    ids = jobs.app.enqueue_many(jobs.add.job(n, 0) for n in range(200))
    kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'penstock %'"
    done = "SELECT count(*) FROM penstock.outcome WHERE state = 'completed'"
    for _ in range(12):
        db.execute(kill)
        desk.until(lambda: db.execute("SELECT pg_sleep(0.05)"))
    jobs.app.close()
    desk.until(lambda: db.execute(done).fetchone() == (len(ids),), 60)
    assert db.execute("SELECT count(DISTINCT job_id) FROM penstock.outcome").fetchone() == (len(ids),)
    assert db.execute("SELECT count(*) FROM penstock.job").fetchone() == (0,)


def test_a_cordoned_worker_finishes_hands_back_reports_drained_and_can_be_called_back(start, db, trace):
    """Not ready when empty, claiming nothing; running again after the call."""
    worker = start(concurrency=1)
    running = jobs.sleep.enqueue(0.6)
    desk.until(lambda: lines(trace), 20)
    row = worker.row(db)[0]
    db.execute("SELECT penstock.cordon(%s, true)", [[row]])
    waiting = jobs.add.enqueue(1, 1)
    desk.until(lambda: worker.row(db)[1] == "drained")
    assert running.status() is JobState.COMPLETED
    assert waiting.status() is JobState.QUEUED
    desk.until(lambda: worker.get(db, "/readyz") == (503, "drained\n"))
    db.execute("SELECT penstock.cordon(%s, false)", [[row]])
    assert waiting.result(timeout=20) == 2
    desk.until(lambda: worker.get(db, "/readyz")[0] == 200)


def test_a_running_job_can_be_cancelled_on_the_loop_and_in_a_thread(start, db, trace):
    """The worker is told by wake-up: the coroutine is interrupted, the function sees it; both end as cancelled."""
    worker = start(concurrency=2)
    on_loop, in_thread = jobs.sleep.enqueue(60), jobs.patient.enqueue()
    desk.until(lambda: len(lines(trace)) == 2, 20)
    assert on_loop.cancel("not wanted")
    assert in_thread.cancel()
    desk.until(lambda: on_loop.status() is in_thread.status() is JobState.CANCELLED, 10)
    assert f"noticed {in_thread.id}" in lines(trace)
    assert not on_loop.cancel()
    desk.until(lambda: worker.metric(db, "penstock_consumers", state="idle") == 2)
    assert worker.metric(db, "penstock_jobs_total", outcome="cancelled") == 2


def test_unique_jobs_are_one_job_until_they_end(start, db):
    """By key and by arguments; free again afterwards."""
    by_args = jobs.add.options(unique=Unique(by_args=True), delay=0.3)
    first = by_args.enqueue(1, 2)
    assert by_args.enqueue(1, 2).id == first.id
    assert by_args.enqueue(1, b=2).id == first.id
    assert by_args.enqueue(2, 2).id != first.id
    with pytest.raises(UniqueConflict, match=str(first.id)):
        jobs.add.options(unique=Unique(by_args=True, on_conflict="raise")).enqueue(1, 2)
    start()
    assert first.result(timeout=20) == 3
    assert by_args.enqueue(1, 2).id != first.id


def test_a_worker_without_schema_says_so_in_one_line_and_starts_nothing(servers, trace):
    """Exit 1 or 2, one sentence with the command that mends it, no traceback."""
    with servers.newest.database(migrated=False) as blank:
        worker = WorkerProcess(blank.url, trace)
        _, said = worker.process.communicate(timeout=20)
    assert worker.process.returncode in {1, 2}
    assert "penstock migrate" in said
    assert "Traceback" not in said
    assert len(said.strip().splitlines()) == 1


def test_a_worker_whose_server_is_down_says_so_without_the_password(trace):
    """One line, the address, not the credentials."""
    worker = WorkerProcess("postgresql://u:hunter2@127.0.0.1:1/x", trace)
    _, said = worker.process.communicate(timeout=30)
    assert worker.process.returncode in {1, 2}
    assert "127.0.0.1" in said
    assert "hunter2" not in said
    assert "Traceback" not in said


def test_a_pooled_url_needs_no_session_state(pg_newest, start):
    """The client without prepared statements enqueues and looks up."""
    client = SyncClient(pg_newest.url, pooled=True)
    try:
        ids = [client.enqueue([jobs.add.job(n, n)])[0] for n in range(8)]
        assert [info.state for job in ids if (info := client.info(job))] == [JobState.QUEUED] * 8
    finally:
        client.close()
