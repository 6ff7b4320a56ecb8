"""A leader may rescue before it has led for a lease only if a worker has renewed without a gap.

The leaders of these tests are new: only the renewals of a worker can let them rescue.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.postgres import desk

if TYPE_CHECKING:
    import psycopg

LEASE = 1.0
"""The lease of the test whose workers renew in real time, every few milliseconds."""
LONG_LEASE = 3e10
"""Seconds: a thousand years, more than the uptime of any server."""
SOON = ["leader", desk.QUIET_LEASE]
STEADY = (
    "unbroken_since = '-infinity', renewed_at = now() + interval '1 h', lease_until = now() + interval '1 h 0.04 s'"
)
"""Renewed without a gap since ever; no pause of this process makes it stale."""


def lead_newly(db: psycopg.Connection[Any], holder: str = "leader") -> None:
    """`holder` leads, but has not yet led for a lease."""
    desk.lead_for_long(db, holder)
    db.execute("UPDATE penstock.leader SET held_since = clock_timestamp() + interval '1 hour'")


def lost_with_a_job(db: psycopg.Connection[Any]) -> desk.Worker:
    """A worker whose lease ran out while it had a claim."""
    worker, _ = desk.register(db), desk.enqueue(db)
    assert db.execute(desk.CLAIM, [worker.id, worker.queue, 1, desk.token()]).fetchone() is not None
    desk.lapse(db, worker)
    return worker


def renewing_worker(db: psycopg.Connection[Any], change: str = "") -> desk.Worker:
    """A worker that has renewed without a gap, apart from the change."""
    worker = desk.register(db)
    for columns in filter(None, (STEADY, change)):
        db.execute(f"UPDATE penstock.worker SET {columns} WHERE id = {worker.id}".encode())
    return worker


def unbroken_renewals(db: psycopg.Connection[Any], worker: desk.Worker) -> tuple[Any, Any]:
    """The start of its renewals without a gap, and the time of the last one."""
    row = db.execute("SELECT unbroken_since, renewed_at FROM penstock.worker WHERE id = %s", [worker.id]).fetchone()
    assert row is not None
    found: tuple[Any, Any] = row
    return found


def test_a_new_leader_rescues_once_a_worker_has_renewed_for_a_lease(play, db):
    """Only renewals count: before the first one nothing is known; a lease later the leader may rescue."""
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
    since, renewed = unbroken_renewals(db, survivor)
    assert (renewed - since).total_seconds() > LEASE / 2, "renewals span a lease, of which half may have no renewal"
    assert db.execute("SELECT crashes FROM penstock.job").fetchall() == [(1,)]


@pytest.mark.parametrize(
    "change",
    [
        "state = 'lost', swept = true",
        "unbroken_since = now() + interval '1 h'",
        "renewed_at = now() - interval '1 h', lease_until = now() - interval '1 h' + interval '0.04 s'",
        "lease_until = renewed_at + interval '0.06 s'",
    ],
    ids=["is lost", "has just started", "stopped renewing", "has a longer lease"],
)
def test_no_worker_is_rescued_because_of_the_renewals_of_a_worker_that(change, play, db):
    """The database may have been unreachable for all other workers while each of these renewed, or did not."""
    victim = lost_with_a_job(db)
    lead_newly(db)
    renewing_worker(db, change)
    rescuer = play.connection("rescuer")
    assert rescuer.run(desk.RESCUE, SOON) == [(0, 0, 0)]
    assert rescuer.run(desk.OVERDUE, SOON) == [(0, 0)]
    renewing_worker(db)
    assert (1, 0) in {row[1:] for row in rescuer.run(desk.RESCUE, SOON)}
    assert db.execute("SELECT state FROM penstock.worker WHERE id = %s", [victim.id]).fetchone() == ("lost",)


def test_a_renewal_replaces_neither_leadership_nor_the_uptime_of_the_server(play, db):
    """Only the leader rescues, and only if the server was up for a lease: before, no worker could renew."""
    lost_with_a_job(db)
    renewing_worker(db, "lease_until = renewed_at + interval '0.04 s'")
    lead_newly(db)
    rescuer = play.connection("rescuer")
    assert rescuer.run(desk.RESCUE, ["another", desk.QUIET_LEASE]) == [(0, 0, 0)]
    assert rescuer.run(desk.RESCUE, ["leader", LONG_LEASE]) == [(0, 0, 0)]
    db.execute("UPDATE penstock.leader SET lease_until = clock_timestamp() - interval '1 second'")
    assert rescuer.run(desk.RESCUE, SOON) == [(0, 0, 0)]
    assert rescuer.run(desk.LEAD, ["leader", 60])[0][0] is not None
    assert rescuer.run(desk.RESCUE, SOON) == [(1, 1, 0)]


def test_a_renewal_after_a_gap_of_half_a_lease_starts_the_count_again(play, db):
    """An outage, a frozen server, a stopped worker or a clock change is a gap on the server's clock."""
    worker, renewer = desk.register(db, 600), play.connection("renewer")
    since = "UPDATE penstock.worker SET unbroken_since = '-infinity', renewed_at = clock_timestamp() - %s::interval"
    db.execute(since, ["201 s"])
    renewer.run(desk.RENEW, [worker.id, 600, [], []])
    unbroken = db.execute("SELECT unbroken_since = '-infinity' FROM penstock.worker").fetchone()
    assert unbroken == (True,), "a third of a lease is the usual pause"
    db.execute(since, ["301 s"])
    renewer.run(desk.RENEW, [worker.id, 600, [], []])
    started, renewed = unbroken_renewals(db, worker)
    assert started == renewed


