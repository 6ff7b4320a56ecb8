"""Acknowledgements and renewals against everything else that touches the same job, statement by statement."""

from __future__ import annotations

import pytest

from tests.postgres import desk
from tests.postgres.interleave import ConnectionDied


def test_a_repeated_acknowledgement_is_accepted_once(play, db):
    """The reply was lost after the commit; the repetition finds the outcome, reports nothing, and writes nothing."""
    a, b = play.connection("a"), play.connection("b")
    worker, job, token = desk.claim_one(db, a)
    with pytest.raises(ConnectionDied):
        a.lose_reply(desk.ACK, [worker.id, [job], [token], ["completed"]])
    assert desk.ack(b, worker, [job], token).finish() == []
    assert db.execute("SELECT count(*) FROM penstock.outcome").fetchone() == (1,)


def test_two_acknowledgements_of_one_attempt_at_once_leave_one_outcome(play, db):
    """The second waits for the first and then finds its outcome; a different state comes back as what is stored."""
    a, b = play.connection("a"), play.connection("b")
    worker, job, token = desk.claim_one(db, a)
    a.start_transaction()
    assert desk.ack(a, worker, [job], token).finish() == []
    step = desk.ack(b, worker, [job], token, "failed")
    step.blocks_on(a)
    a.commit()
    assert step.finish() == [(job, token, "completed")]
    assert db.execute("SELECT state FROM penstock.outcome").fetchall() == [("completed",)]
    assert db.execute("SELECT count(*) FROM penstock.dead").fetchone() == (0,)


def test_a_repeated_retry_is_accepted_and_does_not_defer_twice(play, db):
    """The job keeps its one due time; the history has one entry."""
    a, b = play.connection("a"), play.connection("b")
    worker, job, token = desk.claim_one(db, a)
    assert desk.ack(a, worker, [job], token, "retry").finish() == []
    before = db.execute("SELECT due_at, attempt FROM penstock.job").fetchone()
    assert desk.ack(b, worker, [job], token, "retry").finish() == []
    assert db.execute("SELECT due_at, attempt FROM penstock.job").fetchone() == before
    assert db.execute("SELECT count(*) FROM penstock.outcome").fetchone() == (1,)


def test_an_acknowledgement_that_meets_a_rescue_is_fenced(play, db):
    """It waits for the rescue, finds neither its claim nor an outcome, and changes nothing."""
    a, rescuer = play.connection("a"), play.connection("rescuer")
    worker, job, token = desk.claim_one(db, a)
    desk.lapse_under_a_leader(db, worker)
    rescuer.start_transaction()
    assert rescuer.run(desk.RESCUE, ["leader", desk.QUIET_LEASE]) == [(1, 1, 0)]
    step = desk.ack(a, worker, [job], token)
    step.blocks_on(rescuer)
    rescuer.commit()
    assert step.finish() == [(job, token, None)]
    assert desk.state_of(db, job) == "scheduled"
    assert db.execute("SELECT count(*) FROM penstock.outcome").fetchone() == (0,)


def test_a_rescue_that_meets_an_acknowledgement_leaves_the_job_alone(play, db):
    """The outcome was first: rescue steps over it; its worker counts as swept once nothing of its is left."""
    a, rescuer = play.connection("a"), play.connection("rescuer")
    worker, job, token = desk.claim_one(db, a)
    desk.lapse_under_a_leader(db, worker)
    a.start_transaction()
    desk.ack(a, worker, [job], token).finish()
    assert rescuer.run(desk.RESCUE, ["leader", desk.QUIET_LEASE]) == [(1, 0, 0)]
    assert db.execute("SELECT swept FROM penstock.worker").fetchone() == (False,)
    a.commit()
    assert rescuer.run(desk.RESCUE, ["leader", desk.QUIET_LEASE]) == [(0, 0, 0)]
    assert db.execute("SELECT swept FROM penstock.worker").fetchone() == (True,)
    assert desk.state_of(db, job) == "completed"


