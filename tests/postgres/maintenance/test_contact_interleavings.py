"""Who may judge others although it has not led for a lease: only where a worker reached the database all along.

Leaders of these tests never have led for long, so that nothing but a worker's contact can let them rescue.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.postgres import desk

if TYPE_CHECKING:
    import psycopg

LEASE = 1.0
"""Of the one test whose workers renew in real time; it renews every few milliseconds."""
LONG_LEASE = 3e10
"""Seconds: a thousand years, as which no server has been up."""
SOON = ["leader", desk.QUIET_LEASE]
STEADY = (
    "unbroken_since = '-infinity', renewed_at = now() + interval '1 h', lease_until = now() + interval '1 h 0.04 s'"
)
"""In contact since ever and for long: no pause of this process makes it stale."""


def lead_newly(db: psycopg.Connection[Any], holder: str = "leader") -> None:
    """`holder` leads, and never has for a lease."""
    desk.lead_for_long(db, holder)
    db.execute("UPDATE penstock.leader SET held_since = clock_timestamp() + interval '1 hour'")


def lost_with_a_job(db: psycopg.Connection[Any]) -> desk.Worker:
    """A worker whose lease ran out while it had a claim."""
    worker, _ = desk.register(db), desk.enqueue(db)
    assert db.execute(desk.CLAIM, [worker.id, worker.queue, 1, desk.token()]).fetchone() is not None
    desk.lapse(db, worker)
    return worker


def witness(db: psycopg.Connection[Any], change: str = "") -> desk.Worker:
    """A worker that has been in contact all along, but for the change."""
    worker = desk.register(db)
    for columns in filter(None, (STEADY, change)):
        db.execute(f"UPDATE penstock.worker SET {columns} WHERE id = {worker.id}".encode())
    return worker


def contact(db: psycopg.Connection[Any], worker: desk.Worker) -> tuple[Any, Any]:
    """Since when it has renewed without a gap, and when it last did."""
    row = db.execute("SELECT unbroken_since, renewed_at FROM penstock.worker WHERE id = %s", [worker.id]).fetchone()
    assert row is not None
    found: tuple[Any, Any] = row
    return found


def test_a_new_leader_rescues_once_a_worker_has_renewed_for_a_lease(play, db):
    """By real renewals alone: nothing is known of the database before the first, enough a lease later."""
    lost_with_a_job(db)
    survivor = desk.register(db, LEASE)
    successor = play.connection("successor")
    desk.lead_for_long(db, "dead")
    db.execute("UPDATE penstock.leader SET lease_until = clock_timestamp() - interval '1 second'")
    assert successor.run(desk.LEAD, ["successor", 3600])[0][0] < LEASE
    db.execute("UPDATE penstock.leader SET held_since = clock_timestamp() + interval '1 hour'")

    def rescued() -> bool:
        db.execute(desk.RENEW, [survivor.id, LEASE, [], []])
        return bool(successor.run(desk.RESCUE, ["successor", LEASE]) == [(1, 1, 0)])

    desk.until(rescued, 60)
    since, renewed = contact(db, survivor)
    assert (renewed - since).total_seconds() > LEASE / 2, "a lease of contact, of which half a lease may be silence"
    assert db.execute("SELECT crashes FROM penstock.job").fetchall() == [(1,)]


@pytest.mark.parametrize(
    "change",
    [
        "state = 'lost', swept = true",
        "unbroken_since = now() + interval '1 h'",
        "renewed_at = now() - interval '1 h', lease_until = now() - interval '1 h' + interval '0.04 s'",
        "lease_until = renewed_at + interval '0.06 s'",
    ],
    ids=["is lost", "only just started", "fell silent", "has a longer lease"],
)
def test_nobody_is_rescued_on_the_word_of_a_worker_that(change, play, db):
    """Each of these may have been there while the database was away for all others, or says nothing of it."""
    victim = lost_with_a_job(db)
    lead_newly(db)
    witness(db, change)
    rescuer = play.connection("rescuer")
    assert rescuer.run(desk.RESCUE, SOON) == [(0, 0, 0)]
    assert rescuer.run(desk.OVERDUE, SOON) == [(0, 0)]
    witness(db)
    assert (1, 0) in {row[1:] for row in rescuer.run(desk.RESCUE, SOON)}
    assert db.execute("SELECT state FROM penstock.worker WHERE id = %s", [victim.id]).fetchone() == ("lost",)


def test_a_workers_word_makes_no_leader_and_no_server_older(play, db):
    """Who does not lead rescues nobody; a server that was not up for a lease may have kept all from renewing."""
    lost_with_a_job(db)
    witness(db, "lease_until = renewed_at + interval '0.04 s'")
    lead_newly(db)
    rescuer = play.connection("rescuer")
    assert rescuer.run(desk.RESCUE, ["another", desk.QUIET_LEASE]) == [(0, 0, 0)]
    assert rescuer.run(desk.RESCUE, ["leader", LONG_LEASE]) == [(0, 0, 0)]
    db.execute("UPDATE penstock.leader SET lease_until = clock_timestamp() - interval '1 second'")
    assert rescuer.run(desk.RESCUE, SOON) == [(0, 0, 0)]
    assert rescuer.run(desk.LEAD, ["leader", 60])[0][0] is not None
    assert rescuer.run(desk.RESCUE, SOON) == [(1, 1, 0)]


def test_a_renewal_after_half_a_lease_of_silence_starts_again(play, db):
    """An outage, a frozen server, a stopped worker, a clock that was set: each is a gap on the server's clock."""
    worker, renewer = desk.register(db, 600), play.connection("renewer")
    since = "UPDATE penstock.worker SET unbroken_since = '-infinity', renewed_at = clock_timestamp() - %s::interval"
    db.execute(since, ["201 s"])
    renewer.run(desk.RENEW, [worker.id, 600, [], []])
    unbroken = db.execute("SELECT unbroken_since = '-infinity' FROM penstock.worker").fetchone()
    assert unbroken == (True,), "a third of a lease is the usual pause"
    db.execute(since, ["301 s"])
    renewer.run(desk.RENEW, [worker.id, 600, [], []])
    started, renewed = contact(db, worker)
    assert started == renewed


