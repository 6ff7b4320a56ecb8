"""The error class and the message for each SQLSTATE. `docs/reference/database.md` has what a caller does.

Owns the tables; `errors` applies them to exceptions of the driver. Must not import the driver. Codes of the schema's
own functions come first, then the whole code, its first three characters, its first two: a code that a later server
adds still gets the error of its class.
"""

from __future__ import annotations

import re
from typing import Final

from penstock.errors import (
    ClaimRefused,
    DatabaseUnavailable,
    DeadlockDetected,
    DiskFull,
    LoginRefused,
    MissingRights,
    NoSuchDatabase,
    OutOfResources,
    PenstockError,
    ReadOnlyServer,
    RejectedByDatabase,
    RowLocked,
    SchemaMissing,
    SerializationFailure,
    ServerFault,
    ServerShutdown,
    SessionTimedOut,
    StatementRefused,
    StatementTimeout,
    StoreError,
    TooManyConnections,
    TooManyQueues,
    TransactionAborted,
    TransactionRolledBack,
    UniqueConflict,
)

OURS: Final[dict[str, tuple[type[StoreError], str]]] = {
    "PN001": (ClaimRefused, ""),
    "PN002": (UniqueConflict, ""),
    "PN003": (
        TooManyQueues,
        "; check the name, or apply a JobQueue for it; `penstock doctor` lists such queues",
    ),
}
"""SQLSTATEs that the functions of the schema raise. Their text is the message; the second value is appended."""
STATES: Final[dict[str, tuple[type[StoreError], str]]] = {
    "40P01": (
        DeadlockDetected,
        (
            "the server rolled this transaction back to resolve a deadlock; nothing was written, retry the whole "
            "transaction"
        ),
    ),
    "40001": (
        SerializationFailure,
        (
            "a concurrent transaction changed rows that this one read, above READ COMMITTED; nothing was written, "
            "retry the whole transaction"
        ),
    ),
    "40": (TransactionRolledBack, "the server rolled this transaction back; retry it as a whole"),
    "55P03": (RowLocked, "another transaction locks a row that this needs and does not end; nothing was written"),
    "57014": (
        StatementTimeout,
        (
            "the server canceled the statement: it exceeded statement_timeout, or an administrator canceled it; "
            "nothing was written"
        ),
    ),
    "25P02": (
        TransactionAborted,
        "an earlier statement of this transaction failed; roll the transaction back and retry it",
    ),
    "25P03": (
        SessionTimedOut,
        (
            "the server ended this session because its transaction was idle for longer than "
            "idle_in_transaction_session_timeout; nothing was written, retry the transaction on a new connection"
        ),
    ),
    "25P04": (
        SessionTimedOut,
        (
            "the server ended this session because its transaction took longer than transaction_timeout; nothing was "
            "written, retry the transaction on a new connection"
        ),
    ),
    "57P05": (
        SessionTimedOut,
        "the server ended this session because it was idle for longer than idle_session_timeout; reconnect",
    ),
    "25006": (ReadOnlyServer, "the server accepts no writes: a standby, or set read-only"),
    "28": (LoginRefused, "the server refused the login"),
    "3D000": (NoSuchDatabase, "the server has no such database"),
    "57P04": (NoSuchDatabase, "the database was dropped"),
    "53300": (
        TooManyConnections,
        "a connection limit is reached (max_connections, or CONNECTION LIMIT of the login or the database)",
    ),
    "53100": (DiskFull, "the server's disk is full; nothing was written, retry after an administrator has freed space"),
    "53": (OutOfResources, "the server lacks memory, temporary files or another resource; nothing was written"),
    "57P": (
        ServerShutdown,
        "the server is starting up or shutting down, or an administrator ended the connection; reconnect later",
    ),
    "58": (ServerFault, "the server's operating system reported an error; see the server's log"),
    "XX": (ServerFault, "the server had an internal error, or a table or index is corrupted; see the server's log"),
    "08": (DatabaseUnavailable, "the database cannot be reached or the connection was lost"),
    "26000": (StoreError, "behind a pooler in transaction mode a connection must be made with prepare_threshold=None"),
    "42P05": (StoreError, "behind a pooler in transaction mode a connection must be made with prepare_threshold=None"),
    "42501": (MissingRights, "the login lacks a right; `penstock grants` prints the grants of each role"),
    "42": (StatementRefused, "the server refused the statement"),
    "22P05": (RejectedByDatabase, "the database refused the data: it has NUL or a character that the encoding lacks"),
    "22021": (RejectedByDatabase, "the database refused the data: a text is not valid in its encoding or in UTF-8"),
    "22": (RejectedByDatabase, "the database refused the data"),
    "23": (RejectedByDatabase, "the database refused the data"),
    "54": (RejectedByDatabase, "the database refused the data"),
}
"""By SQLSTATE, by its first three characters, or by its class, the first two."""
_MISSING: Final = ("3F000", "42P01", "42883", "42703")
"""SQLSTATEs of an absent schema, table, function or column."""
_WORDS: Final[tuple[tuple[str, re.Pattern[str]], ...]] = (
    (
        "28",
        re.compile(
            r"authentication failed|not permitted to log in|no pg_hba\.conf entry|"
            r"pg_hba\.conf rejects connection|role \".*\" does not exist|no such user|no password supplied"
        ),
    ),
    ("3D000", re.compile(r'database ".*" does not exist|no such database')),
    (
        "53300",
        re.compile(
            r"too many (clients|connections)|connection slots are reserved|"
            r"no more connections allowed"
        ),
    ),
    (
        "57P",
        re.compile(
            r"the database system is (starting up|shutting down|in recovery mode|not yet accepting connections|"
            r"not accepting connections)|terminating connection due to administrator command"
        ),
    ),
)
"""Messages of the server by SQLSTATE, because libpq reports no SQLSTATE when a connection is refused."""
_NO_CONNECT: Final = 'permission denied for database "'


def by_state(state: str, text: str, doing: str) -> PenstockError | None:
    """The store's error for an SQLSTATE and the server's text; None for an unknown state."""
    if state in OURS:
        kind, more = OURS[state]
        return kind(text + more)
    if state in _MISSING and "penstock" in text:
        return SchemaMissing(f"{doing}: the schema penstock is missing or incomplete; run `penstock migrate` ({text})")
    for key in (state, state[:3], state[:2]):
        if key in STATES:
            kind, meaning = STATES[key]
            return kind(f"{doing}: {meaning} ({text})")
    return None


def by_words(whole: str, text: str, doing: str) -> PenstockError | None:
    """The store's error for a refused connection; None if the message is unknown.

    Args:
        whole: the driver's whole message; one line per host.
        text: its first line.
        doing: the operation.
    """
    for state, words in _WORDS:
        if words.search(whole):
            return by_state(state, text, doing)
    if _NO_CONNECT in whole:
        meaning = "the login may not connect to this database; as its owner run GRANT CONNECT ON DATABASE … TO …"
        return MissingRights(f"{doing}: {meaning} ({text})")
    return None
