"""A TCP proxy in front of a server that loses what a network loses.

It understands just enough of the protocol to wait for the server's ReadyForQuery: by then the statement is committed,
so a reply dropped there is the case that matters: committed, but the client sees a dead connection.
"""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit, urlunsplit

if TYPE_CHECKING:
    from types import TracebackType

READY_FOR_QUERY = b"Z"


class Proxy:
    """Forwards to the server of `url`; `proxy.url` leads through it.

    It listens on `port`, by default any free one. One thread serves all connections. `drop_reply` may be called at any
    time; each call loses one reply.
    """

    def __init__(self, url: str, *, port: int = 0) -> None:
        parts = urlsplit(url)
        self._server = (parts.hostname or "127.0.0.1", parts.port or 5432)
        self._listener = socket.create_server(("127.0.0.1", port))
        credentials = parts.netloc.rpartition("@")[0]
        host = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.url = urlunsplit(parts._replace(netloc=f"{credentials}@{host}" if credentials else host))
        self.dropped = 0
        self._needles: list[bytes] = []
        self._forwarding = threading.Event()
        self._forwarding.set()
        self._links: dict[socket.socket, _Link] = {}
        self._bell, self._rope = socket.socketpair()
        self._thread = threading.Thread(target=self._serve, name="postgres-proxy")
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def drop_reply(self, to: str = "") -> None:
        """Lose the reply to the next request whose bytes contain `to` (any request if empty), then the connection.

        A prepared statement's later executions carry its name, not its text.
        """
        self._needles.append(to.encode())

    def freeze(self) -> None:
        """Forward nothing until `thaw`: the connection seems alive, and nothing arrives."""
        self._forwarding.clear()

    def thaw(self) -> None:
        self._forwarding.set()
        self._rope.send(b".")

    def cut(self) -> None:
        """Close every connection at once, as a failover does."""
        for link in set(self._links.values()):
            link.shut()

    def close(self) -> None:
        """End the thread and every connection."""
        self._listener.close()
        self._forwarding.set()
        self._rope.close()
        self._thread.join()

    def _serve(self) -> None:
        with self._bell:
            while self._rope.fileno() != -1:
                watched = [self._bell, *([self._listener] if self._listener.fileno() != -1 else [])]
                watched += self._links if self._forwarding.is_set() else []
                try:
                    readable, _, _ = select.select(watched, [], [], 0.05)
                except (OSError, ValueError):  # a socket closed meanwhile
                    continue
                for one in readable:
                    self._handle(one)
            for link in set(self._links.values()):
                link.close()

    def _handle(self, one: socket.socket) -> None:
        with contextlib.suppress(OSError):
            if one is self._bell:
                one.recv(100)
                return
            if one is self._listener:
                self._accept(one.accept()[0])
                return
        link = self._links.get(one)
        if link is not None and self._forwarding.is_set() and not link.forward(one, self):
            link.close()
            self._links = {key: other for key, other in self._links.items() if other is not link}

    def _accept(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection(self._server, timeout=10)
        except OSError:
            client.close()
            return
        link = _Link(client, server)
        self._links |= {client: link, server: link}

    def take_needle(self, request: bytes) -> bool:
        """Whether the reply to `request` is to be lost; each `drop_reply` is used once."""
        for number, needle in enumerate(self._needles):
            if needle in request:
                del self._needles[number]
                return True
        return False


class _Link:
    """One client's connection and its way to the server."""

    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self.client, self.server = client, server
        self._dropping = False
        self._swallowed = b""

    def forward(self, source: socket.socket, proxy: Proxy) -> bool:
        """Pass on what has arrived; False once the connection is over."""
        try:
            data = source.recv(65536)
            if not data:
                return False
            if source is self.client:
                self._dropping = self._dropping or proxy.take_needle(data)
                self.server.sendall(data)
            elif self._dropping:
                self._swallowed += data
                if self._reply_is_complete():
                    proxy.dropped += 1
                    return False
            else:
                self.client.sendall(data)
        except OSError:
            return False
        return True

    def _reply_is_complete(self) -> bool:
        at = 0
        while at + 5 <= len(self._swallowed):
            kind, length = self._swallowed[at : at + 1], int.from_bytes(self._swallowed[at + 1 : at + 5])
            at += 1 + length
            if kind == READY_FOR_QUERY and at <= len(self._swallowed):
                return True
        return False

    def shut(self) -> None:
        for one in (self.client, self.server):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.client.close()
        self.server.close()
