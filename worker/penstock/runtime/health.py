"""/healthz, /readyz and /metrics, served by a thread so that they answer while the event loop is blocked.

Readiness fails when draining, cordoned and empty, disconnected, or while the loop does not tick. Liveness fails only
when the loop has not ticked for ten minutes or the lease thread is dead: a restart interrupts jobs. The body says why.
Surprising: of more than 32 connections the oldest is cut, so that peers who connect and say nothing, or too little,
neither fill the memory with threads nor keep the kubelet out, who would restart the worker for it.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import sys
import threading
from collections import deque
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from penstock.errors import ConfigurationError

logger = logging.getLogger("penstock.health")

MOST_CONNECTIONS = 32
"""At once; a kubelet and a few Prometheus need two or three, for milliseconds."""

_TEXT = "text/plain; charset=utf-8"

Check = Callable[[], str | None]
"""None: all is well; else one sentence that says what is not."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64
    pages: dict[str, Callable[[], tuple[int, bytes, str]]]

    def __init__(self, address: tuple[str, int]) -> None:
        self._open: deque[socket.socket] = deque()
        self._opening = threading.Lock()
        super().__init__(address, _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """In the server's thread: make room, then have a thread of its own answer."""
        with self._opening:
            if len(self._open) >= MOST_CONNECTIONS:
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


class _Handler(BaseHTTPRequestHandler):
    timeout = 10  # seconds: a slow peer must not hold a thread
    server_version = "penstock"
    sys_version = ""

    def do_GET(self) -> None:
        assert isinstance(self.server, _Server)
        page = self.server.pages.get(self.path.split("?", 1)[0])
        status, body, kind = _made(page) if page else (404, b"not found\n", _TEXT)
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Probes and scrapes are not worth a line each."""


class HealthServer:
    """Three pages over HTTP.

    Args:
        host: to listen on.
        port: 0 for any free one; `port` of the object tells which.
        live: what liveness says.
        ready: what readiness says.
        metrics: renders a scrape: body and content type.

    Raises:
        ConfigurationError: the address cannot be listened on.
    """

    def __init__(
        self, *, host: str, port: int, live: Check, ready: Check, metrics: Callable[[], tuple[bytes, str]]
    ) -> None:
        try:
            self._server = _Server((host, port))
        except OSError as error:
            raise ConfigurationError(f"health server: cannot listen on {host}:{port} ({error.strerror})") from error
        self._server.pages = {
            "/healthz": lambda: _verdict(live()),
            "/readyz": lambda: _verdict(ready()),
            "/metrics": lambda: (200, *metrics()),
        }
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.1,), name="penstock-health", daemon=True
        )

    def start(self) -> None:
        """Serve."""
        self._thread.start()

    def close(self) -> None:
        """Stop serving; waits for the thread."""
        if self._thread.ident is not None:
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()


def _cut(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):  # it has ended by itself
        connection.shutdown(socket.SHUT_RDWR)


def _made(page: Callable[[], tuple[int, bytes, str]]) -> tuple[int, bytes, str]:
    try:
        return page()
    except Exception:
        logger.exception("a page could not be made")
        return 500, b"it could not be made; the log says why\n", _TEXT


def _verdict(problem: str | None) -> tuple[int, bytes, str]:
    return (200 if problem is None else 503, f"{problem or 'ok'}\n".encode(), _TEXT)
