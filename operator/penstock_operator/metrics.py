"""The operator's metrics. The only prometheus_client import of this distribution.

Labels are the namespace and name of JobQueues that exist; a deleted one takes its series along, so their number is
bounded by the cluster's own objects.
"""

from __future__ import annotations

import enum
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from penstock.scaling import Bound
from penstock.store.inspect.database_stats import Vitals

from .conditions import Facts, verdicts
from .resource import JobQueue

disable_created_metrics()  # type: ignore[no-untyped-call] # a second series for every counter, which nobody reads

__all__ = ["CONTENT_TYPE_LATEST", "OperatorMetrics", "Place", "Result"]

Place = tuple[str, str]


class Result(enum.StrEnum):
    """How the treatment of a queue ended."""

    DONE = "done"
    REFUSED = "refused"
    """Its spec, or its queue, is not acceptable."""
    BLIND = "blind"
    """Its database was not seen."""
    BLOCKED = "blocked"
    """The API server did not do what was asked."""
    FAILED = "failed"
    """An error that nobody expected."""


_QUEUE: Final = ("namespace", "jobqueue")
_OF_QUEUES: Final = {
    "ready": "Jobs that could start now.",
    "in_flight": "Jobs claimed by workers.",
    "deferred": "Jobs that wait for their time.",
    "dead": "Dead letters.",
    "oldest_ready_seconds": "Wait of the oldest ready job in seconds.",
    "desired_replicas": "Replicas that the last decision asked for.",
    "replicas": "Worker pods that exist.",
    "ready_replicas": "Worker pods that are ready.",
    "draining_replicas": "Worker pods that finish what they hold.",
    "paused": "1 while the queue gives no jobs to claims.",
}
_DATABASE: Final = ("namespace", "secret")
"""A database by the first Secret that leads to it; its address is part of that Secret and no label."""
_OF_DATABASES: Final = {
    "dead_tuples": "Dead tuples in the table of live jobs, by the server's statistics.",
    "live_tuples": "Live tuples in the table of live jobs, by the server's statistics.",
    "connections": "Connections of all clients of the server.",
    "connections_limit": "Connections that the server allows to clients that are no superusers.",
}
_LAG_BUCKETS: Final = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_VALUE: Final = {"True": 1.0, "False": 0.0, "Unknown": -1.0}


