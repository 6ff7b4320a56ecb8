"""Through a real PgBouncer in transaction mode: everything but LISTEN, which has the direct URL.

One transaction of a client runs in one session of the server and the next in another.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import psycopg
import pytest
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from penstock import App, JobState
from penstock.errors import DatabaseUnavailable, StoreError
from penstock.job import Finished, NewJob, OutcomeState
from penstock.store import Store, WorkerRegistry, check_schema, migrate
from tests.postgres import desk, jobs
from tests.postgres.workers import WorkerProcess
from tests.support import pgbouncer
from tests.support.postgres import Database


@pytest.fixture
def pooled_url(pg_newest: Database) -> Iterator[str]:
    with pgbouncer.pooled(pg_newest.url) as url:
        yield url


@pytest.fixture
def db(pg_newest: Database) -> Iterator[psycopg.Connection]:
    with pg_newest.connect() as connection:
        yield connection


def new(number: int) -> NewJob:
    return NewJob(task="add", args=f'{{"a": {number}, "b": 1}}', queue="q")


def test_a_prepared_statement_of_the_session_does_not_survive_it(pooled_url):
    """What the other tests rest on: a connection that does not know of the pooler breaks."""
    default_client = psycopg.connect(pooled_url, autocommit=True, prepare_threshold=0)
    with default_client as connection, pytest.raises(psycopg.errors.InvalidSqlStatementName):
        for _ in range(pgbouncer.SERVER_CONNECTIONS):
            connection.execute("SELECT %s", [1])


def test_a_callers_connection_that_prepares_statements_learns_what_it_needs(pooled_url):
    """It is the caller's, so it stays as it is: one sentence instead of a statement that does not exist."""
    prepares = psycopg.connect(pooled_url, autocommit=True, prepare_threshold=0)
    with App() as app, prepares as connection, pytest.raises(StoreError, match="with prepare_threshold=None"):
        for number in range(pgbouncer.SERVER_CONNECTIONS):
            app.enqueue_many([new(number)], connection=connection)


async def test_asyncpg_without_its_cache_of_statements_enqueues_through_it(pooled_url, db):
    """In a transaction each time, in another session of the server each time; and through SQLAlchemy."""
    connection = await asyncpg.connect(pooled_url, statement_cache_size=0)
    with App() as app:
        for number in range(6):
            async with connection.transaction():
                await app.enqueue_many_async([new(number)], connection=connection)
        await connection.close()
        engine = create_async_engine(
            pooled_url.replace("postgresql:", "postgresql+asyncpg:"),
            poolclass=NullPool,
            connect_args={
                "statement_cache_size": 0,
                "prepared_statement_cache_size": 0,
                "prepared_statement_name_func": lambda: f"s{uuid.uuid4()}",
            },
        )
        for number in range(6):
            async with engine.begin() as connection:
                await app.enqueue_many_async([new(number)], connection=connection)
        await engine.dispose()
    assert db.execute("SELECT count(*) FROM penstock.job").fetchone() == (12,)


async def test_asyncpg_with_its_cache_of_statements_learns_what_it_needs(pooled_url):
    """Its second session has another statement of that name, or none."""
    with App() as app:
        opened = [await asyncpg.connect(pooled_url) for _ in range(pgbouncer.SERVER_CONNECTIONS + 1)]
        with pytest.raises(StoreError, match="asyncpg connection must be made with statement_cache_size=0"):
            for connection in opened * 3:
                await app.enqueue_many_async([new(0)], connection=connection)
        for connection in opened:
            connection.terminate()


async def test_an_undeclared_pooler_is_detected(pooled_url, db):
    """Sync, async, the store and the registry, each often enough to prepare a statement."""
    with App(pooled_url) as app, closing(WorkerRegistry(pooled_url)) as registry:
        app.enqueue_many(new(number) for number in range(30))
        await a_life_through(pooled_url, registry, pooled=False)
        for number in range(10):
            app.enqueue_many([new(number)])
    async with App(pooled_url) as app:
        for number in range(10):
            await app.enqueue_many_async([new(number)])
    assert db.execute("SELECT count(*) FROM penstock.job").fetchone() == (12 + 20,)


