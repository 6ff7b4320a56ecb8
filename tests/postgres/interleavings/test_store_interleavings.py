"""What two connections can do to one job at once, in every order that matters, statement by statement."""

from __future__ import annotations

import psycopg
import pytest

from tests.postgres import desk
from tests.postgres.interleave import ConnectionDied

BEGIN_DRAIN = "SELECT penstock.begin_drain(%s)"


def test_two_claimers_at_once_share_no_job_and_wait_for_nothing(play, db):
    """A claim in an open transaction is stepped over by the next one, which takes the jobs after it."""
    worker, ids = desk.register(db), desk.enqueue(db, 4)
    a, b = play.connection("a"), play.connection("b")
    a.start_transaction()
    first = desk.claim(a, worker, 2, desk.token()).finish()
    second = desk.claim(b, worker, 4, desk.token()).finish()
    a.commit()
    assert [row[0] for row in first] == ids[:2]
    assert [row[0] for row in second] == ids[2:]


def test_a_rolled_back_claim_leaves_its_jobs_to_the_next(play, db):
    """Nothing of a claim that did not commit remains: neither token nor attempt."""
    worker, ids = desk.register(db), desk.enqueue(db, 1)
    a, b = play.connection("a"), play.connection("b")
    a.start_transaction()
    desk.claim(a, worker, 1, desk.token()).finish()
    assert desk.claim(b, worker, 1, desk.token()).finish() == []
    a.rollback()
    assert desk.claim(b, worker, 1, desk.token()).finish() == [(ids[0], 1)]


def test_a_worker_with_a_claim_in_flight_is_not_declared_lost(play, db):
    """Rescue steps over a worker whose claim has not committed; the next rescue takes those very jobs."""
    worker, (job,) = desk.register(db), desk.enqueue(db, 1)
    desk.lead_for_long(db)
    a, b = play.connection("claimer"), play.connection("rescuer")
    a.start_transaction()
    desk.claim(a, worker, 1, desk.token()).finish()
    desk.lapse(db, worker)
    assert b.run(desk.RESCUE, ["leader", desk.QUIET_LEASE]) == [(0, 0, 0)]
    a.commit()
    assert b.run(desk.RESCUE, ["leader", desk.QUIET_LEASE]) == [(1, 1, 0)]
    assert desk.state_of(db, job) == "scheduled"


def test_a_claim_that_meets_a_rescue_is_refused(play, db):
    """While the worker is being declared lost the claim waits, then finds it lost and takes nothing."""
    worker, (job,) = desk.register(db), desk.enqueue(db, 1)
    rescuer, claimer = play.connection("rescuer"), play.connection("claimer")
    rescuer.start_transaction()
    rescuer.run("SELECT FROM penstock.worker WHERE id = %s FOR UPDATE SKIP LOCKED", [worker.id])
    rescuer.run("UPDATE penstock.worker SET state = 'lost' WHERE id = %s", [worker.id])
    step = desk.claim(claimer, worker, 1, desk.token())
    step.blocks_on(rescuer)
    rescuer.commit()
    with pytest.raises(psycopg.Error) as refused:
        step.finish()
    assert refused.value.sqlstate == "PN001"
    assert desk.state_of(db, job) == "queued"


def test_a_late_claim_of_a_pruned_worker_is_refused(play, db):
    """A worker whose row is gone gets nothing, however late its statement arrives."""
    worker, (job,) = desk.register(db), desk.enqueue(db, 1)
    pruner, claimer = play.connection("pruner"), play.connection("claimer")
    pruner.start_transaction()
    pruner.run("DELETE FROM penstock.worker WHERE id = %s", [worker.id])
    step = desk.claim(claimer, worker, 1, desk.token())
    step.blocks_on(pruner)
    pruner.commit()
    with pytest.raises(psycopg.Error, match="not running with a live lease"):
        step.finish()
    assert desk.state_of(db, job) == "queued"


def test_a_claim_whose_reply_was_lost_is_released_by_its_token(play, db):
    """The jobs are queued again with the attempt refunded, and only they."""
    worker, ids = desk.register(db), desk.enqueue(db, 3)
    other, lost = desk.token(), desk.token()
    a, b = play.connection("a"), play.connection("b")
    desk.claim(b, worker, 1, other).finish()
    with pytest.raises(ConnectionDied):
        a.lose_reply(desk.CLAIM, [worker.id, worker.queue, 2, lost])
    assert [desk.state_of(db, job) for job in ids] == ["running"] * 3
    assert b.run(desk.RELEASE_CLAIM, [worker.id, worker.queue, lost]) == [(2,)]
    assert [desk.state_of(db, job) for job in ids] == ["running", "queued", "queued"]
    assert db.execute("SELECT attempt FROM penstock.job ORDER BY id").fetchall() == [(1,), (0,), (0,)]


