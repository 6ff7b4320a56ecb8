"""Penstock's connections: timeouts, keep-alives, names, settings. Nothing else opens a connection.

Through a pooler (PgBouncer in transaction mode) no statement is prepared, no session state is set; LISTEN goes to the
direct URL. An undeclared pooler is detected by its own process ids. Connections are in autocommit: one function call
is one transaction. Text is UTF-8, whatever the database's encoding or PGCLIENTENCODING.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import psycopg
from psycopg.types.json import set_json_loads

from penstock.database.source import Url, resolve
from penstock.errors import MissingRights

from .errors import check_url, mapped
from .quoting import quoted
from .session_settings import OPEN, WHO, async_cursor, cursor, needs_transactions

KEEPALIVES: dict[str, Any] = {
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 3,
    "keepalives_count": 3,
    "tcp_user_timeout": 15000,
}
"""libpq's settings in seconds (the last in milliseconds): a dead peer is detected within one lease."""


def arguments(name: str, *, pooled: bool) -> dict[str, Any]:
    """Keyword arguments of every connection: `name` is its application_name; `pooled`: no prepared statements."""
    named = {"application_name": name, "client_encoding": "UTF8"}
    return {"autocommit": True, "prepare_threshold": None if pooled else 2, **named, **KEEPALIVES}


async def resolve_url(url: Url) -> str:
    """The URL to connect with now; a function may block and is called in a thread."""
    return url if isinstance(url, str) else await asyncio.to_thread(url)


@contextmanager
def _named(url: str) -> Iterator[None]:
    """Complete the SQL of a login that may not connect: the server names neither login nor statement."""
    try:
        yield
    except MissingRights as error:
        parts = psycopg.conninfo.conninfo_to_dict(url)
        login, database = str(parts.get("user") or ""), str(parts.get("dbname") or parts.get("user") or "")
        if not login:
            raise
        statement = f"GRANT CONNECT ON DATABASE {quoted(database)} TO {quoted(login)};"
        raise MissingRights(
            f"connect: the login may not connect to this database; as its owner run: {statement}"
        ) from error


def connect(url: Url, *, name: str, pooled: bool = False, settings: bool = True) -> psycopg.Connection[tuple[Any, ...]]:
    """A new connection.

    Args:
        url: a libpq URL, or a function that returns one; never printed.
        name: application_name on the server.
        pooled: the URL leads to a pooler in transaction mode.
        settings: False keeps the login's settings, for SQL that is not ours.

    Raises:
        InvalidDatabaseURL: the URL cannot be parsed.
        DatabaseUnavailable: the server cannot be reached or refuses the login.
    """
    text = resolve(url)
    check_url(text)
    with _named(text), mapped("connect"):
        connection = psycopg.connect(text, **arguments(name, pooled=pooled))
        try:
            configure_sync(connection, settings=settings)
        except BaseException:
            connection.close()
            raise
        return connection


def configure_sync(connection: psycopg.Connection[Any], *, settings: bool = True) -> None:
    """As `configure_connection`, for a synchronous pool."""
    set_json_loads(msgspec.json.decode, connection)
    if not settings:
        _opened(connection, connection.execute(WHO).fetchone())
        return
    differ = _opened(connection, connection.execute(OPEN, (_own_process(connection),)).fetchone())
    if needs_transactions(differ):
        connection.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
        connection.cursor_factory = cursor(differ)


async def configure_connection(connection: psycopg.AsyncConnection[Any], *, settings: bool = True) -> None:
    """Configure a new connection: our JSON decoder, no prepared statements behind a pooler, and for our own statements
    the required settings (`session_settings`).
    """
    set_json_loads(msgspec.json.decode, connection)
    if not settings:
        _opened(connection, await (await connection.execute(WHO)).fetchone())
        return
    answer = await connection.execute(OPEN, (_own_process(connection),))
    differ = _opened(connection, await answer.fetchone())
    if needs_transactions(differ):
        await connection.set_isolation_level(psycopg.IsolationLevel.READ_COMMITTED)
        connection.cursor_factory = async_cursor(differ)


def _own_process(connection: psycopg.Connection[Any] | psycopg.AsyncConnection[Any]) -> int:
    """The backend's process id if the session is not shared; 0 with a declared pooler."""
    return 0 if connection.prepare_threshold is None else connection.info.backend_pid


def _opened(
    connection: psycopg.Connection[Any] | psycopg.AsyncConnection[Any], row: tuple[Any, ...] | None
) -> list[str]:
    """The settings that each transaction must set. A pooler reports its own process ids."""
    process, differ = row or (0, [])
    if process != connection.info.backend_pid:
        connection.prepare_threshold = None
    return list(differ)


async def connect_async(
    url: Url, *, name: str, pooled: bool = False, settings: bool = True
) -> psycopg.AsyncConnection[tuple[Any, ...]]:
    """As `connect`, for asyncio."""
    text = await resolve_url(url)
    check_url(text)
    with _named(text), mapped("connect"):
        connection = await psycopg.AsyncConnection.connect(text, **arguments(name, pooled=pooled))
        try:
            await configure_connection(connection, settings=settings)
        except BaseException:
            await connection.close()
            raise
        return connection
