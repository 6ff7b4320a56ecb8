"""Attempts past their deadline although their worker lives: reclaimed once, and in every order against the rest."""

from __future__ import annotations

from typing import Any, cast

import psycopg

from tests.postgres import desk
from tests.postgres.interleave import Connection, Interleaving

ASKS = ["leader", desk.QUIET_LEASE]
CANCEL = "SELECT id, verdict FROM penstock.cancel_jobs(%s)"
COMPLETE = "SELECT penstock.complete(%s, %s, %s, 0.5)"
JOB = "SELECT attempt, crashes, reason, errors, due_at > now(), token FROM penstock.job"
ERROR = {
    "attempt": 1,
    "type": "DeadlineExceeded",
    "message": "deadline exceeded: the attempt was still running 60 s after its claim",
}


class Scene:
    """A worker that holds one job of a queue with a deadline of a minute, a minute and a bit later."""

    def __init__(self, play: Interleaving, db: psycopg.Connection, **columns: Any) -> None:
        self.db = db
        db.execute("TRUNCATE penstock.job, penstock.leader")
        self.worker = desk.register(db)
        self.db.execute(
            "UPDATE penstock.queue SET job_deadline = '1 min', "
            'retry = \'{"strategy": "constant", "base_seconds": 30}\''
        )
        desk.lead_for_long(db)
        (self.job,), self.token = desk.enqueue(db, **columns), desk.token()
        self.hung, self.maintenance = play.connection("hung"), play.connection("maintenance")
        desk.claim(self.hung, self.worker, 1, self.token).finish()
        self.passes()

    def passes(self) -> None:
        """More time than an attempt has."""
        self.db.execute(
            "UPDATE penstock.job SET claimed_at = claimed_at - interval '61 s', deadline = deadline - interval '61 s'"
        )

    def overdue(self, connection: Connection | None = None) -> tuple[int, int]:
        (row,) = (connection or self.maintenance).run(desk.OVERDUE, ASKS)
        return int(row[0]), int(row[1])

    @property
    def job_row(self) -> tuple[object, ...] | None:
        return self.db.execute(JOB).fetchone()


def test_an_attempt_past_its_deadline_counts_as_failed_and_all_it_says_is_fenced(play, db):
    """Deferred by the queue's back-off with its error; the worker goes on and hears that it lost the claim."""
    scene = Scene(play, db)
    assert scene.overdue() == (1, 0)
    assert scene.job_row == (1, 0, "deadline", [ERROR], True, None)
    due = "SELECT extract(epoch FROM due_at - clock_timestamp()) BETWEEN 20 AND 30 FROM penstock.job"
    assert db.execute(due).fetchone() == (True,)
    for state in ("completed", "retry", "failed", "cancelled", "snooze"):
        said = desk.ack(scene.hung, scene.worker, [scene.job], scene.token, state).finish()
        assert said == [(scene.job, scene.token, None)]
    assert scene.hung.run(desk.RELEASE, [scene.worker.id, [scene.job], [scene.token]]) == [(0,)]
    assert scene.hung.run(COMPLETE, [scene.worker.id, scene.job, scene.token]) == [(False,)]
    renewed = scene.hung.run(desk.RENEW, [scene.worker.id, 60, [scene.job], [scene.token]])
    assert renewed == [("running", [scene.job], None)]
    assert scene.job_row == (1, 0, "deadline", [ERROR], True, None)
    assert db.execute("SELECT count(*) FROM penstock.outcome").fetchone() == (0,)
    assert scene.overdue() == (0, 0)


def test_the_last_attempt_past_its_deadline_makes_a_dead_letter_that_comes_back_with_its_key(play, db):
    """Of reason deadline, with the error in its history."""
    scene = Scene(play, db, p_max_attempts=[1], p_unique_keys=["k"])
    assert scene.overdue() == (0, 1)
    dead = "SELECT reason, attempt, crashes, error, unique_key IS NOT NULL, unique_kept FROM penstock.dead"
    assert db.execute(dead).fetchone() == ("deadline", 1, 0, ERROR, True, None)
    assert scene.hung.run("SELECT id, holder FROM penstock.redrive(%s)", [[scene.job]]) == [(scene.job, None)]
    assert desk.enqueue(db, p_unique_keys=["k"]) == [scene.job]


