"""The settings of a session that change what Penstock sends or reads, and the values that it relies on.

A server, a database and a role may each set them (`ALTER DATABASE … SET datestyle = 'German'`). On a direct connection
they are set once, by the statement that opens it, so that a later reload of the server's configuration changes nothing
either. Behind a pooler in transaction mode a session belongs to everybody: there they are set in each transaction, and
only if one of them differs, because that costs two round trips a statement.

Not in the list: `TimeZone` (times carry their offset) and `default_transaction_read_only` (a database that must not be
written to is left alone). A task's own transaction keeps the settings of its login.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import psycopg
from psycopg.abc import Params
from psycopg.pq import TransactionStatus
from psycopg.rows import tuple_row


class Setting(NamedTuple):
    """One that is relied on: its name, a regular expression of the values that do, the value that is set, and why."""

    name: str
    accepted: str
    value: str
    why: str


SETTINGS: Final = (
    Setting("DateStyle", "^ISO", "ISO", "times are read as ISO 8601"),
    Setting("IntervalStyle", "^postgres$", "postgres", "intervals are read in the default form"),
    Setting("extra_float_digits", "^[123]$", "1", "seconds are read without rounding"),
    Setting("standard_conforming_strings", "^on$", "on", "a backslash in a text is a backslash"),
    Setting("array_nulls", "^on$", "on", "NULL in an array is no text"),
    Setting("quote_all_identifiers", "^off$", "off", "definitions are compared as text"),
    Setting("transform_null_equals", "^off$", "off", "comparisons mean what they say"),
    Setting("search_path", "^(?!.+pg_catalog)", "pg_catalog, pg_temp", "no schema hides a function of the server"),
    Setting("default_transaction_isolation", "^read committed$", "read committed", "it sees what is committed"),
    Setting("synchronous_commit", "^(on|remote_write|remote_apply)$", "on", "a commit survives a crash of the server"),
    Setting("statement_timeout", "^0$", "0", "maintenance and migrations end by themselves"),
    Setting("lock_timeout", "^(0|10s|10000)$", "10s", "no statement waits without a bound; the functions have less"),
    Setting("idle_in_transaction_session_timeout", "^0$", "0", "a bulk enqueue may wait for its sender"),
    Setting("transaction_timeout", "^0$", "0", "as statement_timeout"),
    Setting("idle_session_timeout", "^0$", "0", "an idle worker keeps its connections"),
    Setting("plan_cache_mode", "^auto$", "auto", "short statements are planned once"),
    Setting("client_min_messages", "^(?!debug)", "notice", "the server's debugging is not for the client"),
    Setting("exit_on_error", "^off$", "off", "a refusal does not end the session"),
    Setting("restrict_nonsystem_relation_kind", "^$", "", "views may be read"),
)  # fmt: skip
_OF_SESSIONS: Final = ("default_transaction_isolation", "idle_session_timeout")
"""What no `SET LOCAL` brings about: BEGIN names the isolation, and a transaction is no idle session."""

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
"""The first statement of a connection: whose process answers, and which settings differ. Its parameter is the process
id that the server gave at the start: if it is the same, every setting is set for the session and none differs. What the
server does not know is left out. `lock_timeout` is set on every direct connection; behind a pooler its default,
none, is no reason for two round trips more: the functions have limits of their own."""

WHO: Final = b"SELECT pg_catalog.pg_backend_pid(), '{}'::pg_catalog.text[]"
"""The same where no setting is to be touched."""


def local(differ: Sequence[str]) -> bytes:
    """The statement that sets those that differ for one transaction; empty if none has to be."""
    wanted = [s for s in SETTINGS if s.name in differ and s.name not in _OF_SESSIONS]
    calls = ", ".join(f"set_config('{s.name}', '{s.value}', true)" for s in wanted)
    return f"SELECT {calls}".encode() if calls else b""


def needs_transactions(differ: Sequence[str]) -> bool:
    """Whether a statement behind a pooler must bring its settings along."""
    return any(name != "idle_session_timeout" for name in differ)


def cursor(differ: Sequence[str]) -> type[psycopg.Cursor[Any]]:
    """A class of cursors whose statements run under the settings that are relied on, each in a transaction."""
    begin, again = _statements(differ)

    class Cursor(psycopg.Cursor[Any]):
        def execute(
            self, query: Any, params: Params | None = None, *, prepare: bool | None = None, binary: bool | None = None
        ) -> Any:
            connection = self.connection
            plain = psycopg.Cursor(connection, row_factory=tuple_row)
            status = connection.info.transaction_status
            if status != TransactionStatus.IDLE:
                if again and status == TransactionStatus.INTRANS:
                    plain.execute(again)
                return super().execute(query, params, prepare=prepare, binary=binary)
            plain.execute(begin)
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
    begin, again = _statements(differ)

    class Cursor(psycopg.AsyncCursor[Any]):
        async def execute(
            self, query: Any, params: Params | None = None, *, prepare: bool | None = None, binary: bool | None = None
        ) -> Any:
            connection = self.connection
            plain = psycopg.AsyncCursor(connection, row_factory=tuple_row)
            status = connection.info.transaction_status
            if status != TransactionStatus.IDLE:
                if again and status == TransactionStatus.INTRANS:
                    await plain.execute(again)
                return await super().execute(query, params, prepare=prepare, binary=binary)
            await plain.execute(begin)
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
    again = local(differ)
    return b"BEGIN ISOLATION LEVEL READ COMMITTED" + (b"; " + again if again else b""), again
