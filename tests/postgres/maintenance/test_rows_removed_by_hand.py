"""Rows removed by hand: a limit's room comes back, a queue with jobs stays, jobs without a queue are reached again."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from tests.postgres import desk
from tests.postgres.claims.test_store_limits import IN_FLIGHT, RUNNING, limit
from tests.postgres.recovery.test_copies import audit, integrity
from tests.postgres.shell import Shell

REMOVE = "SELECT verdict FROM penstock.remove_queue('q', false)"


def running(db: psycopg.Connection[Any], maximum: int = 3) -> tuple[desk.Worker, int, list[int]]:
    """A limited queue at its limit, with jobs that wait."""
    worker, token = desk.register(db), desk.token()
    desk.enqueue(db, 10)
    limit(db, worker, maximum)
    return worker, token, [row[0] for row in db.execute(desk.CLAIM, [worker.id, worker.queue, 9, token])]


CHANGES = {
    "DELETE of running rows": "DELETE FROM penstock.job WHERE token IS NOT NULL",
    "DELETE of one": "DELETE FROM penstock.job WHERE id = 1",
    "TRUNCATE job": "TRUNCATE penstock.job",
    "UPDATE that releases by hand": "UPDATE penstock.job SET token = NULL, worker = NULL",
    "TRUNCATE limit_return": "TRUNCATE penstock.limit_return",
    "limit_return twice": "INSERT INTO penstock.limit_return (queue, amount) SELECT 1, 2",
    "a count below zero": "UPDATE penstock.queue_limit SET in_flight = -7",
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_limit_counts_what_runs_again(change, newest):
    """Named by `checkup`, corrected by one audit, and left alone by the next."""
    worker, _, _ = running(newest)
    assert (integrity(newest)["limits"], audit(newest, "limits")) == ([], 0)
    newest.execute(CHANGES[change].encode())
    wrong = change != "TRUNCATE limit_return"
    assert integrity(newest)["limits"] == (["q"] if wrong else [])
    assert (audit(newest, "limits"), audit(newest, "limits")) == (int(wrong), 0)
    assert newest.execute(IN_FLIGHT).fetchone() == newest.execute(RUNNING).fetchone()
    desk.enqueue(newest, 9)
    free = 3 - newest.execute(RUNNING).fetchone()[0]
    assert len(newest.execute(desk.CLAIM, [worker.id, worker.queue, 9, desk.token()]).fetchall()) == free


@pytest.mark.parametrize("end", ["ack", "complete", "release"])
def test_an_audit_with_an_open_end_counts_it_once(end, play, db):
    """In flight it still runs, and its own commit subtracts it; the count is right in the end."""
    worker, token, ids = running(db)
    db.execute("UPDATE penstock.queue_limit SET in_flight = 9")
    a, b = play.connection("a"), play.connection("b")
    a.start_transaction()
    if end == "complete":
        a.run("SELECT penstock.complete(%s, %s, %s, 1)", [worker.id, ids[0], token])
        assert b.run("SELECT penstock.audit('limits')") == [(1,)]
    else:
        a.run(
            desk.ACK if end == "ack" else desk.RELEASE,
            [worker.id, ids[:1], [token], *([["completed"]] if end == "ack" else [])],
        )
        step = b.start("SELECT penstock.audit('limits')")
        step.blocks_on(a)
    a.commit()
    if end != "complete":
        step.finish()
    audit(db, "limits")
    assert integrity(db)["limits"] == []
    assert len(db.execute(desk.CLAIM, [worker.id, worker.queue, 9, desk.token()]).fetchall()) == 1


@pytest.mark.parametrize("has", ["ready", "running", "deferred", "dead"])
def test_a_queue_with_jobs_cannot_be_deleted(has, newest):
    """By nobody, owner or superuser; the sentence says what to run. One statement may remove it with its jobs."""
    worker, token = desk.register(newest), desk.token()
    desk.enqueue(newest, p_delays=[60 if has == "deferred" else None])
    if has in {"running", "dead"}:
        newest.execute(desk.CLAIM, [worker.id, worker.queue, 1, token])
    if has == "dead":
        newest.execute(desk.ACK, [worker.id, [1], [token], ["failed"]])
    for statement in ("DELETE FROM penstock.queue", "TRUNCATE penstock.queue"):
        with pytest.raises(psycopg.errors.ForeignKeyViolation) as refused:
            newest.execute(statement.encode())
        assert "jobs" in str(refused.value)
    newest.execute("WITH j AS (DELETE FROM penstock.job), d AS (DELETE FROM penstock.dead) DELETE FROM penstock.queue")
    assert newest.execute("SELECT count(*) FROM penstock.queue").fetchone() == (0,)


@pytest.mark.parametrize("has", ["ready", "deferred", "dead"])
def test_jobs_whose_queue_has_no_row_get_one(has, newest):
    """Deleted with triggers off: named by `checkup`, then reached by every command and by a worker of that name."""
    worker, token = desk.register(newest), desk.token()
    desk.enqueue(newest, p_delays=[60 if has == "deferred" else None])
    if has == "dead":
        newest.execute(desk.CLAIM, [worker.id, worker.queue, 1, token])
        newest.execute(desk.ACK, [worker.id, [1], [token], ["failed"]])
    newest.execute("SET session_replication_role = replica")
    newest.execute("DELETE FROM penstock.queue")
    newest.execute("RESET session_replication_role")
    assert integrity(newest)["orphan_queues"] == [worker.queue]
    assert (audit(newest, "queues"), audit(newest, "queues")) == (1, 0)
    assert integrity(newest)["orphan_queues"] == []
    found = newest.execute("SELECT queue FROM penstock.jobs").fetchall()
    assert found == [(f"orphaned-{worker.queue}",)]


def test_a_queue_is_not_removed_under_an_open_enqueue(play, db):
    """It waits for what started before, steps over what holds the queue, and then finds the job."""
    desk.enqueue(db)
    db.execute("DELETE FROM penstock.job")
    a, b = play.connection("a"), play.connection("b")
    a.start_transaction()
    a.run(desk.ENQUEUE)
    assert [b.run(REMOVE) for _ in range(3)] == [[("waiting",)]] * 3
    a.commit()
    assert b.run(REMOVE) == [("jobs",)]
    db.execute("DELETE FROM penstock.job")
    a.start_transaction()
    a.run(desk.ENQUEUE)  # it sees that the queue may go, and holds it
    assert [b.run(REMOVE) for _ in range(3)] == [[("waiting",)]] * 3
    a.rollback()
    desk.until(lambda: b.run(REMOVE) == [("removed",)])
    assert b.run(REMOVE) == [("missing",)]
    assert desk.enqueue(db)


def test_queues_remove_says_what_is_in_the_way(pg_newest, newest, capsys, monkeypatch):
    """Jobs, dead letters, workers, and names that there are not; a removed queue's place is free again."""
    shell = Shell(pg_newest.url, capsys, monkeypatch)
    free = "SELECT count(*) FROM penstock.queue_slot WHERE queue IS NULL"
    (before,) = newest.execute(free).fetchone()
    desk.enqueue(newest)
    code, _, err = shell.run("queues", "remove", "q")
    assert (code, "has 1 job and was not removed" in err, "jobs cancel --queue q" in err) == (1, True, True)
    worker, token = desk.register(newest), desk.token()
    newest.execute(desk.CLAIM, [worker.id, worker.queue, 1, token])
    newest.execute(desk.ACK, [worker.id, [1], [token], ["failed"]])
    assert "has 1 dead letter and was not removed" in shell.run("queues", "remove", "q")[2]
    newest.execute("SELECT penstock.discard('{1}')")
    assert "queue q has 1 worker and was not removed" in shell.run("queues", "remove", "q")[2]
    newest.execute("SELECT penstock.deregister(%s, true)", [worker.id])
    assert shell.value("queues", "remove", "q", "--dry-run") == {"removed": ["q"], "kept": {}, "dry_run": True}
    assert shell.run("queues", "remove", "q")[:2] == (0, "removed q\n")
    assert "there is no queue q" in shell.run("queues", "remove", "q")[2]
    assert newest.execute(free).fetchone() == (before,)
