"""psycopg's errors mapped to ours, once, where they enter.

The text of a database URL never reaches a message: libpq quotes what it could not parse, password and all.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import psycopg_pool

from penstock.database_url import hint
from penstock.errors import (
    ClaimRefused,
    DatabaseUnavailable,
    InvalidDatabaseURL,
    LoginRefused,
    MissingRights,
    NoSuchDatabase,
    PenstockError,
    ReadOnlyServer,
    RejectedByDatabase,
    RowLocked,
    SchemaMissing,
    StatementRefused,
    StoreError,
    TooManyConnections,
    TooManyQueues,
    UniqueConflict,
)

_MISSING = ("3F000", "42P01", "42883", "42703")
"""SQLSTATEs of an absent schema, table, function or column."""
_CONNECTING: tuple[tuple[type[StoreError], str, re.Pattern[str], str], ...] = (
    (
        LoginRefused, "28000 28P01", re.compile(r"authentication failed|not permitted to log in|no pg_hba\.conf entry|"
        r"pg_hba\.conf rejects connection|role \".*\" does not exist|no such user|no password supplied"),
        "the server refused the login",
    ),
    (
        NoSuchDatabase, "3D000", re.compile(r'database ".*" does not exist|no such database'),
        "the server has no such database",
    ),
    (
        TooManyConnections, "53300", re.compile(r"too many (clients|connections)|connection slots are reserved|"
        r"no more connections allowed"),
        "a limit of connections is reached (max_connections, or CONNECTION LIMIT of the login or the database)",
    ),
    (
        MissingRights, "", re.compile(r'permission denied for database "'),
        "the login may not connect to this database; let its owner run GRANT CONNECT ON DATABASE … TO …",
    ),
)  # fmt: skip
"""Kinds of refusal to connect: SQLSTATEs, and the server's words, because libpq gives no SQLSTATE of a start-up."""
_SESSION = ("26000", "42P05")
"""SQLSTATEs of a prepared statement that is missing, or there already: another session than the one that made it."""


def check_url(url: str) -> None:
    """Refuse a URL that libpq cannot parse, without quoting it.

    Raises:
        InvalidDatabaseURL: it is empty or cannot be parsed.
    """
    if not url.strip():
        raise InvalidDatabaseURL("database URL: must be postgresql://USER@HOST:PORT/DATABASE, got an empty string")
    msg = "database URL: must be postgresql://USER@HOST:PORT/DATABASE or key=value pairs; this does not parse"
    try:
        parts = psycopg.conninfo.conninfo_to_dict(url)
    except (psycopg.ProgrammingError, UnicodeDecodeError):
        raise InvalidDatabaseURL("; ".join(filter(None, (msg, hint(url))))) from None
    ports = str(parts.get("port") or "").split(",")
    if "@" in str(parts.get("host") or "") or not all(port.isdigit() or not port for port in ports):
        # libpq takes the end of a password with a bare '/' or '@' for host or port, and would quote it
        raise InvalidDatabaseURL(f"{msg}; {hint(url) or 'the port must be a number from 1 to 65535'}")


def _first_line(error: BaseException) -> str:
    return str(error).strip().split("\n", 1)[0]


def translate(error: psycopg.Error | psycopg_pool.PoolTimeout, doing: str) -> PenstockError:
    """Our error for one of psycopg's. `doing` says what was being done."""
    state = getattr(error, "sqlstate", None) or ""
    text = _first_line(error)
    if state == "PN001":
        return ClaimRefused(text)
    if state == "PN002":
        return UniqueConflict(text)
    if isinstance(error, psycopg.DataError) and not state:  # never sent: NUL in a text, values of several types
        return RejectedByDatabase(f"{doing}: the driver refused the data ({text})")
    if state == "PN003":
        return TooManyQueues(f"{text}; check the name, or apply a JobQueue for it; `penstock doctor` tells more")
    if state == "55P03":
        return RowLocked(f"{doing}: another transaction holds a row that this needs and does not end ({text})")
    if state in _MISSING and "penstock" in text:
        return SchemaMissing(f"{doing}: the schema penstock is missing or incomplete; run `penstock migrate` ({text})")
    if state in _SESSION:
        rule = "behind a pooler in transaction mode a connection must be made with prepare_threshold=None"
        return StoreError(f"{doing}: {rule} ({text})")
    if state == "42501":
        return MissingRights(
            f"{doing}: the login lacks a right; `penstock grants` prints what each role needs ({text})"
        )
    if state == "25006":
        return ReadOnlyServer(f"{doing}: the server accepts no writes: a standby, or set read-only ({text})")
    if state[:2] == "42":
        return StatementRefused(f"{doing}: the server does not accept the statement ({text})")
    if state[:2] in {"22", "23", "54"}:
        return RejectedByDatabase(f"{doing}: the database refused the data ({text})")
    if isinstance(error, psycopg.OperationalError):
        for kind, states, words, meaning in _CONNECTING:
            if state in states.split() or (not state and words.search(str(error))):
                return kind(f"{doing}: {meaning} ({text})")
    if isinstance(error, psycopg_pool.PoolTimeout | psycopg.OperationalError | psycopg.InterfaceError):
        return DatabaseUnavailable(f"{doing}: the database cannot be reached or the connection was lost ({text})")
    return StoreError(f"{doing}: {text}")


@contextmanager
def mapped(doing: str) -> Iterator[None]:
    """Raise ours for any of psycopg's errors inside the block."""
    try:
        yield
    except (psycopg.Error, psycopg_pool.PoolTimeout) as error:
        raise translate(error, doing) from error
    except UnicodeEncodeError as error:
        raise RejectedByDatabase(f"{doing}: text with a lone surrogate has no UTF-8 form") from error
    except RecursionError as error:
        raise StoreError(f"{doing}: JSON in the answer is nested too deeply to be read") from error
