"""The HTTP endpoints of `penstock dev`: metrics of the queues, and the addresses of the workers' metrics.

`/sd` lists the workers for Prometheus' HTTP service discovery, because their ports change with every start; `/metrics`
has what no worker knows: depth, replicas and the decision. The server listens on 127.0.0.1, in a thread, and is
read-only.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

from penstock.http_server import HttpServer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .autoscaler import QueueStatus

NAMESPACE = "local"
"""The value of the label `namespace`, because the dashboards of a cluster need one."""
LABELS = ("namespace", "jobqueue")
GAUGES = (
    ("penstock_queue_ready", "Jobs ready to run."),
    ("penstock_queue_in_flight", "Jobs claimed by workers."),
    ("penstock_queue_deferred", "Jobs that are not due yet."),
    ("penstock_queue_dead", "Dead letters."),
    ("penstock_queue_oldest_ready_seconds", "Age of the oldest ready job in seconds."),
    ("penstock_queue_desired_replicas", "Replicas of the last decision."),
    ("penstock_queue_replicas", "Workers, draining ones included."),
    ("penstock_queue_ready_replicas", "Workers that serve the queue."),
    ("penstock_queue_draining_replicas", "Workers that are draining."),
)
BOUND = ("penstock_queue_decision_bound", "1 for the bound of the last decision.")


class MetricsServer:
    """Serves the endpoints inside its `with` block.

    Args:
        queues: returns the last sample; called in threads of the server.
        port: port on 127.0.0.1; 0 picks a free one.
    """

    def __init__(self, queues: Callable[[], Sequence[QueueStatus]], *, port: int = 0) -> None:
        self._server = HttpServer(
            host="127.0.0.1",
            port=port,
            pages={
                "/metrics": lambda: (200, queue_metrics(queues()).encode(), "text/plain; version=0.0.4; charset=utf-8"),
                "/sd": lambda: (200, targets(queues()).encode(), "application/json"),
            },
            name="penstock-dev",
        )

    @property
    def url(self) -> str:
        """The base URL, without a path."""
        return f"http://127.0.0.1:{self._server.port}"

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.close()


def queue_metrics(queues: Sequence[QueueStatus]) -> str:
    """The queues in Prometheus' text format; a queue that could not be sampled is left out."""
    sampled = [(_labels(queue), values, queue.decision.bound) for queue in queues if (values := _values(queue))]
    lines: list[str] = []
    for number, (name, text) in enumerate(GAUGES):
        lines += [f"# HELP {name} {text}", f"# TYPE {name} gauge"]
        lines += [f"{name}{{{labels}}} {values[number]}" for labels, values, _ in sampled]
    lines += [f"# HELP {BOUND[0]} {BOUND[1]}", f"# TYPE {BOUND[0]} gauge"]
    lines += [f'{BOUND[0]}{{{labels},bound="{bound}"}} 1' for labels, _, bound in sampled]
    return "\n".join(lines) + "\n"


def targets(queues: Sequence[QueueStatus]) -> str:
    """The workers in the format of Prometheus' HTTP service discovery, with the labels that a PodMonitor adds."""
    found = [
        {
            "targets": [urlsplit(worker.metrics_url).netloc],
            "labels": {"namespace": NAMESPACE, "jobqueue": queue.name, "pod": worker.name},
        }
        for queue in queues
        for worker in queue.workers
        if worker.pid is not None
    ]
    return json.dumps(found)


def _labels(queue: QueueStatus) -> str:
    return f'namespace="{NAMESPACE}",jobqueue="{queue.name}"'


def _values(queue: QueueStatus) -> tuple[float, ...]:
    seen = queue.snapshot
    if seen is None:
        return ()
    jobs = (seen.ready, seen.in_flight, seen.deferred, seen.dead, round(seen.oldest_ready_seconds or 0.0, 3))
    return (*jobs, queue.decision.desired, queue.serving + queue.leaving, queue.serving, queue.leaving)
