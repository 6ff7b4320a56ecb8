"""The worker as a process of its own, over a real server: what it does with jobs, and how it refuses to start."""

from __future__ import annotations

import pytest

from penstock import JobState, Unique
from penstock.errors import UniqueConflict
from penstock.store import SyncClient
from tests.postgres import desk, jobs
from tests.postgres.workers import lines


@pytest.mark.parametrize("listen", ["true", "false"])
def test_a_job_runs_and_its_result_comes_back(listen, start, newest):
    """With wake-ups and by polling alone."""
    worker = start(listen=listen)
    assert [jobs.add.enqueue(n, 1).result(timeout=60) for n in range(3)] == [1, 2, 3]
    assert worker.end()[0] == 0


def test_a_failing_job_is_retried_and_then_becomes_a_dead_letter_with_its_history(start, newest):
    """Three attempts, each with type, message and traceback; the metrics report the same."""
    worker = start()
    handle = jobs.fail.enqueue("broken")
    desk.until(lambda: handle.status() is JobState.DEAD)
    info = handle.info()
    assert (info.attempt, info.reason) == (3, "exhausted")
    assert [(e["attempt"], e["type"], e["message"]) for e in info.errors] == [
        (n, "builtins.ValueError", "broken\ufffdpipe") for n in (1, 2, 3)
    ]
    assert all("in fail" in error["traceback"] for error in info.errors)
    assert worker.metric(newest, "penstock_jobs_total", task="fail", outcome="retry") == 2
    assert worker.metric(newest, "penstock_dead_letters_total", task="fail") == 1


def test_what_a_task_says_about_its_attempt_is_done(start, newest):
    """Cancel, snooze, retry, a timeout, sys.exit, a result that cannot be stored: each has its outcome."""
    start(concurrency=3)
    said = {what: jobs.say.enqueue(what) for what in ("cancel", "snooze", "retry", "exit", "late", "nothing")}
    odd, timed = jobs.unstorable.enqueue(), jobs.timed.enqueue()
    desk.until(lambda: said["nothing"].status() is JobState.COMPLETED)
    desk.until(lambda: said["cancel"].status() is JobState.CANCELLED)
    desk.until(lambda: said["snooze"].status() is said["retry"].status() is JobState.SCHEDULED)
    for what, reason, attempt in (("snooze", "later", 0), ("retry", "soon", 1)):
        info = said[what].info()
        assert (info.reason, info.attempt) == (reason, attempt)
    desk.until(lambda: odd.status() is JobState.DEAD and timed.status() is JobState.DEAD)
    desk.until(lambda: said["exit"].status() is JobState.DEAD and said["late"].status() is JobState.DEAD)
    assert (odd.info().reason, odd.info().attempt) == ("unstorable_result", 1)
    assert timed.info().errors[-1]["type"] == "penstock.errors.TaskTimeout"


def test_a_job_of_an_unknown_task_waits_for_a_version_that_knows_it(start, newest):
    """Neither imported nor failed: deferred, attempt returned, visible."""
    start()
    desk.enqueue(newest, 1)
    desk.until(lambda: newest.execute("SELECT reason FROM penstock.job").fetchone() == ("task_unknown",))
    assert newest.execute("SELECT attempt, ord FROM penstock.job").fetchone() == (0, None)


def test_arguments_that_do_not_fit_make_a_dead_letter_where_no_other_release_is_waited_for(start, newest):
    """`INCOMPATIBLE_SECONDS` of 0: at once."""
    start(incompatible_seconds=0)
    newest.execute("""SELECT penstock.enqueue('q', 'add', '{"a": "one"}')""")
    desk.until(lambda: newest.execute("SELECT reason FROM penstock.dead").fetchone() == ("invalid_arguments",))


def test_a_running_job_can_be_cancelled_on_the_loop_and_in_a_thread(start, newest, trace):
    """Notified by a wake-up: the coroutine is interrupted, the function sees it; both end as cancelled."""
    worker = start(concurrency=2)
    on_loop, in_thread = jobs.sleep.enqueue(600), jobs.patient.enqueue()
    desk.until(lambda: len(lines(trace)) == 2)
    assert on_loop.cancel("not wanted")
    assert in_thread.cancel()
    desk.until(lambda: on_loop.status() is in_thread.status() is JobState.CANCELLED)
    assert f"noticed {in_thread.id}" in lines(trace)
    assert not on_loop.cancel()
    desk.until(lambda: worker.metric(newest, "penstock_consumers", state="idle") == 2)
    assert worker.metric(newest, "penstock_jobs_total", outcome="cancelled") == 2


def test_unique_jobs_are_one_job_until_they_end(start, newest):
    """By key and by arguments; free again afterwards."""
    by_args = jobs.add.options(unique=Unique(by_args=True), delay=0.3)
    first = by_args.enqueue(1, 2)
    assert by_args.enqueue(1, 2).id == first.id
    assert by_args.enqueue(1, b=2).id == first.id
    assert by_args.enqueue(2, 2).id != first.id
    with pytest.raises(UniqueConflict, match=str(first.id)):
        jobs.add.options(unique=Unique(by_args=True, on_conflict="raise")).enqueue(1, 2)
    start()
    assert first.result(timeout=60) == 3
    assert by_args.enqueue(1, 2).id != first.id


def test_a_pooled_url_needs_no_session_state(pg_newest, start):
    """The client without prepared statements enqueues and looks up."""
    client = SyncClient(pg_newest.url, pooled=True)
    try:
        ids = [client.enqueue([jobs.add.job(n, n)])[0] for n in range(8)]
        assert [info.state for job in ids if (info := client.info(job))] == [JobState.QUEUED] * 8
    finally:
        client.close()
