"""The session settings that change what Penstock sends or reads, and the values that it needs.

A server, a database and a role may each set them (`ALTER DATABASE … SET datestyle = 'German'`). On a direct connection
the statement that opens it sets them once; a later reload of the server's configuration changes nothing. Behind a
pooler in transaction mode clients share sessions: there they are set in each transaction, and only if one of them
differs, because that costs two round trips per statement.

Not in the list: `TimeZone` (times carry their offset) and `default_transaction_read_only` (a read-only database stays
read-only). A task's own transaction keeps the settings of its login.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import psycopg
from psycopg.abc import Params
from psycopg.pq import TransactionStatus
from psycopg.rows import tuple_row


class Setting(NamedTuple):
    """A required setting: name, regular expression of acceptable values, the value that is set, and the reason."""

    name: str
    accepted: str
    value: str
    why: str


SETTINGS: Final = (
    Setting("DateStyle", "^ISO", "ISO", "times are read as ISO 8601"),
    Setting("IntervalStyle", "^postgres$", "postgres", "intervals are read in the default form"),
    Setting("extra_float_digits", "^[123]$", "1", "seconds are read without rounding"),
    Setting("standard_conforming_strings", "^on$", "on", "a backslash in a string is literal"),
    Setting("array_nulls", "^on$", "on", "NULL in an array is not a string"),
    Setting("quote_all_identifiers", "^off$", "off", "definitions are compared as text"),
    Setting("transform_null_equals", "^off$", "off", "comparisons with NULL follow the standard"),
    Setting("search_path", "^(?!.+pg_catalog)", "pg_catalog, pg_temp", "no schema hides a function of the server"),
    Setting("default_transaction_isolation", "^read committed$", "read committed", "statements see committed rows"),
    Setting("synchronous_commit", "^(on|remote_write|remote_apply)$", "on", "a commit survives a crash of the server"),
    Setting("statement_timeout", "^0$", "0", "maintenance and migrations are not canceled"),
    Setting("lock_timeout", "^(0|10s|10000)$", "10s", "every wait for a lock is bounded; the functions have less"),
    Setting("idle_in_transaction_session_timeout", "^0$", "0", "a bulk enqueue may wait for its sender"),
    Setting("transaction_timeout", "^0$", "0", "as statement_timeout"),
    Setting("idle_session_timeout", "^0$", "0", "an idle worker keeps its connections"),
    Setting("plan_cache_mode", "^auto$", "auto", "short statements are planned once"),
    Setting("client_min_messages", "^(?!debug)", "notice", "debug messages are not sent to clients"),
    Setting("exit_on_error", "^off$", "off", "an error does not end the session"),
    Setting("restrict_nonsystem_relation_kind", "^$", "", "views may be read"),
)
_OF_SESSIONS: Final = ("default_transaction_isolation", "idle_session_timeout")
"""Settings that `SET LOCAL` cannot change: BEGIN names the isolation, and a transaction is not an idle session."""

_LIST: Final = ", ".join(f"('{s.name}', '{s.accepted}', '{s.value}')" for s in SETTINGS)
OPEN: Final = f"""\
SELECT pg_catalog.pg_backend_pid(), ARRAY(
  SELECT w.name FROM (VALUES {_LIST}) AS w (name, accepted, value)
  WHERE CASE
    WHEN pg_catalog.current_setting(w.name, true) IS NULL THEN false
    WHEN pg_catalog.pg_backend_pid() OPERATOR(pg_catalog.=) %s::pg_catalog.int4 THEN
      pg_catalog.set_config(w.name, CASE
        WHEN pg_catalog.current_setting(w.name, true) OPERATOR(pg_catalog.~) w.accepted
          AND w.name OPERATOR(pg_catalog.<>) 'lock_timeout'
        THEN pg_catalog.current_setting(w.name, true) ELSE w.value END, false) IS NULL
    ELSE pg_catalog.current_setting(w.name, true) OPERATOR(pg_catalog.!~) w.accepted END)""".encode()  # noqa: S608
"""The first statement of a connection: returns the backend's process id and the settings that differ. Its parameter is
the process id that the server sent at connect: if it is the same, every setting is set for the session and none
differs. Settings that the server does not have are left out. `lock_timeout` is set on every direct connection; behind a
pooler its default, none, is not worth two more round trips: the functions have their own."""

WHO: Final = b"SELECT pg_catalog.pg_backend_pid(), '{}'::pg_catalog.text[]"
"""The same without changing any setting."""


def local(differ: Sequence[str]) -> bytes:
    """The statement that sets differing settings for one transaction; empty if none differs."""
    wanted = [s for s in SETTINGS if s.name in differ and s.name not in _OF_SESSIONS]
    calls = ", ".join(f"set_config('{s.name}', '{s.value}', true)" for s in wanted)
    return f"SELECT {calls}".encode() if calls else b""


def needs_transactions(differ: Sequence[str]) -> bool:
    """Return True if every statement behind a pooler must set its settings."""
    return any(name != "idle_session_timeout" for name in differ)


def cursor(differ: Sequence[str]) -> type[psycopg.Cursor[Any]]:
    """A cursor class whose statements run with the required settings, each in a transaction."""
    start, settings = _statements(differ)

    class Cursor(psycopg.Cursor[Any]):
        def execute(
            self, query: Any, params: Params | None = None, *, prepare: bool | None = None, binary: bool | None = None
        ) -> Any:
            connection = self.connection
            plain = psycopg.Cursor(connection, row_factory=tuple_row)
            status = connection.info.transaction_status
            if status != TransactionStatus.IDLE:
                if settings and status == TransactionStatus.INTRANS:
                    plain.execute(settings)
                return super().execute(query, params, prepare=prepare, binary=binary)
            plain.execute(start)
            try:
                super().execute(query, params, prepare=prepare, binary=binary)
                plain.execute(b"COMMIT")
            finally:
                if _is_open(connection):
                    plain.execute(b"ROLLBACK")
            return self

    return Cursor


def async_cursor(differ: Sequence[str]) -> type[psycopg.AsyncCursor[Any]]:
    """As `cursor`, for asyncio."""
    start, settings = _statements(differ)

    class Cursor(psycopg.AsyncCursor[Any]):
        async def execute(
            self, query: Any, params: Params | None = None, *, prepare: bool | None = None, binary: bool | None = None
        ) -> Any:
            connection = self.connection
            plain = psycopg.AsyncCursor(connection, row_factory=tuple_row)
            status = connection.info.transaction_status
            if status != TransactionStatus.IDLE:
                if settings and status == TransactionStatus.INTRANS:
                    await plain.execute(settings)
                return await super().execute(query, params, prepare=prepare, binary=binary)
            await plain.execute(start)
            try:
                await super().execute(query, params, prepare=prepare, binary=binary)
                await plain.execute(b"COMMIT")
            finally:
                if _is_open(connection):
                    await plain.execute(b"ROLLBACK")
            return self

    return Cursor


def _is_open(connection: psycopg.Connection[Any] | psycopg.AsyncConnection[Any]) -> bool:
    return connection.info.transaction_status in {TransactionStatus.INTRANS, TransactionStatus.INERROR}


def _statements(differ: Sequence[str]) -> tuple[bytes, bytes]:
    settings = local(differ)
    return b"BEGIN ISOLATION LEVEL READ COMMITTED" + (b"; " + settings if settings else b""), settings
