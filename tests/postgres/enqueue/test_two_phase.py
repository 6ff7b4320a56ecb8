"""Two-phase commit: a transaction that is to be prepared may not have sent a wake-up; without one, jobs are found."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import psycopg
import psycopg2
import pytest
import sqlalchemy

from penstock import App
from penstock.job import NewJob
from tests.support.postgres import Database

app = App()


@app.task(name="send", queue="emails")
def send(order: int) -> None: ...


@pytest.fixture
def db(pg_newest: Database) -> Iterator[psycopg.Connection]:
    """Somebody waits at the queue, so an enqueue sends a wake-up."""
    with pg_newest.connect() as connection:
        if connection.execute("SHOW max_prepared_transactions").fetchone() == ("0",):
            pytest.skip("max_prepared_transactions is 0 on this server")
        connection.execute("SELECT penstock.enqueue('emails', 'send', '{\"order\": 0}')")
        connection.execute("DELETE FROM penstock.job")
        connection.execute("UPDATE penstock.queue SET workers_waiting_until = clock_timestamp() + interval '1 hour'")
        yield connection


def kept(db: psycopg.Connection) -> list[int]:
    return [row[0]["order"] for row in db.execute("SELECT args FROM penstock.job ORDER BY id").fetchall()]


def test_a_transaction_that_sent_a_wake_up_cannot_be_prepared(pg_newest, db):
    """Which is Postgres' rule, and why the option is there."""
    with closing(psycopg.connect(pg_newest.url)) as opened:
        opened.tpc_begin("two")
        send.options(connection=opened).enqueue(1)
        with pytest.raises(psycopg.errors.FeatureNotSupported, match="NOTIFY"):
            opened.tpc_prepare()


def test_without_a_wake_up_it_is_prepared_and_its_jobs_are_there_with_its_commit(pg_newest, db):
    """One job, many, those with a key, a thousand at once; rolled back, they never were."""
    with psycopg.connect(pg_newest.url) as opened:
        for number, finish in enumerate((opened.tpc_commit, opened.tpc_rollback)):
            opened.tpc_begin(opened.xid(1, f"g{number}", db.info.dbname))
            send.options(connection=opened, wake=False).enqueue(1)
            app.enqueue_many([send.job(2), send.job(3)], connection=opened, wake=False)
            app.enqueue_many([send.job(4) for _ in range(1000)], connection=opened, wake=False)
            opened.tpc_prepare()
            assert len(kept(db)) == 1003 * number
            finish()
    assert kept(db)[:4] == [1, 2, 3, 4]


async def test_other_drivers_prepare_it_too(pg_newest, db):
    """psycopg2, psycopg in asyncio, SQLAlchemy; above READ COMMITTED, where a wake-up would always be sent."""
    with closing(psycopg2.connect(pg_newest.url)) as opened:
        opened.tpc_begin(opened.xid(2, "g", db.info.dbname))
        send.options(connection=opened, wake=False).enqueue(1)
        opened.tpc_prepare()
        opened.tpc_commit()
    async with await psycopg.AsyncConnection.connect(pg_newest.url) as connection:
        await connection.set_isolation_level(psycopg.IsolationLevel.SERIALIZABLE)
        await connection.tpc_begin(connection.xid(3, "g", db.info.dbname))
        await send.options(connection=connection, wake=False).enqueue_async(2)
        await connection.tpc_prepare()
        await connection.tpc_commit()
    engine = sqlalchemy.create_engine(pg_newest.url.replace("postgresql:", "postgresql+psycopg:"))
    with engine.connect() as wrapped, wrapped.begin_twophase() as both:
        send.options(connection=wrapped, wake=False).enqueue(3)
        both.prepare()
        both.commit()
    engine.dispose()
    assert kept(db) == [1, 2, 3]


def test_a_quiet_enqueue_does_not_silence_the_next_one(pg_newest, db):
    """The setting is the call's, not the transaction's; on the App's own connections too."""
    db.execute("LISTEN penstock_work")
    with App(pg_newest.url) as own, psycopg.connect(pg_newest.url) as opened:
        own.enqueue_many([NewJob(task="send", args='{"order": 1}', queue="emails")], wake=False)
        send.options(connection=opened, wake=False).enqueue(2)
        opened.commit()
        db.execute("SELECT 1")
        assert list(db.notifies(timeout=0)) == []
        send.options(connection=opened, wake=False).enqueue(3)
        send.options(connection=opened).enqueue(4)
        opened.commit()
        assert len(list(db.notifies(timeout=60, stop_after=1))) == 1