def test_after_an_outage_the_first_renewal_rescues_no_job_of_the_other_workers(play, db):
    """No worker could renew; the first one to reconnect and lead must let the others renew."""
    fleet = [lost_with_a_job(db) for _ in range(3)]
    first = renewing_worker(db, "renewed_at = now() - interval '1 min', lease_until = now() - interval '50 s'")
    maintenance = play.connection("maintenance")
    desk.lead_for_long(db)
    db.execute("UPDATE penstock.leader SET lease_until = clock_timestamp() - interval '1 minute'")
    assert maintenance.run(desk.LEAD, ["leader", 60])[0][0] is not None
    db.execute("UPDATE penstock.leader SET held_since = clock_timestamp() + interval '1 hour'")
    assert maintenance.run(desk.RENEW, [first.id, desk.QUIET_LEASE, [], []])[0][0] == "running"
    assert maintenance.run(desk.RESCUE, SOON) == [(0, 0, 0)]
    for worker in fleet:
        assert maintenance.run(desk.RENEW, [worker.id, 60, [], []])[0][0] == "running"
    renewing_worker(db)
    assert maintenance.run(desk.RESCUE, SOON)[0][1:] == (0, 0)
    assert db.execute("SELECT count(*) FROM penstock.job WHERE token IS NOT NULL").fetchone() == (3,)


def test_a_renewal_that_waited_for_a_lock_counts_from_its_arrival(play, db):
    """The same lock may have delayed all others: the next renewal finds the gap."""
    worker = desk.register(db)
    operator, renewer = play.connection("operator"), play.connection("renewer")
    operator.start_transaction()
    operator.run("SELECT penstock.cordon(%s, true)", [[worker.id]])
    step = renewer.start(desk.RENEW, [worker.id, 60, [], []])
    step.blocks_on(operator)
    ((released,),) = operator.run("SELECT clock_timestamp()")
    operator.commit()
    assert step.finish()[0][0] == "cordoned"
    assert unbroken_renewals(db, worker)[1] < released


def test_a_rescue_that_waited_for_a_lock_judges_by_its_start(play, db):
    """A server that stops in the middle of a rescue, as under a lock here, must not find every lease expired."""
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


def test_a_worker_that_cannot_lead_learns_when_it_may(play, db):
    """NULL before the first leader, then the seconds until its lease expires, and 0 afterwards."""
    ends = "SELECT penstock.lead_ends('maintenance')"
    a, b = play.connection("a"), play.connection("b")
    assert b.run(ends) == [(None,)]
    a.run(desk.LEAD, ["a", 600])
    assert b.run(desk.LEAD, ["b", 600]) == [(None,)]
    assert 0 < b.run(ends)[0][0] <= 600
    db.execute("UPDATE penstock.leader SET lease_until = clock_timestamp() - interval '1 second'")
    assert b.run(ends) == [(0,)]
