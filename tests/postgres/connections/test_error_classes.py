"""Errors keep their class: what the server says of a statement on a caller's connection, and on ours."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from typing import Any

import psycopg
import pytest

from penstock import App
from penstock.errors import (
    DatabaseUnavailable,
    DeadlockDetected,
    OutOfResources,
    PenstockError,
    ReadOnlyServer,
    RowLocked,
    SerializationFailure,
    ServerShutdown,
    SessionTimedOut,
    StatementTimeout,
    TransactionAborted,
    TransactionRolledBack,
)
from penstock.job import NewJob, UniqueKey
from penstock.store import SyncClient
from penstock.store.errors import mapped
from tests.postgres import desk
from tests.support.postgres import Database

Connection = psycopg.Connection[Any]


@pytest.fixture
def two(pg_newest: Database) -> Iterator[tuple[Connection, Connection]]:
    """The caller's connection, and another one."""
    with psycopg.connect(pg_newest.url) as mine, pg_newest.connect() as other:
        yield mine, other
        with suppress(psycopg.Error):
            mine.rollback()


def keyed(key: str = "k") -> NewJob:
    return NewJob(task="t", args="{}", queue="q", unique=UniqueKey(key=key))


def _holding(other: Connection, *keys: str) -> None:
    """Another transaction has enqueued these keys and not committed."""
    other.execute("BEGIN")
    with App() as app:
        for key in keys:
            app.enqueue_many([keyed(key)], connection=other)


def _lock_timeout(mine: Connection, other: Connection) -> None:
    _holding(other, "k")
    mine.execute("SET lock_timeout = '10ms'")


def _statement_timeout(mine: Connection, other: Connection) -> None:
    _holding(other, "k")
    mine.execute("SET statement_timeout = '100ms'")


def _serialization(mine: Connection, other: Connection) -> None:
    mine.rollback()
    mine.execute("BEGIN ISOLATION LEVEL SERIALIZABLE")
    mine.execute("SELECT count(*) FROM penstock.job").fetchone()
    other.execute("BEGIN ISOLATION LEVEL SERIALIZABLE")
    other.execute("SELECT count(*) FROM penstock.job").fetchone()
    with App() as app:
        app.enqueue_many([NewJob(task="t", args="{}", queue="q")], connection=other)
    other.execute("COMMIT")


def _read_only(mine: Connection, other: Connection) -> None:
    mine.execute("SET TRANSACTION READ ONLY")


def _aborted(mine: Connection, other: Connection) -> None:
    with suppress(psycopg.Error):
        mine.execute("SELECT 1 / 0")


def _terminated(mine: Connection, other: Connection) -> None:
    other.execute("SELECT pg_terminate_backend(%s, 60000)", [mine.info.backend_pid])


def _idle(mine: Connection, other: Connection) -> None:
    mine.execute("SET idle_in_transaction_session_timeout = '1ms'")
    _gone(mine, other)


def _too_long(mine: Connection, other: Connection) -> None:
    mine.execute("SET transaction_timeout = '1ms'")
    _gone(mine, other)


def _gone(mine: Connection, other: Connection) -> None:
    count = "SELECT count(*) FROM pg_stat_activity WHERE pid = %s"
    desk.until(lambda: other.execute(count, [mine.info.backend_pid]).fetchone() == (0,))


KINDS: tuple[tuple[Callable[[Connection, Connection], None], type[PenstockError], str], ...] = (
    (_lock_timeout, RowLocked, "another transaction locks a row"),
    (_statement_timeout, StatementTimeout, "exceeded statement_timeout"),
    (_serialization, SerializationFailure, "retry the whole transaction"),
    (_read_only, ReadOnlyServer, "accepts no writes"),
    (_aborted, TransactionAborted, "roll the transaction back and retry it"),
    (_terminated, ServerShutdown, "an administrator ended the connection"),
    (_idle, SessionTimedOut, "idle_in_transaction_session_timeout"),
    (_too_long, SessionTimedOut, "transaction_timeout"),
)


@pytest.mark.parametrize(("spoil", "kind", "words"), KINDS, ids=lambda value: getattr(value, "__name__", None))
def test_an_enqueue_on_the_callers_connection_says_what_the_server_said(spoil, kind, words, two):
    """Not that the database cannot be reached; the application decides by the class whether it repeats.

    The last words of a session that ended may be lost with it; then it is one that was lost.
    """
    mine, other = two
    spoil(mine, other)
    with App() as app, pytest.raises(PenstockError) as raised:
        app.enqueue_many([keyed()], connection=mine)
    if type(raised.value) is not DatabaseUnavailable or not issubclass(kind, DatabaseUnavailable):
        assert type(raised.value) is kind
        assert words in str(raised.value)


def test_a_deadlock_is_named_and_its_transaction_may_be_repeated(two):
    """Two callers enqueue the same keys in the other order; one of them is undone by the server."""
    mine, other = two
    errors: list[PenstockError] = []
    with App() as app:
        app.enqueue_many([keyed("queue")], connection=mine)
        mine.commit()  # the queue is there: who makes it holds everybody up
        mine.execute("SET deadlock_timeout = '10ms'")
        app.enqueue_many([keyed("a")], connection=mine)
        _holding(other, "b")

        def meet() -> None:
            try:
                app.enqueue_many([keyed("a")], connection=other)
            except PenstockError as error:
                errors.append(error)

        thread = threading.Thread(target=meet)
        thread.start()
        try:
            app.enqueue_many([keyed("b")], connection=mine)
        except PenstockError as error:
            errors.append(error)
        mine.rollback()
        thread.join(60)
        other.execute("ROLLBACK")
        assert [type(error) for error in errors] == [DeadlockDetected]
        assert isinstance(errors[0], TransactionRolledBack)
        assert len(app.enqueue_many([keyed("a"), keyed("b")], connection=mine)) == 2


def test_what_the_server_has_no_room_for_is_named(two):
    """Temporary files here; a full disk has a class of its own below this one."""
    mine, _ = two
    mine.execute("SET temp_file_limit = '64kB'")
    mine.execute("SET work_mem = '64kB'")
    with pytest.raises(OutOfResources, match="nothing was written"), mapped("x"):
        mine.execute("SELECT count(*) FROM (SELECT n FROM generate_series(1, 100000) AS n ORDER BY n DESC) AS s")


def test_an_enqueue_of_ours_keeps_the_class_too(pg_newest: Database):
    """The pool's connections are made by us, what others hold is not."""
    with pg_newest.connect() as other, closing(SyncClient(pg_newest.url)) as client:
        _holding(other, "k")
        canceller = threading.Thread(target=_cancel_when_waiting, args=(pg_newest,))
        canceller.start()
        with pytest.raises(StatementTimeout, match="an administrator canceled it"):
            client.enqueue([keyed("k")])
        canceller.join(60)
        other.execute("ROLLBACK")


def _cancel_when_waiting(database: Database) -> None:
    waits = (
        "SELECT pg_cancel_backend(pid) FROM pg_stat_activity "
        "WHERE wait_event_type = 'Lock' AND datname = current_database()"
    )
    with database.connect() as admin:
        desk.until(lambda: admin.execute(waits.encode()).fetchone() == (True,))