def test_after_an_outage_the_first_to_renew_is_no_witness_and_the_fleet_keeps_its_jobs(play, db):
    """All fell silent at once; the first to thaw or reconnect, and lead, must let the others renew."""
    fleet = [lost_with_a_job(db) for _ in range(3)]
    first = witness(db, "renewed_at = now() - interval '1 min', lease_until = now() - interval '50 s'")
    maintenance = play.connection("maintenance")
    desk.lead_for_long(db)
    db.execute("UPDATE penstock.leader SET lease_until = clock_timestamp() - interval '1 minute'")
    assert maintenance.run(desk.LEAD, ["leader", 60])[0][0] is not None
    db.execute("UPDATE penstock.leader SET held_since = clock_timestamp() + interval '1 hour'")
    assert maintenance.run(desk.RENEW, [first.id, desk.QUIET_LEASE, [], []])[0][0] == "running"
    assert maintenance.run(desk.RESCUE, SOON) == [(0, 0, 0)]
    for worker in fleet:
        assert maintenance.run(desk.RENEW, [worker.id, 60, [], []])[0][0] == "running"
    witness(db)
    assert maintenance.run(desk.RESCUE, SOON)[0][1:] == (0, 0)
    assert db.execute("SELECT count(*) FROM penstock.job WHERE token IS NOT NULL").fetchone() == (3,)


def test_a_renewal_that_had_to_wait_counts_from_when_it_came(play, db):
    """What kept it may have kept all the others: the next one finds the gap."""
    worker = desk.register(db)
    operator, renewer = play.connection("operator"), play.connection("renewer")
    operator.start_transaction()
    operator.run("SELECT penstock.cordon(%s, true)", [[worker.id]])
    step = renewer.start(desk.RENEW, [worker.id, 60, [], []])
    step.blocks_on(operator)
    ((released,),) = operator.run("SELECT clock_timestamp()")
    operator.commit()
    assert step.finish()[0][0] == "cordoned"
    assert contact(db, worker)[1] < released


def test_a_rescue_that_had_to_wait_judges_by_when_it_started(play, db):
    """A server that stops between question and deed, as under a lock here, must not find everybody's lease run out."""
    worker, _ = desk.register(db), desk.enqueue(db)
    stopper, rescuer = play.connection("stopper"), play.connection("rescuer")
    desk.claim(rescuer, worker, 1, desk.token()).finish()
    desk.lead_for_long(db)
    stopper.start_transaction()
    stopper.run("LOCK TABLE penstock.worker IN ACCESS EXCLUSIVE MODE")
    step = rescuer.start(desk.RESCUE, SOON)
    step.blocks_on(stopper)
    stopper.run("UPDATE penstock.worker SET lease_until = clock_timestamp()")
    stopper.commit()
    assert step.finish() == [(0, 0, 0)]
    assert rescuer.run(desk.RESCUE, SOON) == [(1, 1, 0)]


def test_who_may_not_lead_learns_when_it_might(play, db):
    """Nothing before anybody led; then the seconds of a leadership that may still be kept; nought once it is over."""
    ends = "SELECT penstock.lead_ends('maintenance')"
    a, b = play.connection("a"), play.connection("b")
    assert b.run(ends) == [(None,)]
    a.run(desk.LEAD, ["a", 600])
    assert b.run(desk.LEAD, ["b", 600]) == [(None,)]
    assert 0 < b.run(ends)[0][0] <= 600
    db.execute("UPDATE penstock.leader SET lease_until = clock_timestamp() - interval '1 second'")
    assert b.run(ends) == [(0,)]
