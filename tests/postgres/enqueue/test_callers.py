"""Whatever the caller's connection is and however it is set up, a job goes through its transaction, and only its."""

from __future__ import annotations

import decimal
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, contextmanager
from typing import Any, NamedTuple

import asyncpg
import psycopg
import psycopg2
import psycopg2.extensions
import psycopg2.extras
import pytest
import sqlalchemy
from psycopg import rows
from psycopg.adapt import Dumper, Loader
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session

from penstock.errors import RejectedByDatabase, StoreError
from penstock.job import NewJob
from tests.postgres.enqueue.callers import app, kept, send, the_whole, the_whole_async
from tests.support.postgres import Database

URL_OF = {
    "psycopg": "postgresql+psycopg:",
    "psycopg2": "postgresql+psycopg2:",
    "asyncpg": "postgresql+asyncpg:",
}


@pytest.fixture
def db(pg_newest: Database) -> Iterator[psycopg.Connection]:
    with pg_newest.connect() as connection:
        yield connection


class Wide(psycopg.Connection[Any]):
    """A subclass with cursors of its own making."""

    def cursor(self, *args: Any, **options: Any) -> Any:
        raise AssertionError("not for us")


class Point(NamedTuple):
    x: object = None


class Backwards(Loader):
    """An application's own type for numbers, or for text."""

    def load(self, data: Any) -> Any:
        return decimal.Decimal(-1)


class Shouting(Dumper):
    oid = 25

    def dump(self, obj: str) -> bytes:
        return b"SHOUT"


def own_types(connection: psycopg.BaseConnection[Any]) -> None:
    for name in ("int8", "int2", "text", "bool"):
        connection.adapters.register_loader(name, Backwards)
    connection.adapters.register_dumper(str, Shouting)


PSYCOPG: dict[str, dict[str, Any]] = {
    "as it comes": {},
    "dict_row": {"row_factory": rows.dict_row},
    "namedtuple_row": {"row_factory": rows.namedtuple_row},
    "scalar_row": {"row_factory": rows.scalar_row},
    "class_row": {"row_factory": rows.class_row(Point)},
    "args_row": {"row_factory": rows.args_row(lambda *_: None)},
    "kwargs_row": {"row_factory": rows.kwargs_row(lambda **_: None)},
    "a row factory that fails": {"row_factory": lambda _: lambda _: 1 / 0},
    "prepares at once": {"prepare_threshold": 0},
    "SQL_ASCII": {"client_encoding": "SQL_ASCII"},
    "German dates": {"options": "-c DateStyle=German -c IntervalStyle=sql_standard"},
    "few digits": {"options": "-c bytea_output=escape -c extra_float_digits=-15"},
}


@pytest.mark.parametrize("options", PSYCOPG.values(), ids=PSYCOPG)
async def test_every_row_factory_and_setting_of_psycopg(options, pg_newest, db):
    """Sync and async: what the application's own statements give is its own business."""
    with psycopg.connect(pg_newest.url, **options) as opened:
        the_whole(opened, db, opened.commit, opened.rollback)
    db.execute("DELETE FROM penstock.job")
    async with await psycopg.AsyncConnection.connect(pg_newest.url, **options) as connection:
        await the_whole_async(connection, db, connection.commit, connection.rollback)


@pytest.mark.parametrize("name", ["ClientCursor", "RawCursor", "ServerCursor"])
async def test_every_cursor_class_of_psycopg(name, pg_newest, db):
    """Other placeholders, binding in the client, cursors that need a name; and types of the application's own."""
    with psycopg.connect(pg_newest.url) as opened:
        opened.cursor_factory = getattr(psycopg, name)
        own_types(opened)
        the_whole(opened, db, opened.commit, opened.rollback)
    db.execute("DELETE FROM penstock.job")
    async with await psycopg.AsyncConnection.connect(pg_newest.url) as connection:
        connection.cursor_factory = getattr(psycopg, f"Async{name}")
        own_types(connection)
        await the_whole_async(connection, db, connection.commit, connection.rollback)


async def test_a_subclass_of_psycopgs_connection_and_its_pipelines(pg_newest, db):
    """Statements of the caller's own wait in the pipeline before ours and after it."""
    with Wide.connect(pg_newest.url) as opened:
        with opened.pipeline():
            the_whole(opened, db, opened.commit, opened.rollback)
        assert len(kept(db)) == 5
    db.execute("DELETE FROM penstock.job")
    async with await psycopg.AsyncConnection.connect(pg_newest.url) as connection, connection.pipeline():
        await connection.execute("CREATE TEMPORARY TABLE t (x int)")
        await send.options(connection=connection).enqueue_async(1)
        await connection.execute("INSERT INTO t VALUES (1)")
        await connection.commit()
    assert kept(db) == [1]