def test_a_thawed_worker_changes_nothing_of_a_job_that_runs_elsewhere(play, db):
    """Rescued and claimed again, the job's first attempt is refused in every form: outcome, retry and release."""
    frozen, other, (job,) = desk.register(db), desk.register(db), desk.enqueue(db, 1)
    old, new = desk.token(), desk.token()
    a, b = play.connection("frozen"), play.connection("other")
    desk.claim(a, frozen, 1, old).finish()
    desk.lapse_under_a_leader(db, frozen)
    b.run(desk.RESCUE, ["leader", desk.QUIET_LEASE])
    db.execute("UPDATE penstock.job SET due_at = clock_timestamp()")
    b.run(desk.PROMOTE)
    assert desk.claim(b, other, 1, new).finish() == [(job, 2)]
    for state in ("completed", "retry", "failed", "cancelled", "snooze"):
        assert desk.ack(a, frozen, [job], old, state).finish() == [(job, old, None)]
    assert a.run(desk.RELEASE, [frozen.id, [job], [old]]) == [(0,)]
    assert db.execute("SELECT worker, token FROM penstock.job").fetchone() == (other.id, new)
    assert desk.ack(b, other, [job], new).finish() == []
    assert db.execute("SELECT token FROM penstock.outcome").fetchall() == [(new,)]


def test_a_token_with_another_workers_id_is_refused(play, db):
    """Guessing or copying a token is not enough: the registration that claimed is part of the match."""
    owner, thief, (job,) = desk.register(db), desk.register(db), desk.enqueue(db, 1)
    token = desk.token()
    a = play.connection("a")
    desk.claim(a, owner, 1, token).finish()
    assert desk.ack(a, thief, [job], token).finish() == [(job, token, None)]
    assert desk.state_of(db, job) == "running"


def test_a_renewal_with_a_committing_acknowledgement_sees_no_fencing(play, db):
    """Before the commit the claim is there, after it the outcome is: at no moment neither."""
    a, lease = play.connection("a"), play.connection("lease")
    worker, job, token = desk.claim_one(db, a)
    a.start_transaction()
    desk.ack(a, worker, [job], token).finish()
    assert lease.run(desk.RENEW, [worker.id, 60, [job], [token]]) == [("running", None, None)]
    a.commit()
    assert lease.run(desk.RENEW, [worker.id, 60, [job], [token]]) == [("running", None, None)]


def test_a_renewal_after_rescue_learns_what_is_fenced_and_does_not_revive_the_worker(play, db):
    """The state is lost, the lease stays where it was, and the held claim is named."""
    a = play.connection("a")
    worker, job, token = desk.claim_one(db, a)
    desk.lapse_under_a_leader(db, worker)
    a.run(desk.RESCUE, ["leader", desk.QUIET_LEASE])
    assert a.run(desk.RENEW, [worker.id, 60, [job], [token]]) == [("lost", [job], None)]
    assert db.execute("SELECT lease_until < clock_timestamp() FROM penstock.worker").fetchone() == (True,)


def test_a_renewal_that_is_late_but_not_too_late_keeps_everything(play, db):
    """Past the lease and not yet rescued: the lease lives on and nothing is fenced."""
    a = play.connection("a")
    worker, job, token = desk.claim_one(db, a)
    desk.lapse(db, worker)
    assert a.run(desk.RENEW, [worker.id, 60, [job], [token]]) == [("running", None, None)]
    desk.lead_for_long(db)
    assert a.run(desk.RESCUE, ["leader", desk.QUIET_LEASE]) == [(0, 0, 0)]
    assert desk.state_of(db, job) == "running"


