"""Maps psycopg's errors to the store's, once, where they enter.

The text of a database URL never reaches a message: libpq quotes what it cannot parse, including the password.
"""

from __future__ import annotations

import psycopg
import psycopg_pool

from penstock.database.source import Url, resolve
from penstock.database.url import hint, parts_hint
from penstock.errors import (
    DatabaseUnavailable,
    InvalidDatabaseURL,
    PartitionMissing,
    PenstockError,
    RejectedByDatabase,
    StoreError,
)

from .sqlstates import by_state, by_words


def check_url(source: Url) -> None:
    """Refuse a URL that libpq cannot parse, without quoting it. A function is called for its URL.

    Raises:
        InvalidDatabaseURL: it is empty or cannot be parsed.
    """
    url = resolve(source)
    if not url.strip():
        raise InvalidDatabaseURL("database URL: must be postgresql://USER@HOST:PORT/DATABASE, got an empty string")
    msg = "database URL: must be postgresql://USER@HOST:PORT/DATABASE or key=value pairs; it cannot be parsed"
    try:
        parts = psycopg.conninfo.conninfo_to_dict(url)
    except (psycopg.ProgrammingError, UnicodeDecodeError):
        raise InvalidDatabaseURL("; ".join(filter(None, (msg, hint(url))))) from None
    if wrong := parts_hint(url, parts):
        raise InvalidDatabaseURL(f"{msg}; {wrong}")


def _first_line(error: BaseException) -> str:
    return str(error).strip().split("\n", 1)[0]


def _is_of_no_partition(error: Exception) -> bool:
    """True if a check_violation means that no partition of outcome accepts the row, not that a constraint failed."""
    details = getattr(error, "diag", error)  # asyncpg has them on the error itself
    return getattr(details, "table_name", None) == "outcome" and not getattr(details, "constraint_name", None)


def translate(error: Exception, doing: str) -> PenstockError:
    """The store's error for a driver's. `doing` names the operation.

    The SQLSTATE decides, because the server's messages may be in any language; psycopg and asyncpg both call it
    `sqlstate`. Without one the connection could not be made or was lost.
    """
    state = getattr(error, "sqlstate", None) or ""
    text = _first_line(error)
    if isinstance(error, psycopg.DataError) and not state:  # never sent: NUL in a text, values of several types
        return RejectedByDatabase(f"{doing}: the driver refused the data ({text})")
    if state == "23514" and _is_of_no_partition(error):
        rule = "penstock.outcome has no partition for the current time; a worker creates it, or run `penstock migrate`"
        return PartitionMissing(f"{doing}: {rule} ({text})")
    found = by_state(state, text, doing) if state else by_words(str(error), text, doing)
    if found is not None:
        return found
    if not state and isinstance(error, psycopg_pool.PoolTimeout | psycopg.OperationalError | psycopg.InterfaceError):
        return DatabaseUnavailable(f"{doing}: the database cannot be reached or the connection was lost ({text})")
    return StoreError(f"{doing}: {text}")


def _unencodable(error: UnicodeEncodeError) -> str:
    if error.encoding.lower().replace("-", "") == "utf8":
        return "text with a lone surrogate cannot be encoded as UTF-8"
    encoding = f"{error.encoding}, the connection's client_encoding"
    return f"text cannot be encoded in {encoding}; run SET client_encoding = 'UTF8'"


def ours(error: BaseException, doing: str) -> PenstockError | None:
    """The store's error for one of psycopg's, or for text that cannot be sent or read; None for any other."""
    match error:
        case psycopg.Error() | psycopg_pool.PoolTimeout():
            return translate(error, doing)
        case UnicodeEncodeError():
            return RejectedByDatabase(f"{doing}: {_unencodable(error)}")
        case UnicodeDecodeError():
            return StoreError(f"{doing}: the database returned text that is not UTF-8")
        case RecursionError():
            return StoreError(f"{doing}: the database returned JSON that is nested too deeply to decode")
    return None


class mapped:  # noqa: N801 - a context, called as a function is
    """Raises the store's error for any of psycopg's inside the block. A class: a generator costs more."""

    __slots__ = ("_doing",)

    def __init__(self, doing: str) -> None:
        self._doing = doing

    def __enter__(self) -> None:
        """Nothing to open."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        """Raise the error of `ours`."""
        if error is not None and (found := ours(error, self._doing)) is not None:
            raise found from error