async def test_a_life_goes_through_it_under_settings_that_no_startup_option_may_change(pg_newest: Database):
    """PgBouncer refuses options at the start, a session is everybody's: transactions bring settings along."""
    unusual = {
        "DateStyle": "German, DMY",
        "IntervalStyle": "iso_8601",
        "extra_float_digits": "-15",
        "array_nulls": "off",
        "default_transaction_isolation": "serializable",
        "standard_conforming_strings": "off",
        "lock_timeout": "1ms",
        "statement_timeout": "20s",
        "search_path": "hostile, pg_catalog",
    }
    with pg_newest.connect() as db:
        for name, value in unusual.items():
            shown = value if name == "search_path" else f"'{value}'"
            db.execute(f'ALTER DATABASE "{db.info.dbname}" SET {name} = {shown}'.encode())
        with pgbouncer.pooled(pg_newest.url) as url, App(url) as app, closing(WorkerRegistry(url)) as registry:
            ids = app.enqueue_many(new(number) for number in range(30))
            at = datetime(2030, 2, 1, 12, 30, tzinfo=UTC)
            [late] = app.enqueue_many([NewJob(task="add", args="{}", queue="late", at=at)])
            assert app.job(late).info().due_at == at
            await a_life_through(url, registry, pooled=False)
            assert len(app.enqueue_many(new(number) for number in range(1100))) == 1100
            assert app.job(ids[-1]).status() == JobState.QUEUED
            with psycopg.connect(url, prepare_threshold=None) as other:
                assert other.execute("SHOW IntervalStyle").fetchone() == ("iso_8601",)
        assert db.execute("SELECT count(*) FROM penstock.job").fetchone() == (12 + 1 + 1100,)


def test_enqueues_and_lookups_go_through_it(pooled_url, db):
    """Often enough that a prepared statement would be missed in another session."""
    with App(pooled_url, pooled=True) as app:
        ids = [app.enqueue_many([new(number)])[0] for number in range(20)]
        ids += app.enqueue_many(new(number) for number in range(300))
        assert {app.job(job).status() for job in ids[::16]} == {JobState.QUEUED}
    assert db.execute("SELECT count(*) FROM penstock.job").fetchone() == (320,)


async def test_async_enqueues_at_once_go_through_it(pooled_url, db):
    """Forty at once over four clients and two sessions."""
    async with App(pooled_url, pooled=True) as app:
        ids = await asyncio.gather(*(app.enqueue_many_async([new(number)]) for number in range(40)))
        assert [await app.job(job).status_async() for (job,) in ids[::8]] == [JobState.QUEUED] * 5
    assert db.execute("SELECT count(*) FROM penstock.job").fetchone() == (40,)


def test_an_enqueue_in_the_callers_own_pooled_transaction_is_kept_and_undone_with_it(pooled_url, db):
    """The caller's connection is not set up for prepared statements; the library sends none that need one."""
    with App() as app, psycopg.connect(pooled_url, prepare_threshold=None) as connection:
        for number in range(8):
            app.enqueue_many([new(number)], connection=connection)
            connection.commit() if number % 2 else connection.rollback()
    assert db.execute("SELECT count(*) FROM penstock.job").fetchone() == (4,)


async def test_the_whole_life_of_a_job_goes_through_it(pooled_url, db):
    """Register, wait, claim, renew, acknowledge, release, maintain, snapshot: each one transaction."""
    with App(pooled_url, pooled=True) as app, closing(WorkerRegistry(pooled_url, pooled=True)) as registry:
        app.enqueue_many(new(number) for number in range(30))
        await a_life_through(pooled_url, registry)
    counts = "SELECT (SELECT count(*) FROM penstock.job), (SELECT count(*) FROM penstock.outcome)"
    assert db.execute(counts).fetchone() == (12, 18)


