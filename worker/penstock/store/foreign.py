"""A statement of ours on somebody else's connection, inside their transaction: psycopg, SQLAlchemy or Django.

Nothing is imported of the frameworks; what a connection can do tells what it is. Commits nothing. Errors of the driver
are found inside the frameworks' own.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg

from penstock.errors import ConfigurationError, PenstockError

from .errors import mapped, translate


def scalar_on(connection: Any, text: bytes, values: Sequence[object], *, doing: str) -> Any:
    """The one value that the statement gives.

    Args:
        connection: a psycopg Connection, an SQLAlchemy Connection or Session, or a Django connection.
        text: the statement.
        values: its values.
        doing: what is being done, for errors.

    Raises:
        ConfigurationError: the connection is none of these.
        StoreError: the database refused.
    """
    if inspect.iscoroutinefunction(getattr(connection, "commit", None)):
        kind = type(connection).__name__
        raise ConfigurationError(f"{doing}: connection is asynchronous, await {doing}_async instead, got {kind}")
    with _through_frameworks(doing):
        if _is_session(connection):
            connection = connection.connection()
        if hasattr(connection, "exec_driver_sql"):
            _dialect_fits(connection, doing)
            return connection.exec_driver_sql(text.decode(), tuple(values)).scalar_one()
        if not hasattr(connection, "cursor"):
            kind = type(connection).__name__
            raise ConfigurationError(f"{doing}: connection must be of psycopg, SQLAlchemy or Django, got {kind}")
        with connection.cursor() as cursor:
            cursor.execute(text.decode(), tuple(values))
            return cursor.fetchone()[0]


async def scalar_on_async(connection: Any, text: bytes, values: Sequence[object], *, doing: str) -> Any:
    """As `scalar_on`, for a psycopg AsyncConnection or an SQLAlchemy AsyncConnection or AsyncSession."""
    with _through_frameworks(doing):
        if _is_session(connection):
            connection = await connection.connection()
        if hasattr(connection, "exec_driver_sql"):
            _dialect_fits(connection, doing)
            return (await connection.exec_driver_sql(text.decode(), tuple(values))).scalar_one()
        if not isinstance(connection, psycopg.AsyncConnection):
            kind = type(connection).__name__
            raise ConfigurationError(f"{doing}: connection must be asynchronous, of psycopg or SQLAlchemy, got {kind}")
        row = await (await connection.execute(text, tuple(values))).fetchone()
        return None if row is None else row[0]


def _is_session(connection: Any) -> bool:
    return hasattr(connection, "get_bind") and callable(getattr(connection, "connection", None))


def _dialect_fits(connection: Any, doing: str) -> None:
    driver = getattr(getattr(connection, "dialect", None), "driver", "psycopg")
    if driver not in {"psycopg", "psycopg_async", "psycopg2"}:
        raise ConfigurationError(f"{doing}: the connection's driver must be psycopg, got {driver}")


@contextmanager
def _through_frameworks(doing: str) -> Iterator[None]:
    """As `mapped`, for the driver's error inside SQLAlchemy's or Django's as well."""
    try:
        with mapped(doing):
            yield
    except PenstockError:
        raise
    except Exception as error:
        driver = getattr(error, "orig", None) or error.__cause__
        cause = error if isinstance(error, psycopg.Error) else driver
        if not isinstance(cause, psycopg.Error):
            raise
        raise translate(cause, doing) from error
