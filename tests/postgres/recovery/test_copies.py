"""Copies of a database: what logical replication leaves out, what another cluster's numbers mean, clocks set back.

Each state is set by hand here; tests/postgres/recovery/test_moving.py makes real copies.
"""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from penstock.errors import ClaimRefused
from penstock.store import Maintenance, Store, WorkerRegistry, migrate
from tests.postgres import desk
from tests.postgres.claims.test_store_marks import BELOW, publish

PUBLISH = "SELECT penstock.publish_marks(%s, %s)"
START_MARKS = "SELECT last_ord, horizon FROM penstock.begin_marks()"
FAR = 10**15


def audit(db: psycopg.Connection[Any], part: str) -> int:
    row = db.execute("SELECT penstock.audit(%s)", [part]).fetchone()
    assert row is not None
    return int(row[0])


def start_again(db: psycopg.Connection[Any], *names: str) -> None:
    """As on the target of logical replication: rows without sequences."""
    for name in names:
        db.execute("SELECT setval(%s, 1, false)", [f"penstock.{name}"])


def integrity(db: psycopg.Connection[Any]) -> dict[str, Any]:
    row = db.execute("SELECT penstock.checkup() -> 'integrity'").fetchone()
    assert row is not None
    return dict(row[0])


def marked(db: psycopg.Connection[Any]) -> desk.Worker:
    """A queue that has done a hundred jobs and published its marks."""
    worker, token = desk.register(db), desk.token()
    ids = desk.enqueue(db, 100)
    db.execute(desk.CLAIM, [worker.id, worker.queue, 100, token])
    db.execute(desk.ACK, [worker.id, ids, [token] * 100, ["completed"] * 100])
    publish(db)
    return worker


def test_jobs_below_the_marks_of_a_copy_are_seen_again(db):
    """Enqueued after the move, before any worker: `checkup` names them, and after the audit a claim finds all."""
    worker = marked(db)
    start_again(db, "job_ord_seq", "job_id_seq")
    db.execute("SELECT setval('penstock.job_id_seq', 1000)")
    ids = desk.enqueue(db, 5)
    assert integrity(db)["below_marks"] == ["q"]
    assert db.execute("SELECT penstock.why_job(%s) -> 'below_mark'", [ids[0]]).fetchone() == (True,)
    assert db.execute(desk.CLAIM, [worker.id, worker.queue, 10, desk.token()]).fetchall() == []
    assert (audit(db, "sequences"), audit(db, "marks"), audit(db, "marks")) == (1, 1, 0)
    assert integrity(db)["below_marks"] == integrity(db)["sequences"] == []
    publish(db)
    claimed = db.execute(desk.CLAIM, [worker.id, worker.queue, 10, desk.token()]).fetchall()
    assert [row[0] for row in claimed] == ids
    assert desk.enqueue(db)[0] > ids[-1]


def test_a_fresh_database_is_sound_before_and_after_its_first_job(newest):
    """Its first marks are the number that the first job draws; nothing is corrected, and nothing is logged."""
    desk.register(newest)
    publish(newest)
    assert (integrity(newest)["sequences"], audit(newest, "sequences"), audit(newest, "marks")) == ([], 0, 0)
    worker, ids = desk.register(newest), desk.enqueue(newest, 2)
    publish(newest)
    assert (integrity(newest)["sequences"], audit(newest, "sequences"), audit(newest, "marks")) == ([], 0, 0)
    claimed = newest.execute(desk.CLAIM, [worker.id, worker.queue, 5, desk.token()]).fetchall()
    assert [row[0] for row in claimed] == ids


def test_marks_above_the_sequence_are_found_from_the_start_again(db):
    """Without an audit: a publication never trusts a mark that the sequence cannot have given."""
    worker = marked(db)
    start_again(db, "job_ord_seq")
    ids = desk.enqueue(db, 5)
    publish(db)
    assert db.execute(BELOW).fetchone() == (0,)
    claimed = db.execute(desk.CLAIM, [worker.id, worker.queue, 10, desk.token()]).fetchall()
    assert [row[0] for row in claimed] == ids


def test_heads_above_rows_are_dropped_too(db):
    """A sample would not see the jobs, and nobody would start a worker for them."""
    marked(db)
    start_again(db, "job_ord_seq")
    desk.enqueue(db, 5)
    db.execute("UPDATE penstock.queue SET marks = NULL")
    sample = "SELECT ready FROM penstock.sample('{q}', 100, 15)"
    assert db.execute(sample).fetchone() == (0,)
    assert (audit(db, "marks"), db.execute(sample).fetchone()) == (1, (5,))


