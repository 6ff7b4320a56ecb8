"""A small HTTP endpoint of the local run: where the workers' metrics are, and the queues in numbers.

`/sd` lists the workers for Prometheus' HTTP service discovery, because their ports change with every start; `/metrics`
has what no worker can know (depth, replicas, the decision). It listens on 127.0.0.1, in a thread, and only reads.
"""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .loop import QueueStatus

GAUGES = (
    ("penstock_queue_ready", "Jobs that could start now."),
    ("penstock_queue_in_flight", "Jobs claimed by workers."),
    ("penstock_queue_deferred", "Jobs that are not due yet."),
    ("penstock_queue_dead", "Dead letters."),
    ("penstock_queue_replicas", "Workers that serve the queue."),
    ("penstock_queue_desired_replicas", "Replicas that the last decision asked for."),
)


class Endpoint:
    """Serves while it is entered.

    Args:
        queues: gives the last look; called from the server's threads.
        port: on 127.0.0.1; 0, the default, takes any free one.
    """

    def __init__(self, queues: Callable[[], Sequence[QueueStatus]], *, port: int = 0) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", port), _handler(queues))
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)

    @property
    def url(self) -> str:
        """Without a path."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def exposition(queues: Sequence[QueueStatus]) -> str:
    """The queues in Prometheus' text format; a queue that cannot be looked at is left out."""
    lines: list[str] = []
    for number, (name, text) in enumerate(GAUGES):
        lines += [f"# HELP {name} {text}", f"# TYPE {name} gauge"]
        lines += [f'{name}{{queue="{queue.name}"}} {values[number]}' for queue in queues if (values := _values(queue))]
    return "\n".join(lines) + "\n"


def targets(queues: Sequence[QueueStatus]) -> str:
    """The workers, as Prometheus' HTTP service discovery wants them."""
    found = [
        {"targets": [urlsplit(member.metrics_url).netloc], "labels": {"queue": queue.name, "pod": member.name}}
        for queue in queues
        for member in queue.members
        if member.pid is not None
    ]
    return json.dumps(found)


def _values(queue: QueueStatus) -> tuple[int, ...]:
    seen = queue.snapshot
    if seen is None:
        return ()
    return seen.ready, seen.in_flight, seen.deferred, seen.dead, queue.serving, queue.decision.desired


def _handler(queues: Callable[[], Sequence[QueueStatus]]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/metrics":
                self._answer("text/plain; version=0.0.4; charset=utf-8", exposition(queues()))
            elif self.path == "/sd":
                self._answer("application/json", targets(queues()))
            else:
                self.send_error(404)

        def _answer(self, kind: str, body: str) -> None:
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body.encode())))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            """Say nothing: the terminal belongs to the view."""

    return Handler