class Odd(psycopg2.extensions.connection):  # type: ignore[misc]
    def cursor(self, *args: Any, **options: Any) -> Any:
        raise AssertionError("not for us")


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"cursor_factory": psycopg2.extras.RealDictCursor},
        {"cursor_factory": psycopg2.extras.DictCursor},
        {"cursor_factory": psycopg2.extras.NamedTupleCursor},
        {"connection_factory": Odd},
        {"connection_factory": psycopg2.extras.RealDictConnection},
    ],
    ids=["as it comes", "RealDictCursor", "DictCursor", "NamedTupleCursor", "own class", "RealDictConnection"],
)
def test_every_cursor_class_of_psycopg2(options, pg_newest, db):
    """Which binds in the client."""
    with closing(psycopg2.connect(pg_newest.url, **options)) as opened:
        the_whole(opened, db, opened.commit, opened.rollback)


def test_what_the_database_refuses_on_psycopg2_is_the_same_error(pg_newest, db):
    """And a lost connection too."""
    with closing(psycopg2.connect(pg_newest.url)) as opened:
        with pytest.raises(RejectedByDatabase, match="enqueue"):
            app.enqueue_many([NewJob(task="send", args='{"order": "\\u0000"}', queue="emails")], connection=opened)
        opened.rollback()
        with pytest.raises(RejectedByDatabase, match="NUL"):
            app.enqueue_many([NewJob(task="se\0nd", args="{}", queue="emails")], connection=opened)
        opened.close()
        with pytest.raises(StoreError, match=r"enqueue.*already closed"):
            send.options(connection=opened).enqueue(1)


class Row(asyncpg.Record):  # type: ignore[misc]
    def __getattr__(self, name: str) -> object:
        return self[name]


@pytest.fixture
async def on_asyncpg(pg_newest: Database) -> AsyncIterator[Any]:
    made = await asyncpg.connect(pg_newest.url, record_class=Row)
    await made.set_type_codec("jsonb", encoder=str.upper, decoder=str.upper, schema="pg_catalog")
    await made.set_type_codec("int8", encoder=str, decoder=str.upper, schema="pg_catalog")
    yield made
    await made.close()


async def test_a_connection_of_asyncpg_carries_it(on_asyncpg, db):
    """In the blocks of `connection.transaction()`, with codecs and a class of records of the application's own."""
    running: list[Any] = []

    class Ended(Exception):  # noqa: N818 - not an error
        """Rolls back."""

    async def start() -> None:
        running.append(on_asyncpg.transaction())
        await running[-1].start()

    async def commit() -> None:
        await running.pop().commit()
        await start()

    async def undo() -> None:
        await running.pop().rollback()
        await start()

    await start()
    await the_whole_async(on_asyncpg, db, commit, undo)
    with pytest.raises(RejectedByDatabase, match="enqueue"):
        await app.enqueue_many_async(
            [NewJob(task="send", args='{"order": "\\u0000"}', queue="q")], connection=on_asyncpg
        )
    await running.pop().rollback()
    async with on_asyncpg.transaction():
        await send.options(connection=on_asyncpg).enqueue_async(7)
        with pytest.raises(Ended):
            async with on_asyncpg.transaction():
                await send.options(connection=on_asyncpg).enqueue_async(8)
                raise Ended
    assert kept(db)[5:] == [7]


async def test_what_asyncpgs_pool_lends_carries_it_and_the_pool_does_not(pg_newest, db):
    """A proxy; its error once it is checked in is one of ours."""
    async with asyncpg.create_pool(pg_newest.url, min_size=1, max_size=1) as pool:
        async with pool.acquire() as connection, connection.transaction():
            await send.options(connection=connection).enqueue_async(7)
        with pytest.raises(StoreError, match=r"enqueue.*released back to the pool"):
            await send.options(connection=connection).enqueue_async(8)
    assert kept(db) == [7]


@pytest.mark.parametrize("driver", ["psycopg", "psycopg2"])
@pytest.mark.parametrize("streams", [False, True], ids=["", "stream_results"])
def test_every_sync_driver_of_sqlalchemy(driver, streams, pg_newest, db):
    """A connection that streams its results gives ours at once."""
    engine = sqlalchemy.create_engine(
        pg_newest.url.replace("postgresql:", URL_OF[driver]), execution_options={"stream_results": streams}
    )
    with closing_engine(engine), engine.connect() as opened, Session(engine) as session:
        the_whole(opened, db, opened.commit, opened.rollback)
        db.execute("DELETE FROM penstock.job")
        the_whole(session, db, session.commit, session.rollback)


@contextmanager
def closing_engine(engine: sqlalchemy.Engine) -> Iterator[None]:
    try:
        yield
    finally:
        engine.dispose()


@pytest.mark.parametrize("driver", ["psycopg", "asyncpg"])
async def test_every_async_driver_of_sqlalchemy(driver, pg_newest, db):
    """A connection, a session, and the sync session inside of one."""
    engine = create_async_engine(pg_newest.url.replace("postgresql:", URL_OF[driver]))
    try:
        async with engine.connect() as opened:
            await the_whole_async(opened, db, opened.commit, opened.rollback)
        async with AsyncSession(engine) as session:
            db.execute("DELETE FROM penstock.job")
            await the_whole_async(session, db, session.commit, session.rollback)
            db.execute("DELETE FROM penstock.job")
            await session.run_sync(lambda inner: the_whole(inner, db, inner.commit, inner.rollback))
    finally:
        await engine.dispose()
