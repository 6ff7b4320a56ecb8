"""Settlement finds its schedules without a lock and decides again under it: two at once, and with other statements."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from tests.postgres import desk
from tests.postgres.schedules.schedule_calls import (
    DECLARE,
    FIRE,
    HOUR,
    RUN,
    SETTLE,
    decision,
    declared,
    job_count,
    make_due,
    move_next,
    ticks,
)

LOCK_TABLE = "LOCK TABLE penstock.schedule IN EXCLUSIVE MODE"
"""Lets a settlement read, and blocks it where it locks rows."""


def states(db: psycopg.Connection[Any]) -> list[str]:
    return [state for _, state in ticks(db)]


def one_runs_one_waits(db: psycopg.Connection[Any]) -> None:
    """Two ticks of a schedule that queues: the job of the first is live."""
    make_due(db, overlap="Queue")
    db.execute(FIRE, decision(db))
    move_next(db, -HOUR / 4)
    db.execute(FIRE, decision(db))
    assert states(db) == ["enqueued", "waiting"]


@pytest.mark.parametrize("commits", [True, False], ids=["commit", "rollback"])
def test_what_another_settled_between_the_read_and_the_lock_is_not_settled_again(commits, play, db):
    """The second has seen the ended job; under the lock it decides again, and starts no second job."""
    one_runs_one_waits(db)
    db.execute("DELETE FROM penstock.job")
    a, b = play.connection("a"), play.connection("b")
    a.start_transaction()
    a.run(LOCK_TABLE)
    step = b.start(SETTLE)
    step.blocks_on(a)
    assert a.run(SETTLE) == [(1, 1)]
    if commits:
        a.commit()
    else:
        a.rollback()
    assert step.finish() == [(0, 1) if commits else (1, 1)]
    assert (states(db), job_count(db)) == (["gone", "enqueued"], 1)


def test_a_job_that_comes_back_between_the_read_and_the_lock_is_live_again(play, db):
    """A dead letter that was redriven in between: its tick stays open, and the next one waits on."""
    one_runs_one_waits(db)
    worker, token = desk.register(db), desk.token()
    [(job, _)] = db.execute(desk.CLAIM, [worker.id, worker.queue, 1, token]).fetchall()
    db.execute(desk.ACK, [worker.id, [job], [token], ["failed"]])
    a, b = play.connection("a"), play.connection("b")
    a.start_transaction()
    a.run(LOCK_TABLE)
    step = b.start(SETTLE)
    step.blocks_on(a)
    a.run("SELECT penstock.redrive(%s)", [[job]])
    a.commit()
    assert step.finish() == [(0, 2)]
    assert (states(db), job_count(db)) == (["enqueued", "waiting"], 1)


def test_of_two_settlements_at_once_the_second_steps_over(play, db):
    """It neither waits nor settles what the first has in hand; rolled back, the next call brings the same."""
    one_runs_one_waits(db)
    db.execute("DELETE FROM penstock.job")
    a, b = play.connection("a"), play.connection("b")
    a.start_transaction()
    assert a.run(SETTLE) == [(1, 1)]
    assert b.run(SETTLE) == [(0, 2)]
    a.rollback()
    assert b.run(SETTLE) == [(1, 1)]
    assert a.run(SETTLE) == [(0, 1)]
    assert (states(db), job_count(db)) == (["gone", "enqueued"], 1)


def test_an_acknowledgement_that_is_open_has_not_ended_its_tick(play, db):
    """The tick is settled by the first call after the commit, with the state that the outcome has."""
    one_runs_one_waits(db)
    worker, token = desk.register(db), desk.token()
    acker, settler = play.connection("acker"), play.connection("settler")
    [(job, _)] = desk.claim(acker, worker, 1, token).finish()
    acker.start_transaction()
    desk.ack(acker, worker, [job], token).finish()
    assert settler.run(SETTLE) == [(0, 2)]
    acker.commit()
    assert settler.run(SETTLE) == [(1, 1)]
    assert states(db) == ["completed", "enqueued"]


def test_a_settlement_locks_no_schedule_that_has_nothing_to_settle(play, db):
    """While it is open, a schedule whose job is live can be fired, paused and declared; the settled one cannot."""
    one_runs_one_waits(db)
    db.execute("DELETE FROM penstock.job")
    db.execute(DECLARE, ["jobqueue", declared(name="other")])
    db.execute("SELECT penstock.run_schedule('q', 'other')")
    settler, other = play.connection("settler"), play.connection("other")
    settler.start_transaction()
    assert settler.run(SETTLE) == [(1, 2)]
    free = "SELECT name FROM penstock.schedule ORDER BY id FOR UPDATE SKIP LOCKED"
    assert other.run(free) == [("other",)]
    settler.commit()
    assert other.run(free) == [("nightly",), ("other",)]


def test_a_settlement_with_nothing_to_settle_takes_no_lock_on_schedules(play, db):
    """It ends while another transaction has locked the whole table, and says what is open."""
    one_runs_one_waits(db)
    a, b = play.connection("a"), play.connection("b")
    a.start_transaction()
    a.run("LOCK TABLE penstock.schedule IN ACCESS EXCLUSIVE MODE")
    assert b.run(SETTLE) == [(0, 2)]
    a.rollback()


def test_a_tick_that_was_started_by_hand_counts_as_live(play, db):
    """A person's job keeps the waiting tick waiting; with its end the tick starts."""
    one_runs_one_waits(db)
    [(manual,)] = db.execute(RUN).fetchall()
    db.execute("DELETE FROM penstock.job WHERE id <> %s", [manual])
    settler = play.connection("settler")
    assert settler.run(SETTLE) == [(1, 2)]
    assert states(db) == ["gone", "waiting"]
    db.execute("DELETE FROM penstock.job")
    assert settler.run(SETTLE) == [(1, 1)]
    assert states(db) == ["gone", "enqueued"]
