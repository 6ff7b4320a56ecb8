"""Depth: a sample is exact below the cap, honest above it, and its cost does not grow with a deep queue."""

from __future__ import annotations

import json
from typing import Any

import psycopg

from tests.postgres import desk

SAMPLE = "SELECT name, ready, capped, in_flight, oldest FROM penstock.snapshot(%s, 15) ORDER BY name"
READ = "SELECT coalesce(sum(idx_tup_fetch), 0)::bigint FROM pg_stat_user_tables WHERE relname = 'job'"


def sample(db: psycopg.Connection[Any], cap: int) -> tuple[Any, ...]:
    """Ready, capped, in flight and age of the oldest of queue q."""
    rows: dict[str, tuple[Any, ...]] = {row[0]: row[1:] for row in db.execute(SAMPLE, [cap]).fetchall()}
    return rows["q"]


def report(db: psycopg.Connection[Any], worker: desk.Worker, in_flight: int) -> None:
    """What the worker's last renewal said."""
    db.execute("UPDATE penstock.worker SET in_flight = %s WHERE id = %s", [json.dumps({"q": in_flight}), worker.id])


def claim(db: psycopg.Connection[Any], worker: desk.Worker, count: int) -> list[int]:
    return [row[0] for row in db.execute(desk.CLAIM, [worker.id, worker.queue, count, desk.token()]).fetchall()]


def publish(db: psycopg.Connection[Any]) -> None:
    """Marks and heads, as maintenance without open writers publishes them."""
    row = db.execute("SELECT last_ord, horizon FROM penstock.begin_marks()").fetchone()
    desk.until(lambda: db.execute("SELECT penstock.publish_marks(%s, %s)", row).fetchone() != (None,))


def rows_read(db: psycopg.Connection[Any]) -> int:
    """Rows of `job` that were fetched through an index so far, in all sessions that have reported."""
    db.execute("SELECT pg_stat_force_next_flush()")
    db.execute("SELECT pg_stat_clear_snapshot()")
    found = db.execute(READ).fetchone()
    assert found is not None
    return int(found[0])


def test_below_the_cap_ready_and_in_flight_are_counted_whatever_workers_report(db):
    """Reports that are old, too low or too high, change nothing: zero in flight is zero in flight."""
    worker = desk.register(db)
    desk.enqueue(db, 20, p_priorities=[n % 4 for n in range(20)])
    claim(db, worker, 8)
    for maximum in (0, 8, 50):
        report(db, worker, maximum)
        assert sample(db, 100)[:3] == (12, False, 8)
    report(db, worker, 7)
    db.execute("DELETE FROM penstock.job")
    assert sample(db, 100) == (0, False, 0, None)


def test_above_the_cap_ready_is_the_cap_and_in_flight_what_workers_report(db):
    """And the oldest is the first row that is not claimed."""
    worker = desk.register(db)
    desk.enqueue(db, 50)
    claim(db, worker, 10)
    report(db, worker, 10)
    db.execute("UPDATE penstock.job SET ready_at = ready_at - interval '1 hour' WHERE token IS NOT NULL")
    db.execute(
        "UPDATE penstock.job SET ready_at = ready_at - interval '1 minute' "
        "WHERE ord = (SELECT min(ord) FROM penstock.job WHERE token IS NULL)"
    )
    ready, capped, in_flight, oldest = sample(db, 5)
    assert (ready, capped, in_flight) == (6, True, 10)
    assert 60 <= oldest < 3600


def test_running_jobs_that_were_reported_are_not_taken_for_ready_ones(db):
    """More running than the cap, fewer ready: the count continues after them and both are exact."""
    worker = desk.register(db)
    desk.enqueue(db, 33)
    claim(db, worker, 30)
    report(db, worker, 30)
    assert sample(db, 5)[:3] == (3, False, 30)


def test_no_row_lies_below_a_head_and_a_sample_from_there_misses_none(db):
    """Through claims, ends in the middle, releases and an emptied queue."""
    worker = desk.register(db)
    below = """SELECT count(*) FROM penstock.job AS j JOIN penstock.queue AS q ON q.id = j.queue
               WHERE j.ord IS NOT NULL AND j.ord < q.heads[j.priority + 1]"""
    first = desk.enqueue(db, 12, p_priorities=[n % 4 for n in range(12)])
    steps = (
        lambda: claim(db, worker, 6),
        lambda: db.execute("DELETE FROM penstock.job WHERE id = ANY (%s) AND token IS NOT NULL", [first[2:9]]),
        lambda: db.execute(
            "SELECT penstock.release(%s, array_agg(id), array_agg(token)) FROM penstock.job WHERE token IS NOT NULL",
            [worker.id],
        ),
        lambda: desk.enqueue(db, 5),
        lambda: db.execute("DELETE FROM penstock.job"),
        lambda: desk.enqueue(db, 3),
    )
    for step in steps:
        step()
        publish(db)
        assert db.execute(below).fetchone() == (0,)
        exact = db.execute(
            "SELECT count(*) FILTER (WHERE token IS NULL), false, count(*) FILTER (WHERE token IS NOT NULL) "
            "FROM penstock.job WHERE ord IS NOT NULL"
        ).fetchone()
        assert sample(db, 100)[:3] == exact


def test_a_sample_of_deep_queues_reads_one_row_of_each(db):
    """Thirty queues above the cap, vacuumed: the counts come from the index alone, and the oldest from one row."""
    names = [f"deep-{n % 30}" for n in range(3000)]
    db.execute(
        "SELECT penstock.enqueue_many(%s, array_fill('work'::text, ARRAY[3000]), array_fill('{}'::jsonb, ARRAY[3000]))",
        [names],
    )
    vacuumed = "SELECT relallvisible = relpages FROM pg_class WHERE oid = 'penstock.job'::regclass"
    desk.until(lambda: db.execute("VACUUM penstock.job") and db.execute(vacuumed).fetchone() == (True,))
    before = rows_read(db)
    rows = db.execute(SAMPLE, [50]).fetchall()
    assert [row[1:4] for row in rows] == [(51, True, 0)] * 30
    assert rows_read(db) - before == 30


def test_under_a_long_snapshot_a_sample_reads_no_dead_entries(play, db):
    """5,000 jobs come and go while a reader's snapshot keeps their index entries: none lies above the heads."""
    worker = desk.register(db)
    db.execute("ALTER TABLE penstock.job SET (autovacuum_enabled = off)")
    reader = play.connection("reader")
    reader.start_transaction("REPEATABLE READ")
    reader.run("SELECT count(*) FROM penstock.job")
    desk.enqueue(db, 5000)
    claim(db, worker, 5000)
    db.execute("DELETE FROM penstock.job")
    desk.enqueue(db, 1)

    def entries() -> int:
        db.execute("SELECT pg_stat_force_next_flush()")
        db.execute("SELECT pg_stat_clear_snapshot()")
        found = db.execute("SELECT idx_tup_read FROM pg_stat_user_indexes WHERE indexrelname = 'job_pick'").fetchone()
        assert found is not None
        return int(found[0])

    start = entries()
    assert sample(db, 100)[:3] == (1, False, 0)
    without = entries() - start
    publish(db)
    start = entries()
    assert sample(db, 100)[:3] == (1, False, 0)
    assert without >= 5000
    assert entries() - start < 100
