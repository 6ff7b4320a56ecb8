"""The kind of a caller's connection, found by its class before anything is sent on it.

    kind         accepted
    psycopg      Connection, AsyncConnection, and their subclasses
    psycopg2     connection and its subclasses
    asyncpg      Connection, and connections of its pool
    sqlalchemy   Connection, Session, scoped_session; their asynchronous forms; over psycopg, psycopg2 or asyncpg
    django       a connection of `django.db`, of its PostgreSQL backend

Everything else is refused with its class and what to pass instead. No library is imported: an object of a library's
class cannot exist before the library was imported.
"""

from __future__ import annotations

import sys
from typing import Any, Final, Literal, NoReturn

import psycopg

from penstock.errors import ConfigurationError

Kind = Literal["psycopg", "psycopg2", "asyncpg", "sqlalchemy", "django"]

_CLASSES: Final[tuple[tuple[Kind, bool, str, str], ...]] = (
    ("psycopg2", False, "psycopg2.extensions", "connection"),
    ("asyncpg", True, "asyncpg.connection", "Connection"),
    ("asyncpg", True, "asyncpg.pool", "PoolConnectionProxy"),
    ("sqlalchemy", False, "sqlalchemy.engine", "Connection"),
    ("sqlalchemy", False, "sqlalchemy.orm", "Session"),
    ("sqlalchemy", False, "sqlalchemy.orm", "scoped_session"),
    ("sqlalchemy", True, "sqlalchemy.ext.asyncio", "AsyncConnection"),
    ("sqlalchemy", True, "sqlalchemy.ext.asyncio", "AsyncSession"),
    ("sqlalchemy", True, "sqlalchemy.ext.asyncio", "async_scoped_session"),
    ("django", False, "django.db.backends.base.base", "BaseDatabaseWrapper"),
    ("django", False, "django.utils.connection", "ConnectionProxy"),
)
"""Kind, whether it is asynchronous, module and class."""
_INSTEAD: Final[tuple[tuple[str, str, str], ...]] = (
    ("psycopg_pool", "", "pass a connection of it: with pool.connection() as connection"),
    ("psycopg2.pool", "", "pass a connection of it: connection = pool.getconn()"),
    ("asyncpg.pool", "Pool", "pass a connection of it: async with pool.acquire() as connection"),
    ("sqlalchemy", "Engine", "pass a connection of it: with engine.begin() as connection"),
    ("sqlalchemy", "AsyncEngine", "pass a connection of it: async with engine.begin() as connection"),
    ("sqlalchemy", "sessionmaker", "call it, and pass the session"),
    ("sqlalchemy", "async_sessionmaker", "call it, and pass the session"),
    ("psycopg", "", "pass the connection of this cursor"),
    ("psycopg2", "", "pass the connection of this cursor"),
    ("django", "ConnectionHandler", 'pass one of them: connections["default"]'),
    ("builtins", "str", "a URL belongs to App(url)"),
)
"""Module (with its submodules), class (any if empty), and what to pass instead."""
ACCEPTED: Final = "psycopg, psycopg2, asyncpg, SQLAlchemy or Django"
DRIVERS: Final = frozenset({"psycopg", "psycopg_async", "psycopg2", "asyncpg"})


def kind_of(connection: object, doing: str, *, asynchronous: bool) -> Kind:
    """The kind of a connection.

    Args:
        connection: the caller's.
        doing: the call, for errors.
        asynchronous: the call is the async one.

    Raises:
        ConfigurationError: its kind is not accepted, or does not match the call.
    """
    found = _found(connection)
    if found is None:
        _refuse(connection, doing)
    kind, is_async = found
    if is_async != asynchronous:
        name = type(connection).__name__
        if is_async:
            raise ConfigurationError(f"{doing}: connection is asynchronous, await {doing}_async instead, got {name}")
        raise ConfigurationError(
            f"{doing}_async: connection must be asynchronous, call {doing} with this one, got {name} of {kind}"
        )
    return kind


def _found(connection: object) -> tuple[Kind, bool] | None:
    if isinstance(connection, psycopg.Connection):
        return "psycopg", False
    if isinstance(connection, psycopg.AsyncConnection):
        return "psycopg", True
    for kind, is_async, module, name in _CLASSES:
        known = getattr(sys.modules.get(module), name, None)
        if isinstance(known, type) and isinstance(connection, known):
            return kind, is_async
    return None


def _refuse(connection: object, doing: str) -> NoReturn:
    given = type(connection)
    module, name = given.__module__, given.__qualname__
    hints = (
        hint for root, of, hint in _INSTEAD if (module == root or module.startswith(f"{root}.")) and of in {"", name}
    )
    hint = next(hints, "")
    shown = name if module == "builtins" else f"{module}.{name}"
    raise ConfigurationError(
        f"{doing}: connection must be of {ACCEPTED}, got {shown}{'; ' if hint else ''}{hint}; nothing was sent"
    )


def check_dialect(connection: Any, doing: str) -> str:
    """The driver of an SQLAlchemy connection.

    Raises:
        ConfigurationError: it is of another database, or its driver is not accepted.
    """
    driver = str(connection.dialect.driver)
    if connection.dialect.name != "postgresql" or driver not in DRIVERS:
        raise ConfigurationError(
            f"{doing}: the connection's driver must be psycopg, psycopg2 or asyncpg, got {driver}; nothing was sent"
        )
    return driver


def check_vendor(connection: Any, doing: str) -> None:
    """Refuse a Django connection of another database.

    Raises:
        ConfigurationError: the message names its backend.
    """
    vendor = getattr(connection, "vendor", None)
    if vendor != "postgresql":
        raise ConfigurationError(
            f"{doing}: the connection's backend must be django.db.backends.postgresql, got {vendor}; nothing was sent"
        )
