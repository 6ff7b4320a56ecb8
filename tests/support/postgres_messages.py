"""What a Postgres server says: messages, a login, and answers to statements, for servers that tests make up.

`penstock` answers what a database with Penstock's schema and nothing in it would.
"""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from penstock.store import latest_version

Reader = asyncio.StreamReader
Writer = asyncio.StreamWriter
Behavior = Callable[[Reader, Writer], Awaitable[None]]
Answer = tuple[Sequence[tuple[str, int]], Sequence[Sequence[str | None]]]
"""Columns with the ids of their types, and rows as text."""
BOOL, INT8, INT4, TEXT, FLOAT8, JSONB = 16, 20, 23, 25, 701, 3802
SNAPSHOT: Final = (
    ("queue", INT4),
    ("name", TEXT),
    ("paused", BOOL),
    ("declared", BOOL),
    ("ready", INT8),
    ("capped", BOOL),
    ("deferred", INT8),
    ("due_soon", INT8),
    ("in_flight", INT8),
    ("dead", INT8),
    ("oldest", FLOAT8),
    ("workers", JSONB),
)
"""Columns of a snapshot."""
RIGHTS: Final = (
    ("login", TEXT),
    ("usage", BOOL),
    ("functions", 1009),
    ("exists", BOOL),
    ("member", BOOL),
    ("inherits", BOOL),
    ("version", INT4),
)
"""Columns of what a login lacks."""
PIECE: Final = b"x" * 65_536


def message(kind: bytes, body: bytes) -> bytes:
    """One message of the server."""
    return kind + struct.pack(">I", len(body) + 4) + body


def row_description(columns: Sequence[tuple[str, int]]) -> bytes:
    """What comes before rows."""
    body = struct.pack(">H", len(columns))
    for name, oid in columns:
        body += name.encode() + b"\0" + struct.pack(">IHIhih", 0, 0, oid, -1, -1, 0)
    return message(b"T", body)


def data_row(values: Sequence[str | None]) -> bytes:
    """One row."""
    body = struct.pack(">H", len(values))
    for value in values:
        data = None if value is None else value.encode()
        body += struct.pack(">i", -1) if data is None else struct.pack(">I", len(data)) + data
    return message(b"D", body)


def error(text: str, *, state: str = "XX000", severity: str = "ERROR") -> bytes:
    """An error or, with kind N, a notice."""
    return message(b"E", b"S" + severity.encode() + b"\0C" + state.encode() + b"\0M" + text.encode() + b"\0\0")


READY: Final = message(b"Z", b"I")
NOTICE: Final = message(b"N", b"SNOTICE\0C00000\0M" + b"n" * 1000 + b"\0\0")
NOTIFICATION: Final = message(b"A", struct.pack(">I", 7) + b"penstock_depth\0" + b"1\0")


async def startup(reader: Reader, writer: Writer) -> None:
    """Read the client's first message; TLS and GSS are refused."""
    while True:
        (length,) = struct.unpack(">I", await reader.readexactly(4))
        body = await reader.readexactly(length - 4)
        if struct.unpack(">I", body[:4])[0] not in {80877103, 80877104}:
            return
        writer.write(b"N")


async def login(reader: Reader, writer: Writer) -> None:
    """Accept any user."""
    await startup(reader, writer)
    writer.write(message(b"R", struct.pack(">I", 0)))
    for name, value in (("server_version", "18.0"), ("client_encoding", "UTF8"), ("standard_conforming_strings", "on")):
        writer.write(message(b"S", name.encode() + b"\0" + value.encode() + b"\0"))
    writer.write(message(b"K", struct.pack(">II", 7, 7)) + READY)
    await writer.drain()


async def requests(reader: Reader) -> Any:
    """The client's messages: kind and body."""
    while True:
        kind = await reader.readexactly(1)
        (length,) = struct.unpack(">I", await reader.readexactly(4))
        yield kind, await reader.readexactly(length - 4)


async def flood(writer: Writer, piece: bytes) -> None:
    """The same without end, as fast as the client takes it, but for what the other servers of the thread need."""
    while True:
        writer.write(piece)
        await writer.drain()
        await asyncio.sleep(0.002)


def answers(rows: Callable[[str], Answer | bytes]) -> Behavior:
    """A server that answers each statement with `rows(sql)`: columns and rows, or the messages themselves."""

    async def serve(reader: Reader, writer: Writer) -> None:
        await login(reader, writer)
        prepared: dict[bytes, str] = {}
        sql = ""
        async for kind, body in requests(reader):
            if kind == b"Q":
                writer.write(_result(rows(body[:-1].decode())) + READY)
            elif kind == b"P":
                name, text, _ = body.split(b"\0", 2)
                sql = prepared[name] = text.decode()
                writer.write(message(b"1", b""))
            elif kind == b"B":
                sql = prepared[body.split(b"\0", 2)[1]]
                writer.write(message(b"2", b""))
            elif kind == b"E":
                writer.write(_result(rows(sql)))
            elif kind == b"S":
                writer.write(READY)
            elif kind == b"X":
                return
            await writer.drain()

    return serve


def _result(found: Answer | bytes) -> bytes:
    if isinstance(found, bytes):
        return found
    columns, rows = found
    return row_description(columns) + b"".join(map(data_row, rows)) + message(b"C", b"SELECT 1\0")


def penstock(sql: str) -> Answer | bytes:
    """What a database with Penstock's schema and no queue answers."""
    if "pg_control_system" in sql:
        return [("format", TEXT)], [["1/1"]]
    if "to_regclass" in sql:
        return [("to_regclass", TEXT)], [["penstock.schema_version"]]
    if "penstock.schema_version" in sql:
        return [("version", INT4), ("name", TEXT), ("checksum", TEXT)], [[str(latest_version()), "x", "x"]]
    if "has_schema_privilege" in sql:
        return RIGHTS, [["tenant", "t", "{}", "t", "t", "t", "180000"]]
    if "pg_backend_pid" in sql:
        return [("pg_backend_pid", INT4), ("differ", 1009)], [["7", "{}"]]
    if "penstock.sample(" in sql:
        return SNAPSHOT, []
    if "penstock.lead" in sql:
        return [("led_for", FLOAT8), ("left", FLOAT8)], [[None, "60"]]
    if sql.startswith(("LISTEN", "SET", "BEGIN", "COMMIT", "DISCARD", "DEALLOCATE")) or not sql.strip():
        return message(b"C", b"OK\0")
    if sql.strip() == "SELECT":
        return [], [[]]
    return [("value", INT8)], [["1"]]


def snapshot(*rows: Sequence[str | None], columns: Sequence[tuple[str, int]] = SNAPSHOT) -> Behavior:
    """A server that is right but for its snapshot."""
    return answers(lambda sql: (columns, rows) if "penstock.sample(" in sql else penstock(sql))


def queue_row(**changes: str | None) -> list[str | None]:
    """The row of a queue `bad` at rest, as text; `changes` by column."""
    row: dict[str, str | None] = dict.fromkeys((name for name, _ in SNAPSHOT), "0")
    row |= {"queue": "1", "name": "bad", "paused": "f", "declared": "t", "capped": "f", "oldest": None, "workers": "[]"}
    return list((row | changes).values())


def worker_row(**changes: Any) -> str:
    """One worker in a queue's row, as JSON."""
    return json.dumps(
        [{"id": 1, "state": "running", "concurrency": 1, "in_flight": 0, "done": 0, "pod": "p", **changes}]
    )
