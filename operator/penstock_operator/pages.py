"""The operator's HTTP pages: /healthz, /readyz and /metrics, from a thread of their own.

Owns the listening socket and its threads. Must not judge: what is wrong, and what is counted, is asked of others at
each request. Probes and scrapes never wait for the event loop, so that one that hangs can be seen.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from .errors import SettingsError
from .metrics import CONTENT_TYPE_LATEST, OperatorMetrics


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    pages: dict[str, Callable[[], tuple[int, bytes, str]]]


class _Handler(BaseHTTPRequestHandler):
    timeout = 10
    server_version = "penstock-operator"
    sys_version = ""

    def do_GET(self) -> None:
        assert isinstance(self.server, _Server)
        page = self.server.pages.get(self.path.split("?", 1)[0])
        status, body, kind = page() if page else (404, b"not found\n", "text/plain; charset=utf-8")
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Probes and scrapes are not worth a line each."""


class Pages:
    """/healthz, /readyz and /metrics, from a thread of their own.

    Args:
        host: to listen on.
        port: 0 for any free one.
        metrics: what is scraped.
        live: None, or one sentence that says what is wrong.
        ready: the same.

    Raises:
        SettingsError: the address cannot be listened on.
    """

    def __init__(
        self,
        *,
        host: str,
        port: int,
        metrics: OperatorMetrics,
        live: Callable[[], str | None],
        ready: Callable[[], str | None],
    ) -> None:
        try:
            self._server = _Server((host, port), _Handler)
        except OSError as error:
            raise SettingsError(f"cannot listen on {host}:{port}: {error.strerror}") from error
        self._server.pages = {
            "/healthz": lambda: _verdict(live()),
            "/readyz": lambda: _verdict(ready()),
            "/metrics": lambda: (200, metrics.exposition(), CONTENT_TYPE_LATEST),
        }
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.1,), name="penstock-operator-pages", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Stop serving; waits for the thread."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def _verdict(problem: str | None) -> tuple[int, bytes, str]:
    return (200 if problem is None else 503, f"{problem or 'ok'}\n".encode(), "text/plain; charset=utf-8")
