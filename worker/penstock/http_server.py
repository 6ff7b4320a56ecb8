"""A small HTTP server in a thread: /healthz, /readyz and /metrics of the worker, the operator and `penstock dev`.

Pages are answered while the event loop is blocked. Any address family: `::` takes IPv4 connections too, and is
`0.0.0.0` where the machine has no IPv6. No name is looked up but the host that is asked for.

At most 32 connections are open at once; the oldest is closed to make room. A peer that connects and sends nothing can
therefore neither use up the threads nor keep out the kubelet, which would restart the process.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import socket
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from penstock.errors import ConfigurationError

logger = logging.getLogger("penstock.http")

MAX_CONNECTIONS: Final = 32
"""At once; a kubelet and a few Prometheus servers need two or three, for milliseconds."""
TEXT: Final = "text/plain; charset=utf-8"
ANY: Final = "::"
"""All addresses of the machine, of both families."""
_NO_FAMILY: Final = frozenset({errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, errno.EPROTONOSUPPORT})

Page = Callable[[], tuple[int, bytes, str]]
"""Status, body and content type; called in a thread of the server, at each request."""


def endpoint(host: str, port: int) -> str:
    """`HOST:PORT` as a URL has it: an IPv6 address in brackets."""
    bare = host.strip("[]")
    return f"[{bare}]:{port}" if ":" in bare else f"{bare}:{port}"


def advertised(host: str, port: int, *, name: str) -> str:
    """Where others find what listens there: under the machine's name if it listens on all addresses."""
    return endpoint(name if host.strip("[]") in {ANY, "", "0.0.0.0"} else host, port)  # noqa: S104


def verdict(problem: str | None) -> tuple[int, bytes, str]:
    """A probe's answer: 200 and `ok`, or 503 and the sentence that says what is wrong."""
    return (200 if problem is None else 503, f"{problem or 'ok'}\n".encode(), TEXT)


class HttpServer:
    """Serves pages from `start()` to `close()`; listens, without answering, from its construction on.

    Args:
        host: name or address to listen on, IPv6 with or without brackets; `::` and `0.0.0.0` are all addresses.
        port: 0 for any free one; `port` of the object is the one in use.
        pages: path -> page; any other path is 404.
        name: of the thread, and in the `Server` header.

    Raises:
        ConfigurationError: the address cannot be listened on.
    """

    def __init__(self, *, host: str, port: int, pages: Mapping[str, Page], name: str) -> None:
        self._server = _listen(host.strip("[]"), port)
        self._server.pages, self._server.name = pages, name
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name=name, daemon=True)

    def start(self) -> None:
        """Serve."""
        self._thread.start()

    def close(self) -> None:
        """Stop serving; waits for the thread."""
        if self._thread.ident is not None:
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()


def _listen(host: str, port: int) -> _HTTPServer:
    """On the first of the host's addresses that can be listened on."""
    failed: OSError | None = None
    try:
        found = socket.getaddrinfo(host or ANY, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        addresses = [(family, address) for family, _, _, _, address in found]
    except OSError as error:
        failed, addresses = error, []
    if host in {ANY, ""}:  # getaddrinfo itself refuses `::` on a machine without IPv6
        addresses = [(socket.AF_INET6, (ANY, port, 0, 0)), (socket.AF_INET, ("0.0.0.0", port))]  # noqa: S104
    for family, address in addresses:
        try:
            return _HTTPServer(family, address, both=host in {ANY, ""})
        except OSError as error:
            failed = error
            if error.errno not in _NO_FAMILY:
                break
    assert failed is not None
    reason = failed.strerror or str(failed)
    raise ConfigurationError(f"HTTP server: cannot listen on {endpoint(host, port)} ({reason})") from failed


class _HTTPServer(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64
    pages: Mapping[str, Page]
    name: str

    def __init__(self, family: int, address: Any, *, both: bool) -> None:
        self.address_family = socket.AddressFamily(family)
        self._both = both
        self._open: deque[socket.socket] = deque()
        self._opening = threading.Lock()
        super().__init__(address, _RequestHandler)

    def server_bind(self) -> None:
        """Bind, and spare the lookup of our own name: it would wait for a name server that is away."""
        if self.address_family == socket.AF_INET6 and hasattr(socket, "IPPROTO_IPV6"):
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if self._both else 1)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]

    def process_request(self, request: Any, client_address: Any) -> None:
        """In the server's thread: make room, then have a thread of its own answer."""
        with self._opening:
            if len(self._open) >= MAX_CONNECTIONS:
                _cut(self._open.popleft())
            self._open.append(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """The connection is over."""
        with self._opening, contextlib.suppress(ValueError):  # it was cut
            self._open.remove(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A peer that leaves before its answer is not worth a traceback."""
        del request
        logger.debug("no answer to %s: %r", client_address, sys.exception())


class _RequestHandler(BaseHTTPRequestHandler):
    timeout = 10  # seconds: a slow peer must not hold a thread
    sys_version = ""

    def version_string(self) -> str:
        """The `Server` header; no version, which would help an attacker alone."""
        assert isinstance(self.server, _HTTPServer)
        return self.server.name

    def do_GET(self) -> None:
        assert isinstance(self.server, _HTTPServer)
        page = self.server.pages.get(self.path.split("?", 1)[0])
        status, body, kind = _made(page) if page else (404, b"not found\n", TEXT)
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Probes and scrapes are not worth a line each."""


def _cut(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):  # it has ended by itself
        connection.shutdown(socket.SHUT_RDWR)


def _made(page: Page) -> tuple[int, bytes, str]:
    try:
        return page()
    except Exception:
        logger.exception("a page could not be rendered")
        return 500, b"it could not be rendered; see the log\n", TEXT