def test_a_publication_does_not_bring_back_what_an_audit_dropped_meanwhile(play, db):
    """It steps over the queue's row while the audit is open; the next one finds the marks from the start."""
    marked(db)
    start_again(db, "job_ord_seq")
    desk.enqueue(db, 5)
    db.execute("SELECT setval('penstock.job_ord_seq', 5000)")
    a, b = play.connection("a"), play.connection("b")
    started = db.execute(START_MARKS).fetchone()
    db.execute("SELECT pg_current_xact_id()")
    a.start_transaction()
    assert a.run("SELECT penstock.audit('marks')") == [(1,)]
    assert b.run(PUBLISH, started) == [(0,)]
    a.commit()
    assert db.execute("SELECT marks, heads FROM penstock.queue").fetchone() == (None, None)


@pytest.mark.parametrize("started", [(1, FAR), (FAR, 3)], ids=["horizon", "last ord"])
def test_a_publication_started_on_another_server_changes_nothing(started, db):
    """Its transaction id or its ord does not exist here: before a failover or a move."""
    marked(db)
    before = db.execute("SELECT marks, heads FROM penstock.queue").fetchone()
    desk.enqueue(db, 5)
    assert db.execute(PUBLISH, started).fetchone() == (0,)
    assert db.execute("SELECT marks, heads FROM penstock.queue").fetchone() == before


OUTDATED = {
    "job_id_seq of job": ("job_id_seq", "UPDATE penstock.job SET id = id + 900 WHERE id = 1"),
    "job_id_seq of dead": (
        "job_id_seq",
        """INSERT INTO penstock.dead (id, queue, priority, attempt,
        max_attempts, crashes, created_at, died_at, reason, task, args)
        VALUES (901, 1, 1, 1, 1, 0, now(), now(), 'old', 'work', '{}')""",
    ),
    "job_id_seq of outcome": (
        "job_id_seq",
        """INSERT INTO penstock.outcome (job_id, created_at, finished_at, queue,
        attempt, max_attempts, crashes, priority, final, state, task)
        VALUES (901, now(), now(), 1, 1, 1, 0, 1, true, 'completed', 'work')""",
    ),
    "job_ord_seq of job": ("job_ord_seq", "UPDATE penstock.job SET ord = 901 WHERE id = 1"),
    "job_ord_seq of marks": ("job_ord_seq", "UPDATE penstock.queue SET marks = '{1,901,1,1}'"),
    "job_ord_seq of heads": ("job_ord_seq", "UPDATE penstock.queue SET heads = '{1,1,1,901}'"),
    "queue_id_seq": ("queue_id_seq", "INSERT INTO penstock.queue (id, name) OVERRIDING SYSTEM VALUE SELECT 901, 'far'"),
    "limit_return_id_seq": (
        "limit_return_id_seq",
        "INSERT INTO penstock.limit_return (id, queue, amount) OVERRIDING SYSTEM VALUE VALUES (901, 1, 1)",
    ),
}


@pytest.mark.parametrize("which", OUTDATED)
def test_a_sequence_that_lags_its_table_is_named_and_set_ahead(which, pg_newest, newest):
    """By the audit and by `penstock migrate`; a sound one is left alone."""
    name, change = OUTDATED[which]
    desk.enqueue(newest)
    assert (integrity(newest)["sequences"], audit(newest, "sequences")) == ([], 0)
    newest.execute(change.encode())
    (found,) = integrity(newest)["sequences"]
    assert (found["sequence"], found["highest"]) == (name, 901)
    migrate(pg_newest.url)
    assert newest.execute(f"SELECT last_value > 901 FROM penstock.{name}".encode()).fetchone() == (True,)
    assert (integrity(newest)["sequences"], audit(newest, "sequences")) == ([], 0)


def test_a_number_that_somebody_wrote_by_hand_does_not_use_a_sequence_up(newest):
    """Above two to the power of 62 nothing of ours has ever been."""
    desk.enqueue(newest)
    newest.execute("UPDATE penstock.job SET id = 9223372036854775807")
    assert audit(newest, "sequences") == 0
    assert desk.enqueue(newest) == [2]


def test_the_horizon_of_another_cluster_holds_no_limit_up(newest):
    """A limit that was turned on before the copy was made: counted by a transaction of this cluster."""
    worker = desk.register(newest)
    desk.enqueue(newest, 3)
    newest.execute("SELECT penstock.set_limit(%s, 2)", [worker.queue])
    newest.execute("UPDATE penstock.queue_limit SET horizon = %s", [FAR])
    desk.until(lambda: newest.execute("SELECT penstock.count_limits()").fetchone() == (0,))
    assert len(newest.execute(desk.CLAIM, [worker.id, worker.queue, 5, desk.token()]).fetchall()) == 2


