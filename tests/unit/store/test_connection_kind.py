"""What is no connection that a job can go through is refused by its class, before anything is sent."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from unittest.mock import MagicMock

import asyncpg
import psycopg
import psycopg2.extensions
import psycopg2.pool
import psycopg_pool
import pytest
import sqlalchemy
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from penstock import App
from penstock.errors import ConfigurationError
from penstock.store.enqueue.connection_kind import kind_of

app = App("postgresql://u:hunter2@127.0.0.1:1/x")
SQLITE = sqlalchemy.create_engine("sqlite://")


@app.task(name="send")
def send() -> None: ...


def bare(kind: type) -> object:
    """An object of the class, as recognizing it needs: nothing is connected."""
    made: object = kind.__new__(kind)  # type: ignore[call-overload]
    return made


REFUSED: dict[str, tuple[Callable[[], object], str]] = {
    "a URL": (lambda: "postgresql://u:hunter2@h/x", "got str; a URL belongs to App(url)"),
    "nothing of a database": (object, "got object"),
    "a mock": (MagicMock, "got unittest.mock.MagicMock"),
    "sqlite3": (lambda: bare(sqlite3.Connection), "got sqlite3.Connection"),
    "a pool of psycopg": (lambda: bare(psycopg_pool.ConnectionPool), "with pool.connection() as connection"),
    "an async pool of psycopg": (
        lambda: bare(psycopg_pool.AsyncConnectionPool),
        "with pool.connection() as connection",
    ),
    "a cursor of psycopg": (lambda: bare(psycopg.Cursor), "pass the connection of this cursor"),
    "a pool of psycopg2": (lambda: bare(psycopg2.pool.SimpleConnectionPool), "connection = pool.getconn()"),
    "a pool of asyncpg": (lambda: bare(asyncpg.Pool), "async with pool.acquire() as connection"),
    "an engine": (lambda: SQLITE, "with engine.begin() as connection"),
    "an async engine": (lambda: create_async_engine("postgresql+asyncpg://u@h/x"), "async with engine.begin()"),
    "a sessionmaker": (lambda: sessionmaker(SQLITE), "call it, and pass the session"),
    "an async sessionmaker": (async_sessionmaker, "call it, and pass the session"),
    "the class itself": (lambda: psycopg.Connection, "got type"),
}


@pytest.mark.parametrize(("make", "said"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_connection_is_refused_with_its_class_and_what_to_give(make, said):
    """By both calls, in the same words."""
    given = make()
    with pytest.raises(ConfigurationError) as refused:
        send.options(connection=given).enqueue()
    with pytest.raises(ConfigurationError) as refused_too:
        asyncio.run(send.options(connection=given).enqueue_async())
    assert said in str(refused.value)
    assert "must be of psycopg, psycopg2, asyncpg, SQLAlchemy or Django" in str(refused.value)
    assert str(refused.value) == str(refused_too.value)
    assert "hunter2" not in str(refused.value)


class Unopened(asyncpg.Connection):  # type: ignore[misc]
    def __del__(self) -> None:
        """Nothing is to be closed."""


OF_THE_OTHER_CALL: dict[str, tuple[type, bool]] = {
    "psycopg": (psycopg.Connection, False),
    "psycopg async": (psycopg.AsyncConnection, True),
    "psycopg2": (psycopg2.extensions.connection, False),
    "asyncpg": (Unopened, True),
    "SQLAlchemy": (sqlalchemy.engine.Connection, False),
    "SQLAlchemy session": (Session, False),
    "SQLAlchemy scoped session": (scoped_session, False),
    "SQLAlchemy async": (AsyncConnection, True),
    "SQLAlchemy async session": (AsyncSession, True),
}


@pytest.mark.parametrize(("kind", "is_async"), OF_THE_OTHER_CALL.values(), ids=OF_THE_OTHER_CALL)
def test_a_connection_of_the_other_call_is_refused_with_the_call_to_make(kind, is_async):
    """A sync one by the async call, and an async one by the sync call."""
    given = bare(kind)
    said = "await enqueue_async instead" if is_async else "enqueue_async: connection must be asynchronous, call enqueue"
    with pytest.raises(ConfigurationError, match=said):
        kind_of(given, "enqueue", asynchronous=not is_async)
    assert kind_of(given, "enqueue", asynchronous=is_async)


def test_a_session_of_several_engines_is_asked_for_its_connection():
    """It cannot know which of them has the schema."""
    with Session() as session, pytest.raises(ConfigurationError, match=r"session.connection\(bind_arguments=...\)"):
        send.options(connection=session).enqueue()


def test_no_driver_or_framework_is_imported_for_a_job():
    """Not by the package, and not by its store."""
    script = """
import sys, penstock.store
from penstock import App
print(sorted({"asyncpg", "psycopg2", "sqlalchemy", "django"} & set(sys.modules)))
"""
    said = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout
    assert said.strip() == "[]"
