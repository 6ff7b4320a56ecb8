"""/healthz, /readyz and /metrics of a worker.

Readiness fails when draining, cordoned and empty, disconnected, or while the loop does not tick. Liveness fails only
when the loop has not ticked for ten minutes or the lease thread is dead: a restart interrupts jobs. The body says why.
"""

from __future__ import annotations

from collections.abc import Callable

from penstock.http_server import HttpServer, verdict

Check = Callable[[], str | None]
"""None: all is well; else one sentence that says what is not."""


class HealthServer(HttpServer):
    """Three pages over HTTP.

    Args:
        host: to listen on.
        port: 0 for any free one; the attribute `port` has the real one.
        live: what liveness says.
        ready: what readiness says.
        metrics: renders a scrape: body and content type.

    Raises:
        ConfigurationError: the address cannot be listened on.
    """

    def __init__(
        self, *, host: str, port: int, live: Check, ready: Check, metrics: Callable[[], tuple[bytes, str]]
    ) -> None:
        pages = {
            "/healthz": lambda: verdict(live()),
            "/readyz": lambda: verdict(ready()),
            "/metrics": lambda: (200, *metrics()),
        }
        super().__init__(host=host, port=port, pages=pages, name="penstock-health")
