"""The server's clock is set back: what was written before lies ahead. No lease lasts until the clock is there again."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from tests.postgres import desk

LEASE = 15.0
STEP = """UPDATE penstock.worker SET lease_until = lease_until + %(step)s, renewed_at = renewed_at + %(step)s,
    unbroken_since = unbroken_since + %(step)s;
  UPDATE penstock.leader SET lease_until = lease_until + %(step)s, held_since = held_since + %(step)s"""


def step_back(db: psycopg.Connection[Any], step: str = "1 day") -> None:
    """Every time in the tables, as a clock that was set back by `step` sees it."""
    db.execute(STEP.replace("%(step)s", f"interval '{step}'").encode())


def lead(db: psycopg.Connection[Any], holder: str) -> float | None:
    row = db.execute(desk.LEAD, [holder, LEASE]).fetchone()
    assert row is not None
    seconds: float | None = row[0]
    return seconds


def led_for(db: psycopg.Connection[Any], holder: str, seconds: float) -> None:
    """The leader has led for so long, on the clock as it is now."""
    since = "UPDATE penstock.leader SET held_since = clock_timestamp() - make_interval(secs => %s) WHERE holder = %s"
    db.execute(since, [seconds, holder])


def state(db: psycopg.Connection[Any], worker: desk.Worker) -> str:
    row = db.execute("SELECT state FROM penstock.worker WHERE id = %s", [worker.id]).fetchone()
    assert row is not None
    return str(row[0])


def test_a_worker_that_died_before_the_step_is_rescued_after_it(newest):
    """Once the leader has led for a lease on the new clock; its jobs do not wait for a day."""
    dead, alive = desk.register(newest, LEASE), desk.register(newest, LEASE)
    desk.enqueue(newest, 1)
    newest.execute(desk.CLAIM, [dead.id, dead.queue, 1, desk.token()])
    lead(newest, "leader")
    step_back(newest)
    assert newest.execute(desk.RESCUE, ["leader", LEASE]).fetchone() == (0, 0, 0)
    lead(newest, "leader")
    assert newest.execute(desk.RESCUE, ["leader", LEASE]).fetchone() == (0, 0, 0)
    newest.execute(desk.RENEW, [alive.id, LEASE, [], []])
    led_for(newest, "leader", LEASE + 1)
    assert newest.execute(desk.RESCUE, ["leader", desk.QUIET_LEASE]).fetchone() == (1, 1, 0)
    assert (state(newest, dead), state(newest, alive)) == ("lost", "running")
    assert newest.execute("SELECT lease_until < now() FROM penstock.worker WHERE state = 'lost'").fetchone() == (True,)


def test_a_step_shorter_than_half_a_lease_only_makes_leases_longer(newest):
    """The clock is slewed and set by NTP all the time: nobody is lost for it."""
    worker = desk.register(newest, LEASE)
    step_back(newest, "7 seconds")
    led_for(newest, "leader", 3600)
    desk.lead_for_long(newest)
    assert newest.execute(desk.RESCUE, ["leader", desk.QUIET_LEASE]).fetchone() == (0, 0, 0)
    assert state(newest, worker) == "running"


def test_a_longer_lease_than_the_leaders_is_judged_by_its_own_length(newest):
    """A leader of fifteen seconds gives a worker of an hour the time to renew."""
    worker = desk.register(newest, 3600.0)
    step_back(newest)
    lead(newest, "leader")
    led_for(newest, "leader", 1800)
    assert newest.execute(desk.RESCUE, ["leader", desk.QUIET_LEASE]).fetchone() == (0, 0, 0)
    led_for(newest, "leader", 3601)
    assert newest.execute(desk.RESCUE, ["leader", desk.QUIET_LEASE]).fetchone() == (1, 0, 0)
    assert state(newest, worker) == "lost"


def test_a_renewal_after_the_step_starts_its_contact_again(newest):
    """A worker that renewed before the step shows nothing of what others could do since."""
    worker = desk.register(newest, LEASE)
    newest.execute("UPDATE penstock.worker SET unbroken_since = now() - interval '1 hour'")
    step_back(newest)
    newest.execute(desk.RENEW, [worker.id, LEASE, [], []])
    query = "SELECT now() - unbroken_since < '1 min' AND lease_until < now() + interval '1 min' FROM penstock.worker"
    assert newest.execute(query).fetchone() == (True,)


def test_a_leadership_taken_before_the_step_ends_at_once_for_others(newest):
    """A leader that died with the clock ahead keeps nobody from leading; one that lives starts again."""
    lead(newest, "gone")
    assert lead(newest, "next") is None
    step_back(newest)
    assert lead(newest, "next") == pytest.approx(0, abs=5)
    led_for(newest, "next", 100)
    step_back(newest)
    assert lead(newest, "next") == pytest.approx(0, abs=5)
