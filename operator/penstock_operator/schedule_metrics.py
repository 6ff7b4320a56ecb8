"""The series of schedules. Their number is bounded: of each JobQueue a hundred schedules have series of their own.

Counters start when the operator first lists a schedule, because the database's counts are older than the process.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge

from .resources.queue_schedules import QueueSchedules, ScheduleFigures

Place = tuple[str, str]
"""Namespace and name of a JobQueue."""
MAX_SCHEDULES: Final = 100
"""Schedules of one JobQueue with series of their own: the late ones first, then by name."""
_LABELS: Final = ("namespace", "jobqueue", "schedule")
_GAUGES: Final = {
    "next_timestamp_seconds": "When the schedule ticks next, in seconds since 1970; 0 if it does not.",
    "last_success_timestamp_seconds": "When its last completed job ended, in seconds since 1970; 0 if none has.",
    "late_seconds": "Seconds since it should have succeeded, or since a tick that did not fire; 0 while it is in time.",
}
_COUNTERS: Final = {
    "fired": "Jobs of ticks.",
    "skipped": "Ticks without a job: an earlier job was live (overlap), or they came too late (missed).",
}


class ScheduleMetrics:
    """The series of the schedules of all JobQueues.

    Args:
        registry: where they are registered.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._gauges = {
            name: Gauge(f"penstock_schedule_{name}", text, _LABELS, registry=registry) for name, text in _GAUGES.items()
        }
        self._counters = {
            name: Counter(f"penstock_schedule_{name}", text, _LABELS, registry=registry)
            for name, text in _COUNTERS.items()
        }
        self._before: dict[Place, dict[str, ScheduleFigures]] = {}

    def show(self, place: Place, found: QueueSchedules, figures: Mapping[str, ScheduleFigures]) -> None:
        """Show the schedules of a JobQueue, at most `MAX_SCHEDULES` of them."""
        late_first = sorted(found.schedules, key=lambda one: (not figures[one.name].late, one.name))[:MAX_SCHEDULES]
        before = self._before.get(place, {})
        for name in before.keys() - {one.name for one in late_first}:
            self._remove(dict(zip(_LABELS, (*place, name), strict=True)))
        for one in late_first:
            values, key = figures[one.name], (*place, one.name)
            next_at = 0.0 if one.paused or one.next_at is None else one.next_at
            self._gauges["next_timestamp_seconds"].labels(*key).set(next_at)
            self._gauges["last_success_timestamp_seconds"].labels(*key).set(values.last_success_at or 0.0)
            self._gauges["late_seconds"].labels(*key).set(values.late or 0.0)
            old = before.get(one.name, values)
            self._counters["fired"].labels(*key).inc(max(0, values.fired - old.fired))
            self._counters["skipped"].labels(*key).inc(values.has_skipped(old))
        self._before[place] = {one.name: figures[one.name] for one in late_first}

    def forget(self, place: Place) -> None:
        """Drop the series of a JobQueue that is gone."""
        self._before.pop(place, None)
        self._remove(dict(zip(_LABELS, place, strict=False)))

    def _remove(self, labels: Mapping[str, str]) -> None:
        for metric in (*self._gauges.values(), *self._counters.values()):
            metric.remove_by_labels(dict(labels))
