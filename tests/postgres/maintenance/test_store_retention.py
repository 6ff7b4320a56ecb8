"""Old partitions go while acknowledgements run and readers read: none waits for it longer than 150 ms.

Asserted by the server: an acknowledgement that waits longer for a lock is ended by its lock_timeout. The waits are
forced, so a store that waits longer does so each time; a machine that stood still for 50 ms is heard again.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

import psycopg
import pytest

from tests.postgres import desk
from tests.postgres.interleave import Connection, DidNotWait

BOUND = "SET lock_timeout = '150ms'"
DROP = "SELECT penstock.drop_partitions()"
OLD = ("20200101", "20200102", "20200103")


@pytest.fixture
def old(db: psycopg.Connection) -> list[str]:
    """Partitions of days long past, with those of now."""
    for day in OLD:
        db.execute(f"CREATE TABLE penstock.outcome_{day} (LIKE penstock.outcome INCLUDING ALL)".encode())
        db.execute(
            f"ALTER TABLE penstock.outcome ATTACH PARTITION penstock.outcome_{day} "
            f"FOR VALUES FROM ('{day} 00:00:00Z') TO (timestamptz '{day} 00:00:00Z' + interval '1 day')".encode()
        )
    return [f"penstock.outcome_{day}" for day in OLD]


def heard(scenario: Callable[[], None]) -> None:
    """Twenty times at most: a wait that is too long because of the store fails all of them.

    A scenario that came too late to see the wait, which lasts 100 ms, is repeated too.
    """
    for _ in range(19):
        with contextlib.suppress(psycopg.errors.LockNotAvailable, DidNotWait):
            return scenario()
    return scenario()


def run_one_job(connection: Connection, db: psycopg.Connection, worker: desk.Worker) -> None:
    """Enqueue, claim and acknowledge."""
    (job,), token = desk.enqueue(db), desk.token()
    assert [row[0] for row in desk.claim(connection, worker, 1, token).finish()] == [job]
    assert desk.ack(connection, worker, [job], token).finish() == []


READS = {
    "every partition": "SELECT count(*) FROM penstock.outcome",
    "the table alone": "LOCK TABLE ONLY penstock.outcome IN ACCESS SHARE MODE",
}


@pytest.mark.parametrize("reads", READS)
def test_acknowledgements_go_on_while_a_reader_is_open(reads, play, db, old):
    """Retention gives up within 100 ms, again and again; once the reader has gone it drops them, a day a call."""
    worker = desk.register(db)
    reader, maintenance, acks = play.connection("reader"), play.connection("maintenance"), play.connection("acks")
    acks.run(BOUND)
    reader.start_transaction()
    reader.run(READS[reads])

    def drop_and_ack() -> None:
        step = maintenance.start(DROP)
        try:
            run_one_job(acks, db, worker)
            while not step.ended:
                run_one_job(acks, db, worker)
        finally:
            assert step.finish() == [(0,)]

    for _ in range(4):
        heard(drop_and_ack)
    reader.commit()
    assert [maintenance.run(DROP) for _ in range(4)] == [[(1,)], [(1,)], [(1,)], [(0,)]]


def test_one_reading_of_the_clock_drops_one_day(db, old):
    """The oldest: where the clock has stepped ahead, every day seems old."""
    count = b"SELECT count(*) FROM pg_inherits WHERE inhparent = 'penstock.outcome'::regclass"
    (before,) = db.execute(count).fetchone() or (0,)
    assert db.execute(DROP.encode()).fetchone() == (1,)
    assert db.execute(count).fetchone() == (before - 1,)
    assert db.execute("SELECT to_regclass(%s)", [old[0]]).fetchone() == (None,)


def test_a_reader_of_all_followed_by_a_reader_of_one_does_not_double_the_wait(play, db, old):
    """A session that waits for the table must not start to wait for a partition after it."""
    worker = desk.register(db)
    reader, other, maintenance, acks = (play.connection(name) for name in ("reader", "other", "maintenance", "acks"))
    acks.run(BOUND)

    def leave_the_table_at_the_last_moment() -> None:
        (job,), token = desk.enqueue(db), desk.token()
        assert [row[0] for row in desk.claim(acks, worker, 1, token).finish()] == [job]
        for connection, table in ((reader, "ONLY penstock.outcome"), (other, old[0])):
            connection.start_transaction()
            connection.run(f"LOCK TABLE {table} IN ACCESS SHARE MODE")
        end = time.monotonic() + 0.085
        step = maintenance.start(DROP)
        try:
            step.blocks()
            acked = desk.ack(acks, worker, [job], token)
            desk.until(lambda: step.ended or time.monotonic() > end)
            reader.commit()
            assert acked.finish() == []
        finally:
            reader.commit()
            step.finish()
            other.commit()

    heard(leave_the_table_at_the_last_moment)


def test_a_partition_that_is_read_keeps_no_other_one(play, db, old):
    """What can go goes."""
    other, maintenance = play.connection("other"), play.connection("maintenance")
    other.start_transaction()
    other.run(f"LOCK TABLE {old[1]} IN ACCESS SHARE MODE")
    assert [maintenance.run(DROP) for _ in range(3)] == [[(1,)], [(1,)], [(0,)]]
    other.commit()
    assert maintenance.run(DROP) == [(1,)]


def test_a_read_of_every_partition_waits_no_longer_either(play, db, old):
    """A repeated acknowledgement and a renewal, while retention waits for the table."""
    worker = desk.register(db)
    (job,), token = desk.enqueue(db), desk.token()
    reader, maintenance, acks = play.connection("reader"), play.connection("maintenance"), play.connection("acks")
    acks.run(BOUND)
    desk.claim(acks, worker, 1, token).finish()
    assert desk.ack(acks, worker, [job], token).finish() == []
    reader.start_transaction()
    reader.run(READS["the table alone"])

    def ask_again_and_renew() -> None:
        step = maintenance.start(DROP)
        try:
            step.blocks_on(reader)
            assert desk.ack(acks, worker, [job], token).finish() == []
            acks.run(desk.RENEW, [worker.id, 60, [job], [token]])
        finally:
            assert step.finish() == [(0,)]

    heard(ask_again_and_renew)
