"""Runs one of our statements on the caller's connection, inside its transaction. Commits nothing.

`connection_kind` lists the kinds of connections. Every value is sent as text and the result comes back as text, with
any driver: no row factory, type codec or adapter of the connection applies. With psycopg and psycopg2 the cursor is
made here, because the connection's own class may use other placeholders or return other rows.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

import psycopg
from psycopg.adapt import PyFormat
from psycopg.rows import tuple_row
from psycopg.types.string import StrDumper, TextLoader

from penstock.errors import ConfigurationError, PenstockError, StoreError

from ..errors import ours, translate
from .connection_kind import check_dialect, check_vendor, kind_of
from .driver_errors import as_psycopg_error

Values = Sequence[str | None]
_PLACEHOLDER: Final = re.compile(r"%s")
_TEXT_OID: Final = 25
_OTHER_SESSION: Final = ("26000", "42P05")
"""SQLSTATEs of a prepared statement that is missing or exists already: a pooler assigned another session."""


def fetch_value(connection: Any, text: bytes, values: Values, *, doing: str) -> str | None:
    """The single value of the statement, as text.

    Args:
        connection: of a kind that `connection_kind` accepts for sync calls.
        text: the statement, with %s for each value, cast to its type.
        values: its values as text.
        doing: the operation, for errors.

    Raises:
        ConfigurationError: the connection is of another kind; nothing was sent.
        StoreError: the database refused.
    """
    kind = kind_of(connection, doing, asynchronous=False)
    with through_drivers(doing):
        _check_text(values)
        match kind:
            case "psycopg":
                found = _psycopg(connection, text, values)
            case "psycopg2":
                found = _psycopg2(connection, text, values, doing)
            case "django":
                check_vendor(connection, doing)
                with connection.cursor() as cursor:
                    cursor.execute(f"{text.decode()}::text", tuple(values))
                    found = _first(cursor.fetchone())
            case _:
                opened = connection.connection() if hasattr(connection, "get_bind") else connection
                driver = check_dialect(opened, doing)
                found = opened.exec_driver_sql(*_driver_sql(driver, text, values)).scalar_one()
    return _as_text(found)


async def fetch_value_async(connection: Any, text: bytes, values: Values, *, doing: str) -> str | None:
    """As `fetch_value`, for what `connection_kind` accepts for async calls."""
    kind = kind_of(connection, doing, asynchronous=True)
    with through_drivers(doing):
        _check_text(values)
        match kind:
            case "psycopg":
                found = await _psycopg_async(connection, text, values)
            case "asyncpg":
                found = await connection.fetchval(_numbered(text), *values)
            case _:
                opened = connection
                if hasattr(connection, "get_bind"):
                    opened = await connection.connection()
                driver = check_dialect(opened, doing)
                found = (await opened.exec_driver_sql(*_driver_sql(driver, text, values))).scalar_one()
    return _as_text(found)


def _check_text(values: Values) -> None:
    """Refuse NUL with psycopg's message; the drivers and the server have different ones."""
    for value in values:
        if value is not None and "\0" in value:
            raise psycopg.DataError("PostgreSQL text fields cannot contain NUL (0x00) bytes")


def _psycopg(connection: psycopg.Connection[Any], text: bytes, values: Values) -> object:
    cursor = psycopg.Cursor(connection, row_factory=tuple_row)
    _plain(cursor)
    row = cursor.execute(text + b"::text", values, prepare=_prepare(connection)).fetchone()
    return _first(row)


async def _psycopg_async(connection: psycopg.AsyncConnection[Any], text: bytes, values: Values) -> object:
    cursor = psycopg.AsyncCursor(connection, row_factory=tuple_row)
    _plain(cursor)
    await cursor.execute(text + b"::text", values, prepare=_prepare(connection))
    return _first(await cursor.fetchone())


