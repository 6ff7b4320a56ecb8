"""An enqueue inside the caller's own transaction, whatever the application talks to Postgres with: psycopg, SQLAlchemy,
Django, or SQL that somebody types. The job is there exactly when the caller's own write is.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import psycopg
import pytest
import sqlalchemy
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import Session

from penstock import App
from penstock.errors import ConfigurationError, RejectedByDatabase
from penstock.job import NewJob
from tests.support.postgres import Database

WRITE = "INSERT INTO orders VALUES (7)"
KEPT = [("send", {"order": 7}, "queued")]
"""What is there after a commit, with the caller's own row."""
UNSTORABLE = NewJob(task="send", args='{"order": "\\u0000"}', queue="emails")
"""Valid JSON that jsonb refuses."""

app = App()


@app.task(name="send", queue="emails")
def send(order: int) -> None: ...


class Asked(Exception):  # noqa: N818 - not an error, the caller's change of mind
    """What makes the caller's transaction roll back."""


@pytest.fixture
def db(pg_newest: Database) -> Iterator[psycopg.Connection]:
    with pg_newest.connect() as connection:
        connection.execute("CREATE TABLE orders (id integer)")
        yield connection


@pytest.fixture
def engine(pg_newest: Database) -> Iterator[sqlalchemy.Engine]:
    made = sqlalchemy.create_engine(pg_newest.url.replace("postgresql:", "postgresql+psycopg:"))
    yield made
    made.dispose()


@pytest.fixture
async def async_engine(pg_newest: Database) -> AsyncIterator[AsyncEngine]:
    made = create_async_engine(pg_newest.url.replace("postgresql:", "postgresql+psycopg:"))
    yield made
    await made.dispose()


@pytest.fixture
def django_connection(pg_newest: Database) -> Iterator[Any]:
    """Django's `connections["default"]`, without a project around it."""
    import django
    from django.conf import settings
    from django.db import connections

    if not settings.configured:
        settings.configure(USE_TZ=True, LOGGING_CONFIG=None)
        django.setup()
    parts = psycopg.conninfo.conninfo_to_dict(pg_newest.url)
    default = {"ENGINE": "django.db.backends.postgresql", "NAME": parts["dbname"]}
    default |= {name.upper(): str(parts[name]) for name in ("user", "password", "host", "port")}
    connections.settings = connections.configure_settings({"default": default})
    yield connections["default"]
    connections["default"].close()
    del connections["default"]


def found(db: psycopg.Connection) -> tuple[list[Any], list[Any]]:
    """The caller's rows, and the jobs."""
    orders = db.execute("SELECT id FROM orders").fetchall()
    return orders, db.execute("SELECT task, args, state FROM penstock.jobs").fetchall()


def kept_and_undone(opened: Any, enter: Any, execute: Any, db: psycopg.Connection) -> None:
    """One transaction that the caller gives up leaves nothing; the next one leaves its row and its job."""
    with pytest.raises(Asked), enter():
        execute(WRITE)
        send.options(connection=opened).enqueue(7)
        raise Asked
    assert found(db) == ([], [])
    with enter():
        execute(WRITE)
        [job] = app.enqueue_many([send.job(7)], connection=opened)
        assert found(db) == ([], [])
    assert found(db) == ([(7,)], KEPT)
    assert db.execute("SELECT id FROM penstock.job").fetchall() == [(job,)]


async def kept_and_undone_async(opened: Any, enter: Any, execute: Any, db: psycopg.Connection) -> None:
    """The same in asyncio."""
    with pytest.raises(Asked):
        async with enter():
            await execute(WRITE)
            await send.options(connection=opened).enqueue_async(7)
            raise Asked
    assert found(db) == ([], [])
    async with enter():
        await execute(WRITE)
        await send.options(connection=opened).enqueue_async(7)
        assert found(db) == ([], [])
    assert found(db) == ([(7,)], KEPT)


def test_a_psycopg_connection_carries_it(pg_newest, db):
    """In the block of `connection.transaction()`."""
    with pg_newest.connect() as opened:
        kept_and_undone(opened, opened.transaction, opened.execute, db)


async def test_an_async_psycopg_connection_carries_it(pg_newest, db):
    """The same in asyncio."""
    async with await psycopg.AsyncConnection.connect(pg_newest.url, autocommit=True) as opened:
        await kept_and_undone_async(opened, opened.transaction, opened.execute, db)


def test_an_sqlalchemy_connection_carries_it(engine, db):
    """In the block of `connection.begin()`."""
    with engine.connect() as opened:
        kept_and_undone(opened, opened.begin, lambda text: opened.execute(sqlalchemy.text(text)), db)


def test_an_sqlalchemy_session_carries_it(engine, db):
    """In the block of `session.begin()`; what the session has not flushed is its own business."""
    with Session(engine) as opened:
        kept_and_undone(opened, opened.begin, lambda text: opened.execute(sqlalchemy.text(text)), db)


