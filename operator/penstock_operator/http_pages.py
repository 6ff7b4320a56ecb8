"""The operator's HTTP pages: /healthz, /readyz and /metrics, from a thread of their own.

Decides nothing: each request asks other modules for problems and counts. Probes and scrapes never wait for the event
loop, because they must detect one that hangs.
"""

from __future__ import annotations

from collections.abc import Callable

from penstock.errors import ConfigurationError
from penstock.http_server import HttpServer, verdict

from .errors import SettingsError
from .metrics import CONTENT_TYPE_LATEST, OperatorMetrics


class Pages:
    """/healthz, /readyz and /metrics, from a thread of their own.

    Args:
        host: to listen on; `::` is all addresses of both families.
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
        pages = {
            "/healthz": lambda: verdict(live()),
            "/readyz": lambda: verdict(ready()),
            "/metrics": lambda: (200, metrics.exposition(), CONTENT_TYPE_LATEST),
        }
        try:
            self._server = HttpServer(host=host, port=port, pages=pages, name="penstock-operator")
        except ConfigurationError as error:
            raise SettingsError(str(error)) from error
        self.port: int = self._server.port
        self._server.start()

    def close(self) -> None:
        """Stop serving; waits for the thread."""
        self._server.close()
