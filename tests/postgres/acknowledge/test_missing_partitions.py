"""No partition for today: a restored dump, maintenance that was absent for two weeks, a step of the clock, a detach.

Whatever writes an outcome makes the partition and stores it; nothing stays running, no attempt is lost.
"""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from penstock import JobState
from penstock.errors import PartitionMissing
from penstock.job import Finished, OutcomeState
from penstock.store import Store, migrate
from penstock.store.errors import translate
from tests.postgres import desk, jobs

OUTCOMES = "SELECT state FROM penstock.outcome"
PARTITIONS = "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'penstock.outcome'::regclass"


def partitions(db: psycopg.Connection[Any]) -> list[str]:
    return [name for (name,) in db.execute(PARTITIONS)]


def drop(db: psycopg.Connection[Any]) -> None:
    """As in a dump from two weeks ago."""
    db.execute(f"DROP TABLE {', '.join(partitions(db))}".encode())


def detach(db: psycopg.Connection[Any]) -> None:
    """By hand: the tables are there, and no partitions of ours."""
    for name in partitions(db):
        db.execute(f"ALTER TABLE penstock.outcome DETACH PARTITION {name}".encode())


def leave_a_hole(db: psycopg.Connection[Any]) -> None:
    """The clock was ahead: later days are there."""
    today = db.execute("SELECT 'penstock.outcome_' || to_char(now() AT TIME ZONE 'UTC', 'YYYYMMDD')").fetchone()
    assert today is not None
    db.execute(f"DROP TABLE {today[0]}".encode())


LOSSES = {"dropped": drop, "detached": detach, "a hole": leave_a_hole}


@pytest.mark.parametrize("state", ["completed", "failed", "retry", "cancelled"])
@pytest.mark.parametrize("loss", LOSSES)
async def test_the_missing_partition_is_made_and_the_outcome_stored(loss, state, pg_newest, newest):
    """Every kind of outcome, at its first acknowledgement."""
    worker = desk.register(newest)
    desk.enqueue(newest)
    LOSSES[loss](newest)
    async with Store(pg_newest.url, lanes=1) as store:
        (job,) = await desk.claim_some(store, worker)
        assert await store.jobs.ack(worker.id, [Finished(job=job, state=OutcomeState(state))]) == []
    assert newest.execute(OUTCOMES).fetchall() == [(state,)]
    assert newest.execute("SELECT count(*) FROM penstock.job WHERE token IS NOT NULL").fetchone() == (0,)


WRITERS = {
    "cancel": "SELECT penstock.cancel_jobs(ARRAY[2::bigint])",
    "release of a job flagged cancel": "SELECT penstock.release(%(worker)s, '{1}', ARRAY[%(token)s::bigint])",
    "rescue of a job flagged cancel": "SELECT penstock.reclaim(ARRAY[%(worker)s::bigint])",
}


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("writer", WRITERS)
def test_what_else_writes_an_outcome_makes_the_partition_too(writer, loss, newest):
    """Job 1 runs and is flagged cancel, job 2 waits."""
    worker, token = desk.register(newest), desk.token()
    desk.enqueue(newest, 2)
    newest.execute(desk.CLAIM, [worker.id, worker.queue, 1, token])
    newest.execute("UPDATE penstock.job SET cancel = true WHERE token IS NOT NULL")
    LOSSES[loss](newest)
    newest.execute(WRITERS[writer].encode(), {"worker": worker.id, "token": token})
    assert newest.execute(OUTCOMES).fetchall() == [("cancelled",)]


def test_two_acknowledgements_at_once_make_one_partition(play, db):
    """The second waits 100 ms at most for the first, then its caller repeats it; afterwards both are stored."""
    worker = desk.register(db)
    ids, token = desk.enqueue(db, 2), desk.token()
    db.execute(desk.CLAIM, [worker.id, worker.queue, 2, token])
    drop(db)
    a, b = play.connection("a"), play.connection("b")
    a.start_transaction()
    assert desk.ack(a, worker, ids[:1], token).finish() == []
    step = desk.ack(b, worker, ids[1:], token)
    with pytest.raises(psycopg.errors.CheckViolation) as refused:
        step.finish()
    assert isinstance(translate(refused.value, "ack"), PartitionMissing)
    a.commit()
    assert desk.ack(b, worker, ids[1:], token).finish() == []
    assert db.execute(OUTCOMES).fetchall() == [("completed",)] * 2


def test_an_acknowledgement_that_rolls_back_leaves_the_partition_to_the_next(play, db):
    """Made and rolled back with the outcome."""
    worker = desk.register(db)
    ids, token = desk.enqueue(db, 1), desk.token()
    db.execute(desk.CLAIM, [worker.id, worker.queue, 1, token])
    drop(db)
    a, b = play.connection("a"), play.connection("b")
    a.start_transaction()
    desk.ack(a, worker, ids, token).finish()
    a.rollback()
    assert partitions(db) == []
    assert desk.ack(b, worker, ids, token).finish() == []


def test_a_partition_made_by_hand_is_left_alone(db):
    """It covers its days; the days around it get theirs."""
    drop(db)
    db.execute("CREATE TABLE wide (LIKE penstock.outcome INCLUDING ALL)")
    db.execute(
        "DO $$ BEGIN EXECUTE format('ALTER TABLE penstock.outcome ATTACH PARTITION wide FOR VALUES FROM (%L) TO "
        "(%L)', now() - interval '1 day', now() + interval '2 days'); END $$"
    )
    assert db.execute("SELECT penstock.make_partitions(14)").fetchone()[0] >= 10
    assert "wide" in partitions(db)
    (job,) = desk.enqueue(db)
    db.execute("SELECT penstock.cancel_jobs(ARRAY[%s::bigint])", [job])
    assert db.execute("SELECT state FROM wide").fetchall() == [("cancelled",)]


def test_a_worker_ends_its_jobs_on_a_database_whose_partitions_are_gone(start, pg_newest, newest):
    """The plain task at once; the one in its job's transaction is repeated, and the attempt does not count."""
    migrate(pg_newest.url)
    newest.execute("CREATE TABLE booking (job bigint NOT NULL, amount int NOT NULL)")
    start(concurrency=1)
    for enqueue in (lambda: jobs.add.enqueue(1, 2), lambda: jobs.book.enqueue(7)):
        drop(newest)
        handle = enqueue()
        desk.until(lambda: handle.status() is JobState.COMPLETED)  # noqa: B023 - ends before the next one
        assert handle.info().attempt == 1
    assert newest.execute("SELECT amount FROM booking").fetchall() == [(7,)]
