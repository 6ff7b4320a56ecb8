"""Errors of other drivers as psycopg's: `errors.translate` is the only place that says what an SQLSTATE means."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Final

import psycopg

_LIBRARIES: Final = (("psycopg2", "Error"), ("asyncpg.exceptions", "PostgresError"), ("asyncpg", "InterfaceError"))
_LOST: Final = (ConnectionError, BrokenPipeError, TimeoutError)


def alike(error: BaseException) -> psycopg.Error | None:
    """The driver's error that this is, or that a framework has wrapped, as one of psycopg's; None if there is none."""
    for one in _chain(error):
        if isinstance(one, psycopg.Error):
            return one
        if _of_another_driver(one):
            return _as_psycopg(one)
    return None


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error, and what SQLAlchemy and Django keep in it."""
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


def _as_psycopg(error: BaseException) -> psycopg.Error:
    state = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)
    if state is None:
        names = {kind.__name__ for kind in type(error).__mro__}
        for kind in (psycopg.DataError, psycopg.OperationalError, psycopg.InterfaceError):
            if kind.__name__ in names:
                return kind(str(error))
        return psycopg.DatabaseError(str(error))
    try:
        made: psycopg.Error = psycopg.errors.lookup(state)(str(error))
    except KeyError:  # ours, or of a newer server
        made = psycopg.DatabaseError(str(error))
    made.sqlstate = state
    return made