def test_the_horizon_of_another_cluster_keeps_no_idle_queue(newest):
    """It is taken again here, so that the queue can go."""
    old = "INSERT INTO penstock.queue (name, idle_since, idle_horizon) VALUES ('old', now() - interval '9 d', %s)"
    newest.execute(old, [FAR])
    newest.execute("UPDATE penstock.queue_slot SET queue = (SELECT id FROM penstock.queue) WHERE slot = 1")
    desk.until(lambda: newest.execute("SELECT penstock.prune_queues()").fetchone() == (1,))


def test_a_worker_that_a_failover_forgot_shares_nothing_with_the_next_of_its_number(pg_newest, newest):
    """The sequence gives the number again; the forgotten process is refused everywhere and changes nothing."""
    old = desk.register(newest)
    newest.execute("DELETE FROM penstock.worker")
    start_again(newest, "worker_id_seq")
    new = desk.register(newest)
    assert new.id != old.id
    assert new.id // 10**9 == old.id // 10**9
    before = newest.execute("SELECT * FROM penstock.worker").fetchall()
    registry = WorkerRegistry(pg_newest.url)
    try:
        assert registry.renew(old.id, lease=9, claims=[], in_flight={}, done={}, drained=False).state is None
        assert registry.start_drain(old.id) is None
        registry.deregister(old.id, empty=True)
        registry.deregister(old.id, empty=False)
    finally:
        registry.close()
    with pytest.raises(psycopg.Error, match="not running with a live lease"):
        newest.execute(desk.CLAIM, [old.id, old.queue, 1, desk.token()])
    assert newest.execute("SELECT * FROM penstock.worker").fetchall() == before


def test_a_job_of_a_number_that_was_given_before_is_not_touched_by_its_old_attempt(newest):
    """Every word of an attempt carries its claim's token, which is drawn at random and not by a sequence."""
    worker, token = desk.register(newest), desk.token()
    (lost,) = desk.enqueue(newest)
    newest.execute(desk.CLAIM, [worker.id, worker.queue, 1, token])
    newest.execute("DELETE FROM penstock.job")
    start_again(newest, "job_id_seq", "job_ord_seq")
    assert desk.enqueue(newest) == [lost]
    newest.execute(desk.CLAIM, [worker.id, worker.queue, 1, desk.token()])
    query = "SELECT to_jsonb(j) FROM penstock.job AS j"
    before = newest.execute(query).fetchall()
    for state in ("completed", "failed", "retry", "snooze", "cancelled"):
        said = newest.execute(desk.ACK, [worker.id, [lost], [token], [state]]).fetchall()
        assert said == [(lost, token, None)]
    assert newest.execute("SELECT penstock.complete(%s, %s, %s, 1)", [worker.id, lost, token]).fetchone() == (False,)
    assert newest.execute(desk.RELEASE, [worker.id, [lost], [token]]).fetchone() == (0,)
    assert newest.execute(desk.RELEASE_CLAIM, [worker.id, worker.queue, token]).fetchone() == (0,)
    assert newest.execute("SELECT penstock.end_refused(%s, %s, %s, '{}')", [worker.id, lost, token]).fetchone() == (
        None,
    )
    assert newest.execute(desk.RENEW, [worker.id, 60, [lost], [token]]).fetchone()[1] == [lost]
    assert newest.execute(query).fetchall() == before


def corrections(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What the maintenance says that it has corrected."""
    return [record.getMessage() for record in caplog.records if " of the " in record.getMessage()]


async def test_maintenance_corrects_a_copy_as_soon_as_it_leads(pg_newest, newest, caplog):
    """At its first round, and says so; the next one finds nothing."""
    worker = marked(newest)
    start_again(newest, "job_ord_seq", "job_id_seq")
    newest.execute("SELECT setval('penstock.job_id_seq', 1000)")
    desk.enqueue(newest, 5)
    async with Store(pg_newest.url, lanes=1) as store:
        maintenance = Maintenance(store=store, holder="x", lease=15, clock=lambda: 0.0)
        await maintenance._cleanup()
        said = corrections(caplog)
        await maintenance._cleanup()
        assert len(corrections(caplog)) == len(said) == 2
        assert len(await desk.claim_some(store, worker)) == 5
    assert "1 of the sequences" in said[0]
    assert "1 of the queues with jobs below" in said[1]


async def test_a_claim_of_a_forgotten_worker_is_refused_by_name(pg_newest, newest):
    """The process registers again; nothing of the new one is touched."""
    old = desk.register(newest)
    newest.execute("DELETE FROM penstock.worker")
    async with Store(pg_newest.url, lanes=1) as store:
        with pytest.raises(ClaimRefused):
            await desk.claim_some(store, old)
