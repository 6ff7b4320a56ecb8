"""Exactly-once effect: what a task writes through its job's transaction is there once, whatever happens."""

from __future__ import annotations

import signal

import pytest

from penstock import App, Context, JobState
from penstock.errors import ConfigurationError
from tests.postgres import desk, jobs
from tests.postgres.interleave import ConnectionDied
from tests.postgres.workers import lines

COMPLETE = "SELECT penstock.complete(%s, %s, %s, 0.1)"
BOOKING = "CREATE TABLE booking (job bigint NOT NULL, amount int NOT NULL)"


def booked(db) -> list[tuple[int, int]]:
    rows: list[tuple[int, int]] = db.execute("SELECT job, amount FROM booking ORDER BY job").fetchall()
    return rows


def test_effects_and_success_are_committed_together(start, newest):
    """On the loop and in a thread; the worker's own acknowledgement afterwards changes nothing."""
    newest.execute(BOOKING)
    worker = start(concurrency=2)
    handles = [jobs.book.enqueue(1), jobs.book_sync.enqueue(2)]
    desk.until(lambda: all(handle.status() is JobState.COMPLETED for handle in handles))
    assert booked(newest) == [(handles[0].id, 1), (handles[1].id, 2)]
    desk.until(lambda: worker.metric(newest, "penstock_jobs_total", outcome="completed") == 2)
    assert worker.metric(newest, "penstock_fenced_total") == 0
    assert newest.execute("SELECT count(*) FROM penstock.outcome").fetchone() == (2,)


def test_an_exception_inside_rolls_back_and_the_retry_books_once(start, newest):
    """The first attempt leaves nothing but its error."""
    newest.execute(BOOKING)
    start()
    handle = jobs.book.enqueue(5, "inside")
    desk.until(lambda: handle.status() is JobState.COMPLETED)
    assert booked(newest) == [(handle.id, 5)]
    assert handle.info().attempt == 2


def test_an_exception_after_the_commit_does_not_undo_the_success(start, newest):
    """The outcome was written with the effects; the failure that follows is too late to make a retry."""
    newest.execute(BOOKING)
    worker = start()
    handle = jobs.book.enqueue(5, "after")
    desk.until(lambda: handle.status() is JobState.COMPLETED)
    desk.until(lambda: worker.metric(newest, "penstock_jobs_total", outcome="completed") == 1)
    assert booked(newest) == [(handle.id, 5)]
    assert newest.execute("SELECT count(*) FROM penstock.job").fetchone() == (0,)


def test_a_worker_frozen_inside_its_transaction_commits_nothing_when_it_thaws(start, newest, trace):
    """The job ran elsewhere meanwhile: one booking, by the one whose claim stood."""
    newest.execute(BOOKING)
    frozen = start(lease_seconds=2, concurrency=1)
    handle = jobs.book.enqueue(7, "gated")
    desk.until(lambda: lines(trace))
    frozen.process.send_signal(signal.SIGSTOP)
    start(lease_seconds=2, concurrency=1)
    desk.until(lambda: handle.status() is JobState.COMPLETED)
    jobs.go().touch()
    frozen.process.send_signal(signal.SIGCONT)
    desk.until(lambda: frozen.metric(newest, "penstock_fenced_total") == 1)
    assert booked(newest) == [(handle.id, 7)]


def test_a_rescue_steps_over_an_open_completion_and_then_finds_the_job_over(play, db):
    """Completed first: nothing is reclaimed."""
    a, rescuer = play.connection("a"), play.connection("rescuer")
    worker, job, token = desk.claim_one(db, a)
    desk.lapse_under_a_leader(db, worker)
    a.start_transaction()
    assert a.run(COMPLETE, [worker.id, job, token]) == [(True,)]
    assert rescuer.run(desk.RESCUE, ["leader", desk.QUIET_LEASE]) == [(1, 0, 0)]
    a.commit()
    assert rescuer.run(desk.RESCUE, ["leader", desk.QUIET_LEASE]) == [(0, 0, 0)]
    assert desk.state_of(db, job) == "completed"


def test_a_completion_that_meets_a_rescue_is_refused(play, db):
    """Reclaimed first: false, and the caller rolls its effects back."""
    a, rescuer = play.connection("a"), play.connection("rescuer")
    worker, job, token = desk.claim_one(db, a)
    desk.lapse_under_a_leader(db, worker)
    rescuer.start_transaction()
    rescuer.run(desk.RESCUE, ["leader", desk.QUIET_LEASE])
    step = a.start(COMPLETE, [worker.id, job, token])
    step.blocks_on(rescuer)
    rescuer.commit()
    assert step.finish() == [(False,)]


def test_a_completion_whose_reply_was_lost_is_found_by_the_acknowledgement(play, db):
    """The commit happened: whatever the worker acknowledges then, completed is what is stored."""
    a, b = play.connection("a"), play.connection("b")
    worker, job, token = desk.claim_one(db, b)
    with pytest.raises(ConnectionDied):
        a.lose_reply(COMPLETE, [worker.id, job, token])
    assert desk.ack(b, worker, [job], token, "retry").finish() == [(job, token, "completed")]
    assert desk.ack(b, worker, [job], token).finish() == []


def test_a_completion_of_a_limited_queue_never_holds_the_limit(play, db):
    """Its room comes back by a row of its own: others claim while the caller's transaction is open."""
    worker = desk.register(db)
    ids = desk.enqueue(db, 5)
    db.execute("SELECT penstock.set_limit(%s, 2)", [worker.queue])
    desk.until(lambda: db.execute("SELECT penstock.count_limits()").fetchone() == (0,))
    token = desk.token()
    a, b = play.connection("a"), play.connection("b")
    desk.claim(a, worker, 1, token).finish()
    a.start_transaction()
    assert a.run(COMPLETE, [worker.id, ids[0], token]) == [(True,)]
    assert len(desk.claim(b, worker, 5, desk.token()).finish()) == 1  # one running, one being completed
    a.commit()
    assert len(desk.claim(b, worker, 5, desk.token()).finish()) == 1
    assert db.execute("SELECT in_flight FROM penstock.queue_limit").fetchone() == (2,)


def test_a_job_that_is_to_be_cancelled_is_not_completed(play, db):
    """The caller rolls back, and the job ends as cancelled with its attempt."""
    a = play.connection("a")
    worker, job, token = desk.claim_one(db, a)
    db.execute("SELECT penstock.cancel_jobs(%s)", [[job]])
    assert a.run(COMPLETE, [worker.id, job, token]) == [(False,)]


def test_without_a_database_a_transaction_is_refused_in_words():
    """In test mode there is nothing to commit to."""
    app = App()

    @app.task(name="book")
    def book(ctx: Context) -> None:
        with ctx.transaction():
            pass

    with app.test_mode():
        book.enqueue()
        (run,) = app.run_inline()
    assert isinstance(run.exception, ConfigurationError)
    assert "test mode" in str(run.exception)
