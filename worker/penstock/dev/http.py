"""A small HTTP endpoint of the local run: where the workers' metrics are, and the queues in numbers.

`/sd` lists the workers for Prometheus' HTTP service discovery, because their ports change with every start; `/metrics`
has what no worker can know (depth, replicas, the decision). It listens on 127.0.0.1, in a thread, and only reads.
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
"""The label that stands for a cluster's namespace, so that dashboards made for a cluster show a laptop too."""
LABELS = ("namespace", "jobqueue")
GAUGES = (
    ("penstock_queue_ready", "Jobs that could start now."),
    ("penstock_queue_in_flight", "Jobs claimed by workers."),
    ("penstock_queue_deferred", "Jobs that are not due yet."),
    ("penstock_queue_dead", "Dead letters."),
    ("penstock_queue_oldest_ready_seconds", "Wait of the oldest ready job in seconds."),
    ("penstock_queue_desired_replicas", "Replicas that the last decision asked for."),
    ("penstock_queue_replicas", "Workers that there are."),
    ("penstock_queue_ready_replicas", "Workers that serve the queue."),
    ("penstock_queue_draining_replicas", "Workers that finish what they hold."),
)
BOUND = ("penstock_queue_decision_bound", "1 for the rule that won the last decision.")


class Endpoint:
    """Serves while it is entered.

    Args:
        queues: gives the last look; called from the server's threads.
        port: on 127.0.0.1; 0, the default, takes any free one.
    """

    def __init__(self, queues: Callable[[], Sequence[QueueStatus]], *, port: int = 0) -> None:
        self._server = HttpServer(
            host="127.0.0.1",
            port=port,
            pages={
                "/metrics": lambda: (200, exposition(queues()).encode(), "text/plain; version=0.0.4; charset=utf-8"),
                "/sd": lambda: (200, targets(queues()).encode(), "application/json"),
            },
            name="penstock-dev",
        )

    @property
    def url(self) -> str:
        """Without a path."""
        return f"http://127.0.0.1:{self._server.port}"

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.close()


def exposition(queues: Sequence[QueueStatus]) -> str:
    """The queues in Prometheus' text format; a queue that cannot be looked at is left out."""
    seen = [(_labels(queue), values, queue.decision.bound) for queue in queues if (values := _values(queue))]
    lines: list[str] = []
    for number, (name, text) in enumerate(GAUGES):
        lines += [f"# HELP {name} {text}", f"# TYPE {name} gauge"]
        lines += [f"{name}{{{labels}}} {values[number]}" for labels, values, _ in seen]
    lines += [f"# HELP {BOUND[0]} {BOUND[1]}", f"# TYPE {BOUND[0]} gauge"]
    lines += [f'{BOUND[0]}{{{labels},bound="{bound}"}} 1' for labels, _, bound in seen]
    return "\n".join(lines) + "\n"


def targets(queues: Sequence[QueueStatus]) -> str:
    """The workers, as Prometheus' HTTP service discovery wants them, with the labels that a PodMonitor would give."""
    found = [
        {
            "targets": [urlsplit(member.metrics_url).netloc],
            "labels": {"namespace": NAMESPACE, "jobqueue": queue.name, "pod": member.name},
        }
        for queue in queues
        for member in queue.members
        if member.pid is not None
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
