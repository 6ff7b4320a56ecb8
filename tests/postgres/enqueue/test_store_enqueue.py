"""Enqueue: what is written, in whose transaction, and what is refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from penstock.errors import (
    RejectedByDatabase,
)
from penstock.job import JobState
from penstock.store import (
    AsyncClient,
    enqueue_on,
    enqueue_on_async,
)
from tests.postgres import desk


def test_ids_come_in_the_order_of_the_jobs_across_queues(client, db):
    """A bulk enqueue over two queues answers position by position."""
    jobs = [desk.new(queue=f"q{n % 2}", args=f'{{"n": {n}}}') for n in range(20)]
    ids = client.enqueue(jobs)
    rows = db.execute("SELECT args FROM penstock.job ORDER BY id").fetchall()
    assert ids == sorted(ids)
    assert [row[0]["n"] for row in rows] == list(range(20))


def test_an_enqueue_in_the_callers_transaction_is_committed_and_rolled_back_with_it(pg, db):
    """The job is there exactly when the caller's own write is."""
    with pg.connect() as connection:
        with connection.transaction():
            (kept,) = enqueue_on(connection, [desk.new()])
        with pytest.raises(ZeroDivisionError), connection.transaction():
            enqueue_on(connection, [desk.new()])
            raise ZeroDivisionError
    assert [row[0] for row in db.execute("SELECT id FROM penstock.job")] == [kept]


async def test_an_async_connection_carries_an_enqueue_too(pg, db):
    """The same inside an asynchronous transaction."""
    async with await psycopg.AsyncConnection.connect(pg.url) as connection:
        (kept,) = await enqueue_on_async(connection, [desk.new()])
        assert desk.state_of(db, kept) == "gone"
    assert desk.state_of(db, kept) == "queued"


async def test_the_async_client_enqueues_and_looks_up(pg):
    """An id in, the job's state out; an id that nobody has gives None."""
    client = AsyncClient(pg.url)
    try:
        (job,) = await client.enqueue([desk.new(priority=2, headers='{"trace": "x"}')])
        info = await client.info(job)
        assert info is not None
        assert (info.state, info.priority, info.headers) == (JobState.QUEUED, 2, {"trace": "x"})
        assert await client.info(job + 1000) is None
    finally:
        await client.close()


def test_delay_and_time_defer_on_the_databases_clock(client, db):
    """A delay and a time ahead are scheduled; a time that has passed is ready at once."""
    ahead, past = datetime.now(UTC) + timedelta(hours=1), datetime.now(UTC) - timedelta(hours=1)
    jobs = client.enqueue([desk.new(delay=60), desk.new(at=ahead), desk.new(at=past), desk.new(delay=0)])
    assert [desk.state_of(db, job) for job in jobs] == ["scheduled", "scheduled", "queued", "queued"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"priority": 4},
        {"priority": -1},
        {"queue": "no spaces"},
        {"queue": ""},
        {"args": "{"},
        {"task": ""},
        {"max_attempts": 0},
    ],
    ids=str,
)
def test_a_value_that_breaks_a_rule_is_refused_whole(wrong, client, db):
    """One wrong job among right ones: one error, nothing written, no queue made."""
    with pytest.raises(RejectedByDatabase):
        client.enqueue([desk.new(), desk.new(**wrong), desk.new()])
    assert db.execute(
        "SELECT (SELECT count(*) FROM penstock.job), (SELECT count(*) FROM penstock.queue)"
    ).fetchone() == (0, 0)


def test_the_queues_max_attempts_hold_where_a_job_says_nothing(client, db):
    """The options' come first, then the queue's."""
    client.enqueue([desk.new()])
    db.execute("UPDATE penstock.queue SET max_attempts = 7")
    client.enqueue([desk.new(), desk.new(max_attempts=2)])
    rows = db.execute("SELECT max_attempts FROM penstock.job ORDER BY id").fetchall()
    assert rows == [(5,), (7,), (2,)]


def test_a_plain_sql_call_enqueues(db):
    """Any language can: one function, named arguments."""
    row = db.execute(
        """SELECT penstock.enqueue('emails', 'send', '{"user": 1}', p_priority => 0::smallint)"""
    ).fetchone()
    assert desk.state_of(db, row[0]) == "queued"
