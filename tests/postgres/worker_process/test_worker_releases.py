"""A rolling update: workers of the release before with jobs of the new one, in real processes."""

from __future__ import annotations

import json

import pytest

from penstock import JobState
from tests.postgres import desk
from tests.postgres.worker_process import release_jobs as jobs

REFUSED = (
    "SELECT count(*) FROM penstock.job WHERE reason = 'incompatible_arguments' AND (attempt, ord IS NULL) = (0, true)"
)


@pytest.fixture
def release(start, newest):
    """Starts a worker of a release; the application that enqueues is the new one."""
    yield lambda app, **settings: start(app=app, concurrency=3, **settings)
    jobs.new.close()


def test_what_only_a_newer_worker_can_run_waits_for_it(release, newest, start):
    """A parameter added, one retyped, one removed; on the loop, in a thread and in a child: deferred, then done."""
    worker = release(jobs.OLD)
    handles = [jobs.greet.enqueue("Ada", greeting="Hi"), jobs.resize.enqueue("12"), jobs.charge.enqueue(7)]
    both = jobs.greet.enqueue("Bob")
    assert both.result(60) == "Bob", "what both releases accept runs on either"
    desk.until(lambda: newest.execute(REFUSED).fetchone() == (3,))
    desk.until(lambda: worker.metric(newest, "penstock_jobs_incompatible_total") >= 3)
    assert worker.metric(newest, "penstock_dead_letters_total") == 0
    worker.end()
    release(jobs.NEW)
    newest.execute("SELECT penstock.retry_now(array(SELECT id FROM penstock.job))")
    assert [handle.result(60) for handle in handles] == ["Hi, Ada", "12 px", "7 EUR"]


def test_what_no_worker_accepts_is_a_dead_letter_in_the_end(release, newest):
    """The worker that refuses it last counts it, and reports it to the hooks."""
    worker = release(jobs.OLD, incompatible_seconds=1)
    handle = jobs.greet.enqueue("Ada", greeting="Hi")
    desk.until(lambda: newest.execute(REFUSED).fetchone() == (1,))
    newest.execute("UPDATE penstock.job SET incompatible_since = incompatible_since - interval '1 second'")
    newest.execute("SELECT penstock.retry_now(%s)", [[handle.id]])
    desk.until(lambda: handle.status() is JobState.DEAD)
    info = handle.info()
    assert (info.reason, info.attempt) == ("invalid_arguments", 1)
    assert "unknown field `greeting`" in info.errors[-1]["message"]
    desk.until(lambda: worker.metric(newest, "penstock_dead_letters_total", task="greet") == 1)
    assert json.loads(newest.execute("SELECT forensics::text FROM penstock.dead").fetchone()[0])["made_by"] == "worker"
