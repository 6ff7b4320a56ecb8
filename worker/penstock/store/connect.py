"""How Penstock connects: timeouts, keep-alives, names. Nothing else opens a connection.

Through a pooler (PgBouncer in transaction mode) no statement is prepared, no session state is set; LISTEN goes to the
direct URL. A pooler that nobody told us of is noticed: it gives out process ids of its own. Connections are in
autocommit: one function call is one transaction.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import psycopg
from psycopg.types.json import set_json_loads

from penstock.errors import MissingRights

from .errors import check_url, mapped
from .quoting import quoted

KEEPALIVES: dict[str, Any] = {
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 3,
    "keepalives_count": 3,
    "tcp_user_timeout": 15000,
}
"""libpq's settings in seconds (the last in milliseconds): a peer that is gone is noticed within one lease."""


def arguments(name: str, *, pooled: bool) -> dict[str, Any]:
    """Keyword arguments of every connection: `name` is shown by the server, `pooled` says what would be found out."""
    return {"autocommit": True, "application_name": name, "prepare_threshold": None if pooled else 2, **KEEPALIVES}


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
            f"connect: the login may not connect to this database; let its owner run: {statement}"
        ) from error


def connect(url: str, *, name: str, pooled: bool = False) -> psycopg.Connection[tuple[Any, ...]]:
    """A new connection.

    Raises:
        InvalidDatabaseURL: the URL does not parse.
        DatabaseUnavailable: the server cannot be reached or refuses the login.
    """
    check_url(url)
    with _named(url), mapped("connect"):
        connection = psycopg.connect(url, **arguments(name, pooled=pooled))
        try:
            configure_sync(connection)
        except BaseException:
            connection.close()
            raise
        return connection


_WHO = b"SELECT pg_backend_pid()"
"""Behind a pooler not the process id that was told at the start of the connection."""


def configure_sync(connection: psycopg.Connection[Any]) -> None:
    """As `configure`, for a synchronous pool."""
    set_json_loads(msgspec.json.decode, connection)
    if connection.prepare_threshold is None:
        return
    if connection.execute(_WHO).fetchone() != (connection.info.backend_pid,):
        connection.prepare_threshold = None


async def configure(connection: psycopg.AsyncConnection[Any]) -> None:
    """What every connection gets: our JSON decoder, and no prepared statements if a pooler stands between."""
    set_json_loads(msgspec.json.decode, connection)
    if connection.prepare_threshold is None:
        return
    answer = await connection.execute(_WHO)
    if await answer.fetchone() != (connection.info.backend_pid,):
        connection.prepare_threshold = None


async def connect_async(url: str, *, name: str, pooled: bool = False) -> psycopg.AsyncConnection[tuple[Any, ...]]:
    """As `connect`, for asyncio."""
    check_url(url)
    with _named(url), mapped("connect"):
        connection = await psycopg.AsyncConnection.connect(url, **arguments(name, pooled=pooled))
        try:
            await configure(connection)
        except BaseException:
            await connection.close()
            raise
        return connection
