"""/healthz, /readyz and /metrics, served by a thread so that they answer while the event loop is blocked.

Readiness fails when draining, cordoned and empty, disconnected, or while the loop does not tick. Liveness fails only
when the loop has not ticked for ten minutes or the lease thread is dead: a restart interrupts jobs. The body says why.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from penstock.errors import ConfigurationError

Check = Callable[[], str | None]
"""None: all is well; else one sentence that says what is not."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64
    pages: dict[str, Callable[[], tuple[int, bytes, str]]]


class _Handler(BaseHTTPRequestHandler):
    timeout = 10  # seconds: a slow peer must not hold a thread
    server_version = "penstock"
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
            self._server = _Server((host, port), _Handler)
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


def _verdict(problem: str | None) -> tuple[int, bytes, str]:
    return (200 if problem is None else 503, f"{problem or 'ok'}\n".encode(), "text/plain; charset=utf-8")
