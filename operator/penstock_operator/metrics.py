"""The operator's metrics; only this module and `schedule_metrics` import prometheus_client.

Labels are the namespace and name of JobQueues that exist. The series of a deleted one are removed, so their number is
bounded by the objects of the cluster.
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
from penstock.store.inspect.database_stats import DatabaseStats

from .resources.conditions import ObservedState, conditions_of
from .resources.queue_schedules import QueueSchedules, ScheduleFigures
from .resources.resource import JobQueue
from .schedule_metrics import ScheduleMetrics

disable_created_metrics()  # type: ignore[no-untyped-call] # a second series for every counter, which nobody reads

__all__ = ["CONTENT_TYPE_LATEST", "OperatorMetrics", "ReconcileResult", "SecretPlace"]

SecretPlace = tuple[str, str]
"""Namespace and name of the Secret by which a database is labeled."""


class ReconcileResult(enum.StrEnum):
    """The result of one reconciliation."""

    DONE = "done"
    REFUSED = "refused"
    """The spec is invalid, or another JobQueue owns the queue."""
    BLIND = "blind"
    """The database could not be sampled."""
    BLOCKED = "blocked"
    """The API server rejected a request, or did not answer."""
    FAILED = "failed"
    """An unexpected exception."""


_QUEUE: Final = ("namespace", "jobqueue")
_OF_QUEUES: Final = {
    "ready": "Jobs that could start now.",
    "in_flight": "Jobs claimed by workers.",
    "deferred": "Jobs that are not due yet.",
    "dead": "Dead letters.",
    "oldest_ready_seconds": "Seconds that the oldest ready job has waited.",
    "desired_replicas": "Replicas of the last scaling decision.",
    "replicas": "Worker pods that exist.",
    "ready_replicas": "Worker pods that are ready.",
    "draining_replicas": "Worker pods that finish their running jobs before a scale-down.",
    "paused": "1 while the queue is paused.",
}
_DATABASE: Final = ("namespace", "secret")
"""A database by the first Secret that leads to it; its address is secret and must not be a label."""
_OF_DATABASES: Final = {
    "dead_tuples": "Dead tuples in the table of live jobs, from the server's statistics.",
    "live_tuples": "Live tuples in the table of live jobs, from the server's statistics.",
    "connections": "Connections of all clients of the server.",
    "connections_limit": "Connections that the server allows to clients that are not superusers.",
}
_LAG_BUCKETS: Final = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_VALUE: Final = {"True": 1.0, "False": 0.0, "Unknown": -1.0}


class OperatorMetrics:
    """Every series of the operator, in registries of its own.

    Args:
        leading: False while another replica leads. A follower does not export the series of queues and databases:
            they are out of date, and the leader exports current ones.
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
            "penstock_database_rescued",
            "Claims that the operator's maintenance rescued.",
            (*_DATABASE, "reason"),
            registry=self.registry,
        )
        self._of_decisions()
        self._of_samples()
        self.schedules = ScheduleMetrics(self.registry)
        self._of_operator()

    def _of_decisions(self) -> None:
        """Conditions, and what was decided for each queue."""
        self._condition = Gauge(
            "penstock_queue_condition",
            "Status of a condition: 1 true, 0 false, -1 unknown.",
            (*_QUEUE, "type"),
            registry=self.registry,
        )
        self._bound = Gauge(
            "penstock_queue_decision_bound",
            "1 for the bound of the last scaling decision.",
            (*_QUEUE, "bound"),
            registry=self.registry,
        )
        self._scalings = Counter(
            "penstock_queue_scalings", "Changes of the replica count.", (*_QUEUE, "direction"), registry=self.registry
        )
        self._decisions = Counter(
            "penstock_queue_decisions", "Scaling decisions by bound.", (*_QUEUE, "bound"), registry=self.registry
        )

    def _of_samples(self) -> None:
        """The age of each queue's last sample."""
        self._age = Gauge(
            "penstock_queue_sample_age_seconds",
            "Seconds since the queue was last sampled.",
            _QUEUE,
            registry=self.registry,
        )
        self._seen_at: dict[SecretPlace, float] = {}

    def _of_operator(self) -> None:
        """The series of this process; every replica exports them."""
        self.sample_seconds = Histogram(
            "penstock_operator_sample_seconds",
            "Duration of a sample of all queues of a database in seconds.",
            registry=self._own,
        )
        self.failures = Counter(
            "penstock_operator_failures",
            "Reconciliations that failed with an unexpected exception.",
            registry=self._own,
        )
        self._reconciles = Counter(
            "penstock_operator_reconciles", "Reconciliations by result.", ("result",), registry=self._own
        )
        self._reconcile_seconds = Histogram(
            "penstock_operator_reconcile_seconds", "Duration of a reconciliation in seconds.", registry=self._own
        )
        self.lag = Histogram(
            "penstock_operator_loop_lag_seconds",
            "Seconds that the event loop was late, measured once a second.",
            buckets=_LAG_BUCKETS,
            registry=self._own,
        )
        self.tick_age = Gauge(
            "penstock_operator_tick_age_seconds",
            "Seconds since the slowest database loop last iterated.",
            registry=self._own,
        )
        self.watch_restarts = Counter(
            "penstock_operator_watch_restarts", "Restarts of all watches.", registry=self._own
        )
        self._watching = Gauge(
            "penstock_operator_watching",
            "1 while the resource is watched in every namespace.",
            ("resource",),
            registry=self._own,
        )
        for result in ReconcileResult:
            self._reconciles.labels(result.value)

    def watches(self, resources: Iterable[str], watching: Callable[[str], bool]) -> None:
        """Show of each resource, at every scrape, whether it is watched."""
        for resource in resources:
            self._watching.labels(resource).set_function(lambda resource=resource: float(watching(resource)))  # type: ignore[misc]

    def exposition(self) -> bytes:
        """The response to a scrape."""
        return generate_latest(self._own) + (generate_latest(self.registry) if self._leading() else b"")

    def observe(self, queue: JobQueue, state: ObservedState, *, paused: bool | None = None) -> None:
        """Show the result of a reconciliation; `paused` is None if the queue could not be sampled."""
        labels = (queue.namespace, queue.name)
        if paused is not None:
            self._gauges["paused"].labels(*labels).set(paused)
        self._set(labels, existing=state.existing, ready=state.ready, draining=state.draining)
        if state.snapshot is not None:
            seen = state.snapshot
            self._gauges["ready"].labels(*labels).set(seen.ready)
            self._gauges["in_flight"].labels(*labels).set(seen.in_flight)
            self._gauges["deferred"].labels(*labels).set(seen.deferred)
            self._gauges["dead"].labels(*labels).set(seen.dead)
            self._gauges["oldest_ready_seconds"].labels(*labels).set(seen.oldest_ready_seconds or 0.0)
        if state.decision is not None:
            self._gauges["desired_replicas"].labels(*labels).set(state.decision.desired)
            self._decisions.labels(*labels, state.decision.bound.value).inc()
            for bound in Bound:
                self._bound.labels(*labels, bound.value).set(float(bound is state.decision.bound))
        for kind, condition in conditions_of(state).items():
            self._condition.labels(*labels, kind).set(_VALUE[condition.status])

    def _set(self, labels: tuple[str, str], *, existing: int, ready: int, draining: int) -> None:
        self._gauges["replicas"].labels(*labels).set(existing)
        self._gauges["ready_replicas"].labels(*labels).set(ready)
        self._gauges["draining_replicas"].labels(*labels).set(draining)

    def seen(self, queue: JobQueue) -> None:
        """Record that the queue was just sampled."""
        place = (queue.namespace, queue.name)
        if place not in self._seen_at:
            self._age.labels(*place).set_function(lambda: self._clock() - self._seen_at[place])
        self._seen_at[place] = self._clock()

    def reconciled(self, result: ReconcileResult, seconds: float) -> None:
        """Count one reconciliation."""
        self._reconciles.labels(result.value).inc()
        self._reconcile_seconds.observe(seconds)

    def scaled(self, queue: JobQueue, before: int, after: int) -> None:
        """Count a change of the replica count."""
        self._scalings.labels(queue.namespace, queue.name, "up" if after > before else "down").inc()

    def show_database(self, place: SecretPlace, seen: DatabaseStats, rescued: Mapping[str, int]) -> None:
        """Show the statistics of a database.

        Args:
            place: namespace and name of a Secret that leads to it.
            seen: the server's statistics.
            rescued: claims rescued since the last call, by reason.
        """
        for name in _OF_DATABASES:
            self._vitals[name].labels(*place).set(getattr(seen, name))
        for reason, count in rescued.items():
            self._rescued.labels(*place, reason).inc(count)

    def show_schedules(self, queue: JobQueue, found: QueueSchedules, figures: Mapping[str, ScheduleFigures]) -> None:
        """Show the schedules of a queue, at most `MAX_SCHEDULES` of them."""
        self.schedules.show((queue.namespace, queue.name), found, figures)

    def forget_database(self, place: SecretPlace) -> None:
        """Drop the series of a database that no JobQueue names any more."""
        for metric in (*self._vitals.values(), self._rescued):
            metric.remove_by_labels(dict(zip(_DATABASE, place, strict=True)))

    def forget(self, queue: JobQueue) -> None:
        """Drop the series of a JobQueue that is gone."""
        labels = {"namespace": queue.namespace, "jobqueue": queue.name}
        self._age.remove_by_labels(labels)  # before the time that its function reads
        self._seen_at.pop((queue.namespace, queue.name), None)
        of_queue = (self._condition, self._bound, self._scalings, self._decisions)
        self.schedules.forget((queue.namespace, queue.name))
        for metric in (*self._gauges.values(), *of_queue):
            metric.remove_by_labels(labels)