def test_releasing_a_lost_claim_waits_for_one_that_still_runs(play, db):
    """A connection that its client dropped may still be claiming: its rows are found after it ends, not missed."""
    worker, (job,) = desk.register(db), desk.enqueue(db, 1)
    lost = desk.token()
    zombie, b = play.connection("zombie"), play.connection("b")
    zombie.start_transaction()
    desk.claim(zombie, worker, 1, lost).finish()
    step = b.start(desk.RELEASE_CLAIM, [worker.id, worker.queue, lost])
    step.blocks_on(zombie)
    zombie.commit()
    assert step.finish() == [(1,)]
    assert desk.state_of(db, job) == "queued"


def test_a_claim_that_starts_after_it_was_revoked_is_refused(play, db):
    """It lay in a buffer while its sender gave it up: it takes nothing, neither during the giving up nor after it."""
    worker, (job,) = desk.register(db), desk.enqueue(db, 1)
    late = desk.token()
    sender, zombie = play.connection("sender"), play.connection("zombie")
    sender.start_transaction()
    assert sender.run(desk.RELEASE_CLAIM, [worker.id, worker.queue, late]) == [(0,)]
    step = desk.claim(zombie, worker, 1, late)
    step.blocks_on(sender)
    sender.commit()
    for refused in (step, desk.claim(zombie, worker, 1, late)):
        with pytest.raises(psycopg.Error, match="revoked the token") as error:
            refused.finish()
        assert error.value.sqlstate == "PN001"
    assert desk.state_of(db, job) == "queued"
    assert desk.claim(sender, worker, 1, desk.token()).finish() == [(job, 1)]


def test_the_last_hundred_revoked_tokens_are_known_each_once(play, db):
    """The row must not grow with every lost reply; repeated calls add nothing."""
    worker = desk.register(db)
    a = play.connection("a")
    for number in [*range(1, 104), *[103] * 5]:
        a.run(desk.RELEASE_CLAIM, [worker.id, worker.queue, number])
    assert db.execute("SELECT revoked FROM penstock.worker").fetchone() == (list(range(4, 104)),)


def test_two_rescues_at_once_take_each_claim_back_once(play, db):
    """The second steps over what the first is judging."""
    worker, (job,) = desk.register(db), desk.enqueue(db, 1)
    a, b = play.connection("a"), play.connection("b")
    desk.claim(a, worker, 1, desk.token()).finish()
    desk.lapse_under_a_leader(db, worker)
    a.start_transaction()
    assert a.run(desk.RESCUE, ["leader", desk.QUIET_LEASE]) == [(1, 1, 0)]
    assert b.run(desk.RESCUE, ["leader", desk.QUIET_LEASE]) == [(0, 0, 0)]
    a.commit()
    assert b.run(desk.RESCUE, ["leader", desk.QUIET_LEASE]) == [(0, 0, 0)]
    assert db.execute("SELECT crashes FROM penstock.job WHERE id = %s", [job]).fetchone() == (1,)


def test_a_frozen_leader_that_thaws_rescues_nobody(play, db):
    """Its lease lapsed and another leads: its statement finds that it does not lead and does nothing."""
    worker = desk.register(db)
    desk.enqueue(db, 1)
    frozen, successor = play.connection("frozen"), play.connection("successor")
    desk.claim(frozen, worker, 1, desk.token()).finish()
    desk.lead_for_long(db, "frozen")
    db.execute("UPDATE penstock.leader SET lease_until = clock_timestamp() - interval '1 second'")
    assert successor.run(desk.LEAD, ["successor", 60])[0][0] is not None
    desk.lapse(db, worker)
    assert frozen.run(desk.RESCUE, ["frozen", desk.QUIET_LEASE]) == [(0, 0, 0)]
    assert frozen.run(desk.LEAD, ["frozen", 60]) == [(None,)]


def test_after_an_outage_longer_than_the_lease_a_fleet_of_twenty_keeps_its_jobs(play, db):
    """Everybody's lease lapsed, the leader's too: leading starts again and rescue waits for one lease."""
    workers = [desk.register(db) for _ in range(20)]
    desk.enqueue(db, 20)
    a = play.connection("a")
    for worker in workers:
        desk.claim(a, worker, 1, desk.token()).finish()
    desk.lead_for_long(db)
    db.execute("UPDATE penstock.worker SET lease_until = clock_timestamp() - interval '1 minute'")
    db.execute("UPDATE penstock.leader SET lease_until = clock_timestamp() - interval '1 minute'")
    leadership = a.run(desk.LEAD, ["leader", 60])
    assert leadership[0][0] < 1
    assert a.run(desk.RESCUE, ["leader", 30]) == [(0, 0, 0)]
    for worker in workers:
        assert a.run(desk.RENEW, [worker.id, 60, [], []])[0][0] == "running"
    db.execute("UPDATE penstock.leader SET held_since = clock_timestamp() - interval '1 hour'")
    assert a.run(desk.RESCUE, ["leader", desk.QUIET_LEASE]) == [(0, 0, 0)]
    assert db.execute("SELECT count(*) FROM penstock.job WHERE token IS NOT NULL").fetchone() == (20,)


