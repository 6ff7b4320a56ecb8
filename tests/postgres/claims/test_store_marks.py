"""Marks: where a claim's scan starts. Exact under every order: no row is ever below its mark and unclaimed."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from tests.postgres import desk

BEGIN = "SELECT last_ord, horizon FROM penstock.begin_marks()"
PUBLISH = "SELECT penstock.publish_marks(%s, %s)"
BELOW = """SELECT count(*) FROM penstock.job AS j JOIN penstock.queue AS q ON q.id = j.queue
           WHERE j.ord IS NOT NULL AND j.token IS NULL AND j.ord < q.marks[j.priority + 1]"""


def publish(db: psycopg.Connection[Any]) -> list[int]:
    """Marks as maintenance without open writers publishes them; those of queue q."""
    row = db.execute(BEGIN).fetchone()
    desk.until(lambda: db.execute(PUBLISH, row).fetchone() != (None,))
    marks = db.execute("SELECT marks FROM penstock.queue WHERE name = 'q'").fetchone()
    assert marks is not None
    published: list[int] = marks[0]
    return published


def ord_of(db: psycopg.Connection[Any], job: int) -> int:
    row = db.execute("SELECT ord FROM penstock.job WHERE id = %s", [job]).fetchone()
    assert row is not None
    return int(row[0])


def test_a_mark_is_the_lowest_unclaimed_row_of_its_level(play, db):
    """Claimed rows are stepped over; an empty level has the last ord."""
    worker, ids = desk.register(db), desk.enqueue(db, 5)
    desk.claim(play.connection("a"), worker, 2, desk.token()).finish()
    marks = publish(db)
    assert marks[1] == ord_of(db, ids[2])
    assert marks[0] == marks[2] == marks[3] == ord_of(db, ids[4])


def test_a_claim_starts_at_the_mark_and_finds_everything_above(play, db):
    """Nothing is lost by starting late."""
    worker, ids = desk.register(db), desk.enqueue(db, 5)
    a = play.connection("a")
    desk.claim(a, worker, 2, desk.token()).finish()
    publish(db)
    assert [row[0] for row in desk.claim(a, worker, 10, desk.token()).finish()] == ids[2:]


def test_no_mark_is_published_while_a_writer_is_open_that_may_bring_a_lower_row(play, db):
    """It drew its ord before and commits after: publishing waits for it, and then the mark lies at its row."""
    writer = play.connection("writer")
    desk.enqueue(db, 1)
    writer.start_transaction()
    ((slow,),) = writer.run(desk.ENQUEUE)
    desk.enqueue(db, 3)
    row = db.execute(BEGIN).fetchone()
    assert db.execute(PUBLISH, row).fetchone() == (None,)
    writer.commit()
    desk.until(lambda: db.execute(PUBLISH, row).fetchone() == (1,))  # a vacuum of the server's may be open too
    assert db.execute(BELOW).fetchone() == (0,)
    worker = desk.register(db)
    assert slow in [r[0] for r in desk.claim(writer, worker, 10, desk.token()).finish()]


def test_a_claim_in_flight_that_rolls_back_is_not_left_below_the_mark(play, db):
    """A plain read sees the row that is being claimed as unclaimed, so the mark stays at it."""
    worker, ids = desk.register(db), desk.enqueue(db, 3)
    a, b = play.connection("a"), play.connection("b")
    row = db.execute(BEGIN).fetchone()
    a.start_transaction()
    desk.claim(a, worker, 3, desk.token()).finish()
    # The claimer has an id of its own by now, but a later one than the horizon.
    desk.until(lambda: db.execute(PUBLISH, row).fetchone() == (1,))
    a.rollback()
    assert [r[0] for r in desk.claim(b, worker, 10, desk.token()).finish()] == ids


@pytest.mark.parametrize("way", ["release", "retry", "rescue", "redrive"])
def test_whatever_becomes_ready_again_lies_above_every_mark(way, play, db):
    """Each way into ready draws a fresh ord."""
    worker, ids = desk.register(db), desk.enqueue(db, 2)
    token = desk.token()
    a = play.connection("a")
    desk.claim(a, worker, 2, token).finish()
    publish(db)
    desk.enqueue(db, 1)
    publish(db)
    if way == "release":
        a.run(desk.RELEASE, [worker.id, ids, [token] * 2])
    elif way == "rescue":
        desk.lead_for_long(db)
        desk.lapse(db, worker)
        a.run(desk.RESCUE, ["leader", desk.QUIET_LEASE])
    else:
        desk.ack(a, worker, ids, token, "retry" if way == "retry" else "failed").finish()
        a.run("SELECT penstock.redrive(%s)", [ids])
    db.execute("UPDATE penstock.job SET due_at = clock_timestamp() WHERE due_at IS NOT NULL")
    a.run(desk.PROMOTE)
    assert db.execute(BELOW).fetchone() == (0,)
    other = desk.register(db)
    assert len(desk.claim(a, other, 10, desk.token()).finish()) == 3


def test_an_older_publication_that_comes_late_is_only_slower(play, db):
    """A frozen leader publishes what it started with: lower marks, and still none above an unclaimed row."""
    worker, ids = desk.register(db), desk.enqueue(db, 4)
    old = db.execute(BEGIN).fetchone()
    a = play.connection("a")
    desk.claim(a, worker, 3, desk.token()).finish()
    publish(db)
    desk.enqueue(db, 2)
    publish(db)
    db.execute(PUBLISH, old)
    assert db.execute(BELOW).fetchone() == (0,)
    assert ids[3] in [r[0] for r in desk.claim(a, worker, 10, desk.token()).finish()]


def test_under_an_open_snapshot_a_claim_with_a_mark_reads_no_dead_entries(play, db):
    """20,000 jobs come and go while a reader's snapshot keeps their index entries: no claim walks them."""
    worker = desk.register(db)
    db.execute("ALTER TABLE penstock.job SET (autovacuum_enabled = off)")
    reader, a = play.connection("reader"), play.connection("a")
    reader.start_transaction("REPEATABLE READ")
    reader.run("SELECT count(*) FROM penstock.job")
    for _ in range(4):
        desk.enqueue(db, 5000)
        for _ in range(10):
            token = desk.token()
            ids = [row[0] for row in desk.claim(a, worker, 500, token).finish()]
            desk.ack(a, worker, ids, token).finish()

    def entries(reads: int) -> int:
        """Index entries that one claim of a single job reads; what `db` read when it published is counted before."""
        db.execute("SELECT pg_stat_force_next_flush()")
        db.execute("SELECT 1")
        before = read(a)
        desk.enqueue(db, 1)
        for _ in range(reads):
            desk.claim(a, worker, 1, desk.token()).finish()
        return read(a) - before

    def read(connection) -> int:
        connection.run("SELECT pg_stat_force_next_flush()")
        connection.run("SELECT 1")
        query = "SELECT idx_tup_read FROM pg_stat_user_indexes WHERE indexrelname = 'job_pick'"
        return int(play.query(query)[0][0])

    without = entries(1)
    publish(db)
    assert without >= 20_000
    assert entries(1) < 100