def test_an_attempt_past_its_deadline_keeps_a_key_until_the_end_and_none_until_the_start(play, db):
    """As any other retry."""
    for until_start in (False, True):
        scene = Scene(play, db, p_unique_keys=["k"], p_until_start=[until_start])
        assert scene.overdue() == (1, 0)
        assert (desk.enqueue(db, p_unique_keys=["k"]) == [scene.job]) is not until_start
        assert db.execute("SELECT unique_kept FROM penstock.job WHERE id = %s", [scene.job]).fetchone() == (None,)


def test_an_attempt_past_its_deadline_returns_its_room_once(play, db):
    """The limit counts what runs, before and after."""
    scene = Scene(play, db)
    db.execute("SELECT penstock.set_limit(%s, 1)", [scene.worker.queue])
    desk.until(lambda: db.execute("SELECT penstock.count_limits()").fetchone() == (0,))
    in_flight = "SELECT in_flight FROM penstock.queue_limit"
    assert db.execute(in_flight).fetchone() == (1,)
    assert scene.overdue() == (1, 0)
    desk.ack(scene.hung, scene.worker, [scene.job], scene.token).finish()
    assert scene.overdue() == (0, 0)
    assert db.execute(in_flight).fetchone() == (0,)


def test_a_job_flagged_cancel_ends_with_its_deadline(play, db):
    """It does not run again, and the stale outcome is not taken for accepted."""
    scene = Scene(play, db)
    assert scene.hung.run(CANCEL, [[scene.job]]) == [(scene.job, "cancelling")]
    assert scene.overdue() == (0, 0)
    assert desk.state_of(db, scene.job) == "cancelled"
    assert desk.ack(scene.hung, scene.worker, [scene.job], scene.token).finish() == [(scene.job, scene.token, None)]


OUTCOMES = {
    "ack": (desk.ACK, "completed"),
    "release": (desk.RELEASE, "queued"),
    "completion": (COMPLETE, "completed"),
}


def finish(scene: Scene, name: str) -> list[object]:
    """Arguments of one of the outcomes."""
    if name == "completion":
        return [scene.worker.id, scene.job, scene.token]
    return [scene.worker.id, [scene.job], [scene.token], *([["completed"]] if name == "ack" else [])]


def test_maintenance_skips_an_attempt_that_is_just_finishing(play, db):
    """Acknowledged, released or completed in an open transaction it was in time; maintenance waits for nobody."""
    for name, (statement, state) in OUTCOMES.items():
        scene = Scene(play, db)
        scene.hung.start_transaction()
        scene.hung.run(statement, finish(scene, name))
        assert scene.overdue() == (0, 0)
        scene.hung.commit()
        assert scene.overdue() == (0, 0)
        assert desk.state_of(db, scene.job) == state


def test_an_attempt_that_ends_while_it_is_reclaimed_is_fenced(play, db):
    """It waits for the commit of maintenance and then finds its claim gone."""
    for name, (statement, _) in OUTCOMES.items():
        scene = Scene(play, db)
        scene.maintenance.start_transaction()
        assert scene.overdue() == (1, 0)
        step = scene.hung.start(statement, finish(scene, name))
        step.blocks_on(scene.maintenance)
        scene.maintenance.commit()
        refused = {"ack": (scene.job, scene.token, None), "release": (0,), "completion": (False,)}[name]
        assert step.finish() == [refused]
        assert scene.job_row == (1, 0, "deadline", [ERROR], True, None)


def test_a_renewal_while_an_attempt_is_reclaimed_says_fenced_only_after_the_commit(play, db):
    """It waits for nothing; before the commit the claim is there."""
    scene = Scene(play, db)
    values = [scene.worker.id, 60, [scene.job], [scene.token]]
    scene.maintenance.start_transaction()
    assert scene.overdue() == (1, 0)
    assert scene.hung.run(desk.RENEW, values) == [("running", None, None)]
    scene.maintenance.commit()
    assert scene.hung.run(desk.RENEW, values) == [("running", [scene.job], None)]