class OperatorMetrics:
    """Every series of the operator, in registries of its own.

    Args:
        leading: False while another replica leads. This one then keeps what it knew of queues and databases to itself:
            it is out of date, and the leader tells it anew.
        clock: monotonic seconds.
    """

    def __init__(
        self, *, leading: Callable[[], bool] = lambda: True, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock = clock
        self._own, self.registry, self._leading = CollectorRegistry(), CollectorRegistry(), leading
        self.leader = Gauge("penstock_operator_leader", "1 while this replica leads.", registry=self._own)
        self.leader.set_function(lambda: float(leading()))
        ProcessCollector(registry=self._own)
        self._gauges = {
            name: Gauge(f"penstock_queue_{name}", text, _QUEUE, registry=self.registry)
            for name, text in _OF_QUEUES.items()
        }
        self._vitals = {
            name: Gauge(f"penstock_database_{name}", text, _DATABASE, registry=self.registry)
            for name, text in _OF_DATABASES.items()
        }
        self._rescued = Counter(
            "penstock_database_rescued", "Claims that the operator's upkeep took back.",
            (*_DATABASE, "reason"), registry=self.registry,
        )  # fmt: skip
        self._condition = Gauge(
            "penstock_queue_condition", "A condition: 1 true, 0 false, -1 unknown.", (*_QUEUE, "type"),
            registry=self.registry,
        )  # fmt: skip
        self._bound = Gauge(
            "penstock_queue_decision_bound", "1 for the rule that won the last decision.", (*_QUEUE, "bound"),
            registry=self.registry,
        )  # fmt: skip
        self._scalings = Counter(
            "penstock_queue_scalings", "Changes of the replica count.", (*_QUEUE, "direction"), registry=self.registry
        )
        self._decisions = Counter(
            "penstock_queue_decisions", "Decisions by the rule that won.", (*_QUEUE, "bound"), registry=self.registry
        )
        self._age = Gauge(
            "penstock_queue_sample_age_seconds", "Seconds since the queue was last seen in its database.", _QUEUE,
            registry=self.registry,
        )  # fmt: skip
        self._seen_at: dict[Place, float] = {}
        self._of_operator()

    def _of_operator(self) -> None:
        """What is about this process; told by every replica."""
        self.look_seconds = Histogram(
            "penstock_operator_look_seconds", "Time of one look at all queues of a database.", registry=self._own
        )
        self.failures = Counter(
            "penstock_operator_failures", "Reconciliations of a queue that failed unexpectedly.", registry=self._own
        )
        self._reconciles = Counter(
            "penstock_operator_reconciles", "Treatments of a queue by how they ended.", ("result",), registry=self._own
        )
        self._reconcile_seconds = Histogram(
            "penstock_operator_reconcile_seconds", "Time of the treatment of one queue.", registry=self._own
        )
        self.lag = Histogram(
            "penstock_operator_loop_lag_seconds", "By how much the event loop was late, once a second.",
            buckets=_LAG_BUCKETS, registry=self._own,
        )  # fmt: skip
        self.tick_age = Gauge(
            "penstock_operator_tick_age_seconds", "Seconds since the slowest of the loops last came round.",
            registry=self._own,
        )  # fmt: skip
        self.watch_restarts = Counter(
            "penstock_operator_watch_restarts", "Times that all watches were started again.", registry=self._own
        )
        self._watching = Gauge(
            "penstock_operator_watching", "1 while the resource is watched in every namespace.", ("resource",),
            registry=self._own,
        )  # fmt: skip
        for result in Result:
            self._reconciles.labels(result.value)

    def watches(self, resources: Iterable[str], watching: Callable[[str], bool]) -> None:
        """Show of each resource, at every scrape, whether it is watched."""
        for resource in resources:
            self._watching.labels(resource).set_function(lambda resource=resource: float(watching(resource)))  # type: ignore[misc]

    def exposition(self) -> bytes:
        """What a scrape gets."""
        return generate_latest(self._own) + (generate_latest(self.registry) if self._leading() else b"")

    def observe(self, queue: JobQueue, facts: Facts, *, paused: bool | None = None) -> None:
        """Show what a reconciliation found; `paused` is None where the queue could not be seen."""
        labels = (queue.namespace, queue.name)
        if paused is not None:
            self._gauges["paused"].labels(*labels).set(paused)
        self._set(labels, existing=facts.existing, ready=facts.ready, draining=facts.draining)
        if facts.snapshot is not None:
            seen = facts.snapshot
            self._gauges["ready"].labels(*labels).set(seen.ready)
            self._gauges["in_flight"].labels(*labels).set(seen.in_flight)
            self._gauges["deferred"].labels(*labels).set(seen.deferred)
            self._gauges["dead"].labels(*labels).set(seen.dead)
            self._gauges["oldest_ready_seconds"].labels(*labels).set(seen.oldest_ready_seconds or 0.0)
        if facts.decision is not None:
            self._gauges["desired_replicas"].labels(*labels).set(facts.decision.desired)
            self._decisions.labels(*labels, facts.decision.bound.value).inc()
            for bound in Bound:
                self._bound.labels(*labels, bound.value).set(float(bound is facts.decision.bound))
        for kind, verdict in verdicts(facts).items():
            self._condition.labels(*labels, kind).set(_VALUE[verdict.status])

    def _set(self, labels: tuple[str, str], *, existing: int, ready: int, draining: int) -> None:
        self._gauges["replicas"].labels(*labels).set(existing)
        self._gauges["ready_replicas"].labels(*labels).set(ready)
        self._gauges["draining_replicas"].labels(*labels).set(draining)

    def seen(self, queue: JobQueue) -> None:
        """A look has found the queue; at rest nothing else follows from that."""
        place = (queue.namespace, queue.name)
        if place not in self._seen_at:
            self._age.labels(*place).set_function(lambda: self._clock() - self._seen_at[place])
        self._seen_at[place] = self._clock()

    def reconciled(self, result: Result, seconds: float) -> None:
        """Count the treatment of a queue."""
        self._reconciles.labels(result.value).inc()
        self._reconcile_seconds.observe(seconds)

    def scaled(self, queue: JobQueue, before: int, after: int) -> None:
        """Count a change of the replica count."""
        self._scalings.labels(queue.namespace, queue.name, "up" if after > before else "down").inc()

    def bears(self, place: Place, seen: Vitals, upkeep: Mapping[str, int]) -> None:
        """Show how a database bears up.

        Args:
            place: namespace and name of a Secret that leads to it.
            seen: what the server says.
            upkeep: reason -> claims taken back since the last call.
        """
        for name in _OF_DATABASES:
            self._vitals[name].labels(*place).set(getattr(seen, name))
        for reason, count in upkeep.items():
            self._rescued.labels(*place, reason).inc(count)

    def lose(self, place: Place) -> None:
        """Drop the series of a database that no JobQueue names any more."""
        for metric in (*self._vitals.values(), self._rescued):
            metric.remove_by_labels(dict(zip(_DATABASE, place, strict=True)))

    def forget(self, queue: JobQueue) -> None:
        """Drop the series of a JobQueue that is gone."""
        labels = {"namespace": queue.namespace, "jobqueue": queue.name}
        self._age.remove_by_labels(labels)  # before the time that its function reads
        self._seen_at.pop((queue.namespace, queue.name), None)
        of_queue = (self._condition, self._bound, self._scalings, self._decisions)
        for metric in (*self._gauges.values(), *of_queue):
            metric.remove_by_labels(labels)