async def test_an_async_sqlalchemy_connection_carries_it(async_engine, db):
    """The same in asyncio."""
    async with async_engine.connect() as opened:
        await kept_and_undone_async(opened, opened.begin, lambda text: opened.execute(sqlalchemy.text(text)), db)


async def test_an_async_sqlalchemy_session_carries_it(async_engine, db):
    """And so does the asynchronous session."""
    async with AsyncSession(async_engine) as opened:
        await kept_and_undone_async(opened, opened.begin, lambda text: opened.execute(sqlalchemy.text(text)), db)


def test_a_savepoint_that_is_undone_takes_its_jobs_with_it(engine, db):
    """A nested transaction is a transaction: the outer one keeps its own job only."""
    with Session(engine) as opened, opened.begin():
        send.options(connection=opened).enqueue(7)
        with pytest.raises(Asked), opened.begin_nested():
            send.options(connection=opened).enqueue(8)
            raise Asked
    assert found(db) == ([], KEPT)


def test_a_django_connection_carries_it(django_connection, db):
    """Inside `transaction.atomic`, without `on_commit`: the job is a row of the same transaction."""
    from django.db import transaction

    def execute(text: str) -> None:
        with django_connection.cursor() as cursor:
            cursor.execute(text)

    kept_and_undone(django_connection, transaction.atomic, execute, db)


def test_djangos_own_handle_of_the_default_connection_carries_it_too(django_connection, db):
    """`from django.db import connection` is a proxy; it is what applications have at hand."""
    from django.db import connection, transaction

    with transaction.atomic():
        send.options(connection=connection).enqueue(7)
    assert found(db) == ([], KEPT)


def test_what_the_database_refuses_is_one_error_in_every_framework(engine, django_connection, pg_newest, db):
    """The error of psycopg, of SQLAlchemy or of Django: the caller's `except` need not know."""
    with pg_newest.connect() as plain, engine.connect() as wrapped, Session(engine) as session:
        for opened in (plain, wrapped, session, django_connection):
            with pytest.raises(RejectedByDatabase, match="enqueue"):
                app.enqueue_many([UNSTORABLE], connection=opened)
    assert found(db) == ([], [])


async def test_what_the_database_refuses_is_one_error_in_asyncio_too(async_engine, db):
    """Through an asynchronous session."""
    async with AsyncSession(async_engine) as opened:
        with pytest.raises(RejectedByDatabase, match="enqueue"):
            await app.enqueue_many_async([UNSTORABLE], connection=opened)
    assert found(db) == ([], [])


def test_a_session_of_another_database_is_refused_by_its_driver(db):
    """The name of the driver is reported; nothing was sent."""
    engine = sqlalchemy.create_engine("sqlite://")
    with Session(engine) as opened, pytest.raises(ConfigurationError, match="psycopg2 or asyncpg, got pysqlite"):
        send.options(connection=opened).enqueue(7)
    engine.dispose()
    with pytest.raises(ConfigurationError, match="got str"):
        send.options(connection="postgresql://").enqueue(7)


@pytest.fixture
def psql(pg_newest: Database) -> Callable[[str], str]:
    """Runs a script with psql; gives what it printed."""
    program = shutil.which("psql")
    if program is None:
        pytest.skip("psql is not on PATH")

    def run(script: str) -> str:
        command = [program, "--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1"]
        result = subprocess.run(
            [*command, pg_newest.url], input=script, capture_output=True, text=True, timeout=120, check=False
        )
        assert result.returncode == 0, result.stderr
        return result.stdout.strip()

    return run


def test_plain_sql_enqueues_in_its_transaction(psql, db):
    """From psql, and so from any language: one function, named arguments, COMMIT or ROLLBACK as ever."""
    call = "SELECT penstock.enqueue('emails', 'send', '{\"order\": 7}'%s);"
    psql(f"BEGIN; {WRITE}; {call % ''} ROLLBACK;")
    assert found(db) == ([], [])
    job = psql(f"BEGIN; {WRITE}; {call % ', p_priority => 0::smallint'} COMMIT;")
    assert found(db) == ([(7,)], KEPT)
    assert db.execute("SELECT id, priority FROM penstock.job").fetchall() == [(int(job), 0)]


def test_plain_sql_enqueues_from_a_trigger(psql, db):
    """Every row of another table becomes a job, without a line of application code."""
    psql("""
      CREATE FUNCTION send_order() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN
        PERFORM penstock.enqueue('emails', 'send', jsonb_build_object('order', new.id));
        RETURN NULL;
      END $$;
      CREATE TRIGGER send_order AFTER INSERT ON orders FOR EACH ROW EXECUTE FUNCTION send_order();
    """)
    db.execute(WRITE)
    assert found(db) == ([(7,)], KEPT)