def test_a_cancel_that_meets_the_deadline_ends_the_job_in_either_order(play, db):
    """While it is being flagged maintenance steps over it; reclaimed first, the cancel finds it waiting and ends it."""
    scene = Scene(play, db)
    other = play.connection("other")
    other.start_transaction()
    assert other.run(CANCEL, [[scene.job]]) == [(scene.job, "cancelling")]
    assert scene.overdue() == (0, 0)
    other.rollback()
    scene.maintenance.start_transaction()
    assert scene.overdue() == (1, 0)
    step = other.start(CANCEL, [[scene.job]])
    step.blocks_on(scene.maintenance)
    scene.maintenance.commit()
    assert step.finish() == [(scene.job, "cancelled")]
    assert desk.state_of(db, scene.job) == "cancelled"


def test_two_searches_for_deadlines_at_once_reclaim_an_attempt_once(play, db):
    """The second steps over it."""
    scene = Scene(play, db)
    scene.maintenance.start_transaction()
    assert scene.overdue() == (1, 0)
    assert scene.overdue(scene.hung) == (0, 0)
    scene.maintenance.commit()
    assert scene.overdue(scene.hung) == (0, 0)
    assert scene.job_row == (1, 0, "deadline", [ERROR], True, None)


def test_a_rescue_that_meets_the_deadline_of_the_same_attempt_takes_it_back_once(play, db):
    """Either order: one of them counts, an attempt or a crash, never both."""
    scene = Scene(play, db)
    desk.lapse(db, scene.worker)
    scene.maintenance.start_transaction()
    assert scene.overdue() == (1, 0)
    assert scene.hung.run(desk.RESCUE, ASKS) == [(1, 0, 0)]
    scene.maintenance.rollback()
    assert scene.hung.run(desk.RESCUE, ASKS) == [(0, 1, 0)]
    assert scene.overdue() == (0, 0)
    row = scene.job_row
    assert row is not None
    assert (*row[:3], *row[4:]) == (1, 1, "worker_lost", True, None)
    assert [error["type"] for error in cast("list[dict[str, object]]", row[3])] == ["WorkerLost"]


def test_a_rescue_after_the_deadline_of_the_same_attempt_finds_nothing_left(play, db):
    """The order of the test above, with a commit."""
    scene = Scene(play, db)
    desk.lapse(db, scene.worker)
    scene.maintenance.start_transaction()
    assert scene.overdue() == (1, 0)
    assert scene.hung.run(desk.RESCUE, ASKS) == [(1, 0, 0)]
    scene.maintenance.commit()
    assert scene.hung.run(desk.RESCUE, ASKS) == [(0, 0, 0)]
    assert scene.job_row == (1, 0, "deadline", [ERROR], True, None)


def test_nobody_is_judged_by_a_frozen_leader_or_within_a_lease_of_an_outage(play, db):
    """An attempt may have ended meanwhile and could not say so."""
    scene = Scene(play, db)
    assert scene.maintenance.run(desk.OVERDUE, ["frozen", desk.QUIET_LEASE]) == [(0, 0)]
    assert scene.maintenance.run(desk.OVERDUE, ["leader", 86_400]) == [(0, 0)]
    db.execute("UPDATE penstock.leader SET held_since = clock_timestamp()")
    assert scene.maintenance.run(desk.OVERDUE, ["leader", 60]) == [(0, 0)]
    assert desk.state_of(db, scene.job) == "running"


def test_a_queue_without_a_deadline_is_not_read(play, db):
    """A deadline that was lifted binds nobody any more."""
    scene = Scene(play, db)
    db.execute("UPDATE penstock.queue SET job_deadline = NULL")
    assert scene.overdue() == (0, 0)
    assert desk.state_of(db, scene.job) == "running"