async def a_life_through(url: str, registry: WorkerRegistry, *, pooled: bool = True) -> None:
    async with Store(url, lanes=3, pooled=pooled) as store:
        values = {"identity": "host:1", "version": "1", "concurrency": 2, "lease": 15.0}
        worker, queue = registry.register(queue="q", **values)  # type: ignore[arg-type]
        for turn in range(6):
            claimed = await store.jobs.claim(worker, queue, "q", 4, desk.token())
            held_claims = [(job.id, job.token) for job in claimed]
            renewal = registry.renew(worker, lease=15, claims=held_claims, in_flight={"q": 4}, done={}, drained=False)
            assert renewal == ("running", [], [])
            done = [Finished(job=job, state=OutcomeState.COMPLETED) for job in claimed[:3]]
            acked, released = await asyncio.gather(
                store.jobs.ack(worker, done), store.jobs.release(worker, claimed[3:])
            )
            assert (acked, released, turn) == ([], 1, turn)
            await asyncio.gather(
                store.leadership.promote(), store.queues.snapshot(), store.leadership.acquire("maintenance", "x", 15)
            )
        assert await store.queues.mark_waiting([queue], 20) > 10
        assert await store.queues.oldest_xid() <= await store.queues.take_xid() + 1
        assert (
            await store.leadership.make_partitions()
            == await store.leadership.drop_partitions()
            == await store.leadership.prune_workers()
            == 0
        )
        registry.deregister(worker, empty=True)


@pytest.mark.parametrize(("listen", "direct"), [("true", True), ("false", True), ("false", False)])
def test_a_worker_runs_jobs_with_the_pooled_url_and_listens_on_the_direct_one(
    listen, direct, pooled_url, pg_newest, db, tmp_path: Path, monkeypatch
):
    """With wake-ups, by polling alone, and by polling with no other URL than the pooled one."""
    trace = tmp_path / "trace"
    trace.touch()
    monkeypatch.setenv("TRACE", str(trace))
    direct_url = {"direct_url": pg_newest.url} if direct else {}
    worker = WorkerProcess(pooled_url, trace, **direct_url, listen=listen, concurrency=4)
    try:
        with App(pooled_url, pooled=True) as app:
            ids = app.enqueue_many(jobs.add.job(n, 1) for n in range(60))
            ids += app.enqueue_many(jobs.sleep.job(0.05) for _ in range(4))
            desk.until(lambda: db.execute("SELECT count(*) FROM penstock.outcome").fetchone() == (len(ids),))
            (last,) = app.enqueue_many([jobs.add.job(1, 1)])
            assert app.job(last).result(timeout=60) == 2
        count = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'"
        desk.until(lambda: db.execute(count).fetchone() == ((1,) if listen == "true" else (0,)))
    finally:
        code, said = worker.end()
    assert code == 0, said
    assert db.execute("SELECT count(DISTINCT job_id), count(*) FROM penstock.outcome").fetchone() == (65, 65)
    assert db.execute("SELECT count(*) FROM penstock.worker").fetchone() == (0,)


def test_a_schema_is_migrated_and_checked_through_it_too(pooled_url):
    """One transaction each, so that nobody has to remember which URL is meant."""
    assert migrate(pooled_url).applied == []
    assert check_schema(pooled_url) > 0


def test_a_pooler_without_its_server_is_one_error_without_credentials(pooled_url):
    """The pooler answers, its database does not exist."""
    gone = pooled_url.rpartition("/")[0] + "/penstock_no_such_database"
    password = urlsplit(gone).password
    assert password
    with (
        App(gone, pooled=True) as app,
        pytest.raises(DatabaseUnavailable, match="penstock_no_such_database") as refused,
    ):
        app.enqueue_many([new(1)])
    assert password not in str(refused.value)
