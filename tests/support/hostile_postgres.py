"""Servers that speak as much of Postgres' protocol as a client believes, and then misbehave; each on a loopback port.

`hostile_servers` runs them in a thread of their own.
"""

from __future__ import annotations

import asyncio
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Final

from tests.support.postgres_messages import (
    NOTICE,
    NOTIFICATION,
    PIECE,
    TEXT,
    Behavior,
    Reader,
    Writer,
    data_row,
    error,
    flood,
    login,
    message,
    row_description,
    startup,
)


async def mute(reader: Reader, _writer: Writer) -> None:
    """Accept the connection and say nothing."""
    await reader.read()


async def mute_after_login(reader: Reader, writer: Writer) -> None:
    """Accept the login and answer no statement."""
    await login(reader, writer)
    await reader.read()


async def closes_at_once(_reader: Reader, _writer: Writer) -> None:
    """Close each connection as it comes."""


async def speaks_http(_reader: Reader, writer: Writer) -> None:
    """Another protocol."""
    writer.write(b"HTTP/1.1 400 Bad Request\r\nX-Secret: swordfish\r\n\r\n")
    await writer.drain()


async def leaks_through_an_error(_reader: Reader, writer: Writer) -> None:
    """A protocol whose refusals start with E, which libpq takes for an error message of an old server."""
    writer.write(b"ERROR swordfish\r\n\0")
    await writer.drain()


async def endless_login(reader: Reader, writer: Writer) -> None:
    """Ask for the password again and again."""
    await startup(reader, writer)
    await flood(writer, message(b"R", struct.pack(">I", 3)) * 1000)


async def endless_rows(reader: Reader, writer: Writer) -> None:
    """Answer the first statement with rows without end."""
    await login(reader, writer)
    await reader.read(1)
    writer.write(row_description([("value", TEXT)]))
    await flood(writer, data_row(["x" * 8000]) * 8)


async def one_huge_row(reader: Reader, writer: Writer) -> None:
    """Announce a row of a gibibyte and send it."""
    await login(reader, writer)
    await reader.read(1)
    writer.write(
        row_description([("value", TEXT)]) + b"D" + struct.pack(">I", 2**30) + struct.pack(">HI", 1, 2**30 - 10)
    )
    await flood(writer, PIECE)


async def endless_notices(reader: Reader, writer: Writer) -> None:
    """Notices instead of an answer."""
    await login(reader, writer)
    await reader.read(1)
    await flood(writer, NOTICE * 32)


async def endless_notifications(reader: Reader, writer: Writer) -> None:
    """Notifications instead of an answer."""
    await login(reader, writer)
    await reader.read(1)
    await flood(writer, NOTIFICATION * 256)


async def drip(reader: Reader, writer: Writer) -> None:
    """One byte of an answer now and then, with no pause long enough to be noticed."""
    await login(reader, writer)
    await reader.read(1)
    writer.write(b"N" + struct.pack(">I", 2**20))
    while True:
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.04)


async def wants_a_file(reader: Reader, writer: Writer) -> None:
    """Answer a statement by asking for data, as COPY FROM STDIN does."""
    await login(reader, writer)
    await reader.read(1)
    writer.write(message(b"G", b"\0\0\0"))
    await reader.read()


async def escapes(reader: Reader, writer: Writer) -> None:
    """Refuse the login with terminal escapes, a forged log line and a bidirectional override."""
    await startup(reader, writer)
    writer.write(
        error(
            "password authentication failed \x1b[2J\x1b]0;owned\x07\r\nERROR forged line\u202e txt",
            state="28P01",
            severity="FATAL",
        )
    )
    await writer.drain()


DEAF: Final[dict[str, Behavior]] = {
    "mute": mute,
    "mute after login": mute_after_login,
    "drip": drip,
    "endless login": endless_login,
    "endless notices": endless_notices,
    "endless notifications": endless_notifications,
    "wants a file": wants_a_file,
}
"""Those that never come to an answer."""
GREEDY: Final[dict[str, Behavior]] = {"endless rows": endless_rows, "one huge row": one_huge_row}
"""Those whose answers take memory."""
NETWORK: Final[dict[str, Behavior]] = {
    "closes at once": closes_at_once,
    "speaks HTTP": speaks_http,
    "leaks through an error": leaks_through_an_error,
}
"""Those that are no Postgres."""


@dataclass
class Servers:
    """Servers of behaviors, each with a URL."""

    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)
    connections: dict[str, int] = field(default_factory=dict)
    started: list[asyncio.Server] = field(default_factory=list)
    transports: list[asyncio.WriteTransport] = field(default_factory=list)

    def url(self, name: str, behavior: Behavior) -> str:
        """Start one."""
        port = asyncio.run_coroutine_threadsafe(self._start(name, behavior), self.loop).result(30)
        return f"postgresql://tenant:hunter2@127.0.0.1:{port}/x"

    async def _start(self, name: str, behavior: Behavior) -> int:
        async def serve(reader: Reader, writer: Writer) -> None:
            self.connections[name] = self.connections.get(name, 0) + 1
            self.transports.append(writer.transport)
            with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await behavior(reader, writer)
            writer.transport.abort()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        self.started.append(server)
        port: int = server.sockets[0].getsockname()[1]
        return port

    async def end(self) -> None:
        """Close every port and connection."""
        for server in self.started:
            server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        for transport in self.transports:
            transport.abort()
        await asyncio.sleep(0)  # what was aborted is closed in the next round


@contextmanager
def hostile_servers() -> Iterator[Servers]:
    """Servers in a thread of their own; all connections end with the block."""
    servers = Servers()
    thread = threading.Thread(target=servers.loop.run_forever, daemon=True)
    thread.start()
    try:
        yield servers
    finally:
        asyncio.run_coroutine_threadsafe(servers.end(), servers.loop).result(30)
        servers.loop.call_soon_threadsafe(servers.loop.stop)
        thread.join(30)
        servers.loop.close()
