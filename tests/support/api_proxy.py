"""An HTTP proxy in front of the API server that fails as a real one does: it refuses, hangs or falls silent.

Owns its threads and its connections to the server. Speaks plain HTTP to the client, which needs no certificate, and
forwards the client's bearer token, so the client keeps its rights.

A watch that is made silent stays open and delivers no more events, which is how a network loses one.
"""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Self

import urllib3
import yaml

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

Matches = Callable[[str, str], bool]
"""(method, path with query) -> whether a rule is about the request."""
_DROPPED = frozenset({"connection", "content-length", "host", "keep-alive", "transfer-encoding", "accept-encoding"})


@dataclass(slots=True)
class Rule:
    """What is answered in the server's place, or done before a request is passed on.

    Args:
        matches: which requests.
        status: the code of the answer; 0 passes the request on.
        times: for how many requests it stands.
        before: called with method and path before the request is passed on; it may block.
        used: how often it was used.
    """

    matches: Matches
    status: int = 0
    times: int = 1_000_000
    before: Callable[[str, str], None] | None = None
    used: int = 0


@dataclass(slots=True)
class ApiProxy:
    """Start it with `with`; `kubeconfig(path)` leads a client through it.

    Args:
        url: of the API server.
        ca_file: its certificate.
    """

    url: str
    ca_file: Path
    rules: list[Rule] = field(default_factory=list)
    silent: threading.Event = field(default_factory=threading.Event)
    """While it is set, watches deliver no events."""
    _server: ThreadingHTTPServer | None = None
    _thread: threading.Thread | None = None
    _http: urllib3.PoolManager | None = None
    _closing: threading.Event = field(default_factory=threading.Event)
    _open: set[socket.socket] = field(default_factory=set)
    _counting: threading.Lock = field(default_factory=threading.Lock)

    def __enter__(self) -> Self:
        self._http = urllib3.PoolManager(ca_certs=str(self.ca_file), maxsize=32, retries=False)
        handler = type("_Bound", (_Handler,), {"proxy": self, "http": self._http})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = False  # so that its close waits for the handlers
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="api-proxy")
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        assert self._thread is not None
        assert self._http is not None
        self._server.shutdown()
        self._thread.join()
        with self._counting:
            self._closing.set()
            left = list(self._open)
        for one in left:
            _end(one)
        self._server.server_close()
        self._http.clear()

    @property
    def address(self) -> str:
        """Where it listens."""
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def lead(self, kubeconfig: Path) -> None:
        """Rewrite a kubeconfig so that its client comes through here."""
        found = yaml.safe_load(kubeconfig.read_text())
        for one in found["clusters"]:
            one["cluster"] = {"server": self.address}
        kubeconfig.write_text(yaml.safe_dump(found))

    def rule(self, matches: Matches, **what: object) -> Rule:
        """Add a rule; the first that matches and is not used up counts."""
        self.rules.append(Rule(matches, **what))  # type: ignore[arg-type]
        return self.rules[-1]

    def take(self, method: str, path: str) -> Rule | None:
        """The rule about this request, counted as used; asked by many threads at once."""
        with self._counting:
            for rule in self.rules:
                if rule.used < rule.times and rule.matches(method, path):
                    rule.used += 1
                    return rule
        return None

    def opened(self, connection: socket.socket) -> None:
        """Close the connection when the proxy closes; at once if the proxy is closing already."""
        with self._counting:
            self._open.add(connection)
            closing = self._closing.is_set()
        if closing:
            _end(connection)

    def closed(self, connection: socket.socket) -> None:
        """It has ended by itself."""
        with self._counting:
            self._open.discard(connection)


def _end(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    proxy: ApiProxy
    http: urllib3.PoolManager

    def setup(self) -> None:
        super().setup()
        self.proxy.opened(self.connection)

    def finish(self) -> None:
        self.proxy.closed(self.connection)
        with contextlib.suppress(OSError):
            super().finish()

    def _any(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)) or None
        rule = self.proxy.take(self.command, self.path)
        if rule is not None and rule.before is not None:
            rule.before(self.command, self.path)
        try:
            if rule is not None and rule.status:
                self._refuse(rule.status)
            else:
                self._pass_on(body)
        except (OSError, urllib3.exceptions.HTTPError):
            self.close_connection = True

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _any  # noqa: N815 - the server's names

    def _refuse(self, status: int) -> None:
        body = json.dumps(
            {"kind": "Status", "status": "Failure", "message": f"failing on purpose ({status})", "code": status}
        )
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def _pass_on(self, body: bytes | None) -> None:
        headers = {name: value for name, value in self.headers.items() if name.lower() not in _DROPPED}
        watching = "watch=true" in self.path or "watch=1" in self.path
        timeout = urllib3.Timeout(connect=5, read=None if watching else 30)
        answer = self.http.request(
            self.command,
            self.proxy.url + self.path,
            body=body,
            headers=headers,
            preload_content=False,
            timeout=timeout,
            redirect=False,
        )
        upstream = getattr(answer.connection, "sock", None)
        if watching and upstream is not None:
            self.proxy.opened(upstream)
        try:
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                if name.lower() not in _DROPPED:
                    self.send_header(name, value)
            if watching and answer.status == 200:
                self._stream(answer)
            else:
                data = answer.read()
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)
        finally:
            if upstream is not None:
                self.proxy.closed(upstream)
            if watching:
                answer.close()
            answer.release_conn()

    def _stream(self, answer: urllib3.BaseHTTPResponse) -> None:
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.flush()
        for part in answer.read_chunked(decode_content=False):
            if self.proxy._closing.is_set():
                break
            if not self.proxy.silent.is_set():
                self.wfile.write(f"{len(part):x}\r\n".encode() + part + b"\r\n")
                self.wfile.flush()
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, *_: object) -> None:
        """Nobody reads a line for every request."""
