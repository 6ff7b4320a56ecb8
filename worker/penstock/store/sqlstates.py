"""Which of our errors stands for an SQLSTATE, and what it says. `docs/reference/database.md` has what a caller does."""

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
    "PN003": (TooManyQueues, "; check the name, or apply a JobQueue for it; `penstock doctor` tells more"),
}
"""What the functions of the schema raise: their text is the message, with what to do next."""
STATES: Final[dict[str, tuple[type[StoreError], str]]] = {
    "40P01": (
        DeadlockDetected,
        "the server undid this transaction to resolve a deadlock; nothing was written, repeat the whole transaction",
    ),
    "40001": (
        SerializationFailure,
        ("a concurrent transaction changed what this one read, above READ COMMITTED; nothing was written, repeat the "
         "whole transaction"),
    ),
    "40": (TransactionRolledBack, "the server undid this transaction; repeat it as a whole"),
    "55P03": (RowLocked, "another transaction holds a row that this needs and does not end"),
    "57014": (
        StatementTimeout,
        ("the server canceled the statement: statement_timeout is too short for it, or somebody canceled it; nothing "
         "was written"),
    ),
    "25P02": (
        TransactionAborted,
        "an earlier statement of this transaction failed, so it accepts nothing more; roll it back and repeat it",
    ),
    "25P03": (
        SessionTimedOut,
        ("the server ended this session because its transaction was idle for longer than "
         "idle_in_transaction_session_timeout; nothing was written, repeat the transaction on a new connection"),
    ),
    "25P04": (
        SessionTimedOut,
        ("the server ended this session because its transaction took longer than transaction_timeout; nothing was "
         "written, repeat the transaction on a new connection"),
    ),
    "57P05": (
        SessionTimedOut,
        "the server ended this session because it was idle for longer than idle_session_timeout; connect again",
    ),
    "25006": (ReadOnlyServer, "the server accepts no writes: a standby, or set read-only"),
    "28": (LoginRefused, "the server refused the login"),
    "3D000": (NoSuchDatabase, "the server has no such database"),
    "57P04": (NoSuchDatabase, "the database was dropped"),
    "53300": (
        TooManyConnections,
        "a limit of connections is reached (max_connections, or CONNECTION LIMIT of the login or the database)",
    ),
    "53100": (
        DiskFull, "the server's disk is full; nothing was written, repeat it when an administrator has made room"
    ),
    "53": (OutOfResources, "the server lacks memory, temporary files or another resource; nothing was written"),
    "57P": (
        ServerShutdown,
        "the server is starting up or shutting down, or an administrator ended the connection; connect again later",
    ),
    "58": (ServerFault, "the server's operating system failed; its log says more"),
    "XX": (ServerFault, "the server failed inside, or a table or index is damaged; its log says more"),
    "08": (DatabaseUnavailable, "the database cannot be reached or the connection was lost"),
    "26000": (StoreError, "behind a pooler in transaction mode a connection must be made with prepare_threshold=None"),
    "42P05": (StoreError, "behind a pooler in transaction mode a connection must be made with prepare_threshold=None"),
    "42501": (MissingRights, "the login lacks a right; `penstock grants` prints what each role needs"),
    "42": (StatementRefused, "the server does not accept the statement"),
    "22P05": (RejectedByDatabase, "the database refused the data: its encoding has no such character, or it is NUL"),
    "22021": (RejectedByDatabase, "a text is not valid in the database's encoding or not in UTF-8"),
    "22": (RejectedByDatabase, "the database refused the data"),
    "23": (RejectedByDatabase, "the database refused the data"),
    "54": (RejectedByDatabase, "the database refused the data"),
}  # fmt: skip
"""By SQLSTATE, by its first three characters, or by its class, the first two."""
_MISSING: Final = ("3F000", "42P01", "42883", "42703")
"""SQLSTATEs of an absent schema, table, function or column."""
_WORDS: Final[tuple[tuple[str, re.Pattern[str]], ...]] = (
    (
        "28", re.compile(r"authentication failed|not permitted to log in|no pg_hba\.conf entry|"
        r"pg_hba\.conf rejects connection|role \".*\" does not exist|no such user|no password supplied"),
    ),
    ("3D000", re.compile(r'database ".*" does not exist|no such database')),
    (
        "53300", re.compile(r"too many (clients|connections)|connection slots are reserved|"
        r"no more connections allowed"),
    ),
    ("57P", re.compile(
        r"the database system is (starting up|shutting down|in recovery mode|not yet accepting connections|"
        r"not accepting connections)|terminating connection due to administrator command"),
    ),
)  # fmt: skip
"""The server's words for states, because libpq gives no SQLSTATE of a connection that was refused at its start."""
_NO_CONNECT: Final = 'permission denied for database "'


def by_state(state: str, text: str, doing: str) -> PenstockError | None:
    """Our error for an SQLSTATE and the server's text; None if the state says nothing."""
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
    """Our error for a refusal to connect.

    Args:
        whole: all that the driver says; several hosts have a line each.
        text: its first line.
        doing: what was being done.
    """
    for state, words in _WORDS:
        if words.search(whole):
            return by_state(state, text, doing)
    if _NO_CONNECT in whole:
        meaning = "the login may not connect to this database; let its owner run GRANT CONNECT ON DATABASE … TO …"
        return MissingRights(f"{doing}: {meaning} ({text})")
    return None