def test_a_rescue_whose_reply_was_lost_is_repeated_without_harm(play, db):
    """The second finds nobody left to declare lost; the job was deferred once."""
    worker, (job,) = desk.register(db), desk.enqueue(db, 1)
    a, b = play.connection("a"), play.connection("b")
    desk.claim(a, worker, 1, desk.token()).finish()
    desk.lapse_under_a_leader(db, worker)
    with pytest.raises(ConnectionDied):
        a.lose_reply(desk.RESCUE, ["leader", desk.QUIET_LEASE])
    assert b.run(desk.RESCUE, ["leader", desk.QUIET_LEASE]) == [(0, 0, 0)]
    assert db.execute("SELECT crashes FROM penstock.job WHERE id = %s", [job]).fetchone() == (1,)


def test_batches_in_opposite_order_do_not_deadlock(play, db):
    """Each acknowledgement locks in order of id, whatever order it was given, mixed outcomes and deferrals included."""
    worker, ids = desk.register(db), desk.enqueue(db, 2)
    token = desk.token()
    a, b = play.connection("a"), play.connection("b")
    desk.claim(a, worker, 2, token).finish()
    a.start_transaction()
    a.run("SELECT FROM penstock.job WHERE id = %s FOR UPDATE", [ids[0]])
    step = b.start(desk.ACK, [worker.id, ids[::-1], [token, token], ["completed", "retry"]])
    step.blocks_on(a)
    a.run("SELECT FROM penstock.job WHERE id = %s FOR UPDATE", [ids[1]])  # free: b waits for the first
    a.commit()
    assert step.finish() == []
    assert [desk.state_of(db, job) for job in ids] == ["scheduled", "completed"]


def test_a_release_whose_reply_was_lost_releases_once(play, db):
    """The repetition finds nothing of its own; the attempt is refunded once."""
    a, b = play.connection("a"), play.connection("b")
    worker, job, token = desk.claim_one(db, a)
    with pytest.raises(ConnectionDied):
        a.lose_reply(desk.RELEASE, [worker.id, [job], [token]])
    assert b.run(desk.RELEASE, [worker.id, [job], [token]]) == [(0,)]
    assert db.execute("SELECT attempt, token FROM penstock.job").fetchone() == (0, None)


def test_a_job_flagged_cancel_while_its_acknowledgement_waits_ends_as_cancelled(play, db):
    """The flag committed first; the acknowledgement of a retry sees it and ends the job."""
    a, other = play.connection("a"), play.connection("other")
    worker, job, token = desk.claim_one(db, a)
    other.start_transaction()
    other.run("UPDATE penstock.job SET cancel = true WHERE id = %s", [job])
    step = desk.ack(a, worker, [job], token, "retry")
    step.blocks_on(other)
    other.commit()
    assert step.finish() == [(job, token, "cancelled")]
    assert desk.state_of(db, job) == "cancelled"


def test_an_acknowledgement_with_large_results_locks_in_order_of_id_too(play, db):
    """What does not fit into a small working memory is still matched in one pass: below the row it waits for all are
    locked, above it none.
    """
    worker, token = desk.register(db), desk.token()
    ids = desk.enqueue(db, 200)
    first, acks, reader = (play.connection(name) for name in ("first", "acks", "reader"))
    desk.claim(first, worker, 200, token).finish()
    first.start_transaction()
    first.run("SELECT FROM penstock.job WHERE id = %s FOR UPDATE", [ids[100]])
    acks.run("SET work_mem = '64kB'")
    acked = acks.start(
        "SELECT penstock.ack(%s, %s, array_fill(%s::bigint, '{200}'), p_results => "
        "(SELECT array_agg(to_jsonb(repeat(md5(n::text), 300))) FROM generate_series(1, 200) AS n))",
        [worker.id, ids, token],
    )
    acked.blocks_on(first)
    free = reader.run("SELECT id FROM penstock.job WHERE id = ANY (%s) ORDER BY id FOR UPDATE SKIP LOCKED", [ids])
    assert free == [(job,) for job in ids[101:]]
    first.rollback()
    assert acked.finish() == []
