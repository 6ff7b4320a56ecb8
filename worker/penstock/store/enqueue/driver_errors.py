"""Converts errors of other drivers to psycopg's, because only `errors.translate` maps SQLSTATEs."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Final

import psycopg

_LIBRARIES: Final = (("psycopg2", "Error"), ("asyncpg.exceptions", "PostgresError"), ("asyncpg", "InterfaceError"))
_LOST: Final = (ConnectionError, BrokenPipeError, TimeoutError)


def as_psycopg_error(error: BaseException) -> psycopg.Error | None:
    """The driver's error, or the one that a framework wrapped, as an error of psycopg; None if there is none."""
    for one in _chain(error):
        if isinstance(one, psycopg.Error):
            return one
        if _of_another_driver(one):
            return _converted(one)
    return None


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and its causes, as SQLAlchemy and Django store them."""
    seen: set[int] = set()
    one: object = error
    while isinstance(one, BaseException) and id(one) not in seen:
        seen.add(id(one))
        yield one
        one = getattr(one, "orig", None) or one.__cause__


def _of_another_driver(error: BaseException) -> bool:
    for module, name in _LIBRARIES:
        known = getattr(sys.modules.get(module), name, None)
        if isinstance(known, type) and isinstance(error, known):
            return True
    return False


def _converted(error: BaseException) -> psycopg.Error:
    state = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)
    if state is None:
        names = {kind.__name__ for kind in type(error).__mro__}
        for kind in (psycopg.DataError, psycopg.OperationalError, psycopg.InterfaceError):
            if kind.__name__ in names:
                return kind(str(error))
        return psycopg.DatabaseError(str(error))
    try:
        made: psycopg.Error = psycopg.errors.lookup(state)(str(error))
    except KeyError:  # of the schema's functions, or of a newer server
        made = psycopg.DatabaseError(str(error))
    made.sqlstate = state
    return made