def _plain(cursor: psycopg.Cursor[Any] | psycopg.AsyncCursor[Any]) -> None:
    """Send and read text as text, whatever the application has registered on its connection."""
    adapters = cursor.adapters
    if adapters.get_dumper(str, PyFormat.AUTO).__name__ != StrDumper.__name__:
        adapters.register_dumper(str, StrDumper)
    loader = adapters.get_loader(_TEXT_OID, psycopg.pq.Format.TEXT)
    if loader is None or loader.__name__ != TextLoader.__name__:
        adapters.register_loader("text", TextLoader)


def _prepare(connection: psycopg.Connection[Any] | psycopg.AsyncConnection[Any]) -> bool | None:
    """No prepared statement if the connection's own cursors make none: it may go through a pooler."""
    factory: object = connection.cursor_factory
    clients = (psycopg.ClientCursor, psycopg.AsyncClientCursor)
    return False if isinstance(factory, type) and issubclass(factory, clients) else None


def _psycopg2(connection: Any, text: bytes, values: Values, doing: str) -> object:
    if connection.async_:
        raise ConfigurationError(
            f"{doing}: an asynchronous connection of psycopg2 has no transactions; pass one of psycopg or asyncpg"
        )
    with sys.modules["psycopg2.extensions"].cursor(connection) as cursor:
        cursor.execute(f"{text.decode()}::text", tuple(values))
        return _first(cursor.fetchone())


def _driver_sql(driver: str, text: bytes, values: Values) -> tuple[str, tuple[str | None, ...], dict[str, bool]]:
    """Arguments of `exec_driver_sql`: one result at once, even where the connection streams."""
    statement = _numbered(text) if driver == "asyncpg" else f"{text.decode()}::text"
    return statement, tuple(values), {"stream_results": False}


def _numbered(text: bytes) -> str:
    """The statement with $1, $2 for its values, each declared as text: asyncpg otherwise requires Python types."""
    numbers = iter(range(1, 1000))
    return _PLACEHOLDER.sub(lambda _: f"${next(numbers)}::text", text.decode()) + "::text"


def _first(row: Any) -> object:
    """The only column of a row, as a tuple or as any kind of mapping."""
    return next(iter(row.values())) if isinstance(row, Mapping) else row[0]


def _as_text(found: object) -> str | None:
    return found.decode() if isinstance(found, bytes) else None if found is None else str(found)


class through_drivers:  # noqa: N801 - a context, called as a function is
    """As `errors.mapped`, for the errors of any driver, also wrapped by SQLAlchemy or Django."""

    __slots__ = ("_doing",)

    def __init__(self, doing: str) -> None:
        self._doing = doing

    def __enter__(self) -> None:
        """Nothing to open."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        """Raise the store's error; other exceptions pass."""
        if isinstance(error, Exception) and not isinstance(error, PenstockError):
            found = _ours(error, self._doing)
            if found is not None:
                raise found from error


def _ours(error: Exception, doing: str) -> PenstockError | None:
    found = ours(error, doing)
    if found is not None:
        return found
    if type(error).__name__ == "UnboundExecutionError":
        return ConfigurationError(
            f"{doing}: the session has no single engine; pass session.connection(bind_arguments=...) for the "
            "database with Penstock's schema; nothing was sent"
        )
    driver = as_psycopg_error(error)
    if driver is None:
        return None
    if driver.sqlstate in _OTHER_SESSION and "asyncpg" in _modules(error):
        return StoreError(
            f"{doing}: behind a pooler in transaction mode an asyncpg connection must be made with "
            "statement_cache_size=0, an engine of SQLAlchemy with prepared_statement_cache_size=0 and a "
            f"prepared_statement_name_func as well ({driver})"
        )
    return translate(driver, doing)


def _modules(error: BaseException) -> set[str]:
    """The packages of the errors in a chain."""
    found: set[str] = set()
    one: BaseException | None = error
    while one is not None:
        found.add(type(one).__module__.partition(".")[0])
        one = one.__cause__
    return found