def test_two_that_want_to_lead_at_once_get_one_leader(play, db):
    """The second waits for the first's row and is refused."""
    a, b = play.connection("a"), play.connection("b")
    a.start_transaction()
    assert len(a.run(desk.LEAD, ["a", 60])) == 1
    step = b.start(desk.LEAD, ["b", 60])
    step.blocks_on(a)
    a.commit()
    assert step.finish() == [(None,)]


def test_two_promotions_at_once_make_a_job_ready_once(play, db):
    """The second steps over the rows of the first."""
    desk.enqueue(db, 2, p_delays=[0.001, 0.001])
    desk.until(
        lambda: db.execute("SELECT bool_and(due_at < clock_timestamp()) FROM penstock.job").fetchone() == (True,)
    )
    a, b = play.connection("a"), play.connection("b")
    a.start_transaction()
    assert a.run(desk.PROMOTE) == [(2,)]
    assert b.run(desk.PROMOTE) == [(0,)]
    a.commit()
    assert b.run(desk.PROMOTE) == [(0,)]
    assert db.execute("SELECT count(DISTINCT ord) FROM penstock.job WHERE due_at IS NULL").fetchone() == (2,)


def test_a_cordon_waits_for_a_claim_in_flight_and_stops_the_next(play, db):
    """What was claimed before the cordon is kept and finished; afterwards nothing is claimed."""
    worker, ids = desk.register(db), desk.enqueue(db, 2)
    token = desk.token()
    a, operator = play.connection("a"), play.connection("operator")
    a.start_transaction()
    desk.claim(a, worker, 1, token).finish()
    step = operator.start("SELECT penstock.cordon(%s, true)", [[worker.id]])
    step.blocks_on(a)
    a.commit()
    assert step.finish() == [(worker.id,)]
    with pytest.raises(psycopg.Error, match="not running"):
        desk.claim(a, worker, 1, desk.token()).finish()
    assert desk.ack(a, worker, ids[:1], token).finish() == []


def test_a_drain_that_starts_during_a_claim_waits_for_nobody_and_stops_the_next(play, db):
    """A worker asked to stop says so at once; what its claim in flight brings is its own to release."""
    worker, ids = desk.register(db), desk.enqueue(db, 2)
    token = desk.token()
    claiming, lease = play.connection("claiming"), play.connection("lease")
    claiming.start_transaction()
    desk.claim(claiming, worker, 1, token).finish()
    assert lease.run(BEGIN_DRAIN, [worker.id]) == [("draining",)]
    claiming.commit()
    with pytest.raises(psycopg.Error, match="not running"):
        desk.claim(claiming, worker, 1, desk.token()).finish()
    assert desk.ack(claiming, worker, ids[:1], token).finish() == []


@pytest.mark.parametrize("drain_first", [True, False], ids=["drain, call back", "call back, drain"])
def test_in_either_order_a_worker_that_drains_is_not_called_back(drain_first, play, db):
    """One waits for the other's row; the worker is draining in the end."""
    worker = desk.register(db)
    db.execute("UPDATE penstock.worker SET state = 'cordoned'")
    lease, operator = play.connection("lease"), play.connection("operator")
    steps = [(lease, BEGIN_DRAIN, [worker.id]), (operator, "SELECT penstock.cordon(%s, false)", [[worker.id]])]
    (first, statement, values), (second, other, others) = steps if drain_first else (steps[1], steps[0])
    first.start_transaction()
    first.run(statement, values)
    step = second.start(other, others)
    step.blocks_on(first)
    first.commit()
    step.finish()
    assert db.execute("SELECT state FROM penstock.worker").fetchone() == ("draining",)


def test_a_worker_that_starts_to_drain_while_it_is_declared_lost_stays_lost(play, db):
    """Its jobs have other owners by then; the reply says so, and it registers again."""
    worker = desk.register(db)
    rescuer, lease = play.connection("rescuer"), play.connection("lease")
    rescuer.start_transaction()
    rescuer.run("UPDATE penstock.worker SET state = 'lost' WHERE id = %s", [worker.id])
    step = lease.start(BEGIN_DRAIN, [worker.id])
    step.blocks_on(rescuer)
    rescuer.commit()
    assert step.finish() == [("lost",)]


def test_the_first_enqueue_to_a_new_queue_is_waited_for_by_the_second(play, db):
    """Both get their job in; the queue is one row."""
    a, b = play.connection("a"), play.connection("b")
    a.start_transaction()
    a.run(desk.ENQUEUE)
    step = b.start(desk.ENQUEUE)
    step.blocks_on(a)
    a.commit()
    step.finish()
    assert db.execute("SELECT count(*), count(DISTINCT queue) FROM penstock.job").fetchone() == (2, 1)
