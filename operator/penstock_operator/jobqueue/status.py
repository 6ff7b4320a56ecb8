"""A JobQueue's status: its content, and when it is worth a write. Pure.

Conditions, the decision and the pods are written at once; counts and messages under load at most every ten seconds. At
rest only a new `observedAt` is written, every ten minutes, so an older status means that no operator runs. `sampledAt`
and `computedAt` alone do not cause a write.
"""

from __future__ import annotations

import datetime as dt
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from penstock.scaling import Decision, QueueSnapshot

from ..resources.api_object import epoch
from ..resources.conditions import ObservedState, api_conditions
from ..resources.queue_schedules import schedules_status
from ..resources.resource import JobQueue
from .template.manifests import selector

QUIET_SECONDS: Final = 10.0
"""Between two writes that change only counts."""
OBSERVE_SECONDS: Final = 600.0
"""A status is written again after this long even without a change."""
SPREAD_SECONDS: Final = 120.0
"""Up to this much sooner, depending on the uid of the JobQueue, to spread the writes of hundreds."""
MAX_TEXT: Final = 1024
"""Characters of an explanation that the JobQueue definition accepts."""
_TIMES: Final = frozenset({"observedAt", "sampledAt", "computedAt", "lastTransitionTime"})
_COUNTS: Final = ("queue", "throughput", "busyReplicas", "schedules")


def stamp(epoch: float) -> str:
    """A time as the API writes it, in whole seconds."""
    return dt.datetime.fromtimestamp(epoch, dt.UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class LastScale:
    """The last change of the replica count. `time` is RFC 3339."""

    time: str
    before: int
    after: int
    reason: str


def status_of(
    queue: JobQueue, state: ObservedState, *, now: float, busy: int, scaled: LastScale | None
) -> dict[str, Any]:
    """The whole status. Unknown fields are omitted: the status shows only what was observed.

    Args:
        queue: as read; its conditions keep their times.
        state: of this reconciliation.
        now: seconds since the epoch.
        busy: workers that hold jobs.
        scaled: the last change, if there was one since we know.
    """
    at = stamp(now)
    before: Sequence[Mapping[str, Any]] = queue.status.get("conditions") or ()
    made: dict[str, Any] = {
        "observedGeneration": queue.generation,
        "observedAt": at,
        "replicas": state.existing,
        "readyReplicas": state.ready,
        "busyReplicas": busy,
        "drainingReplicas": state.draining,
        "selector": selector(queue),
        "conditions": api_conditions(state, generation=queue.generation, now=at, before=before),
    }
    if state.decision is not None:
        made |= {"desiredReplicas": state.decision.desired, "decision": _decision(state.decision, at)}
    if state.snapshot is not None:
        made["queue"] = _queue(state.snapshot, at)
        if throughput := _throughput(state.snapshot, state.waited):
            made["throughput"] = throughput
    elif "queue" in queue.status:
        made["queue"] = queue.status["queue"]  # what was last seen, with its own time
    schedules = queue.status.get("schedules") if state.schedules is None else schedules_status(state.schedules, stamp)
    last_scale = queue.status.get("lastScale") if scaled is None else _last_scale(scaled)
    rest = {"schedules": schedules, "lastScale": last_scale}
    return made | {name: value for name, value in rest.items() if value}


def _last_scale(scaled: LastScale) -> dict[str, Any]:
    return {"time": scaled.time, "from": scaled.before, "to": scaled.after, "reason": scaled.reason}


def _decision(decision: Decision, at: str) -> dict[str, Any]:
    made = {
        "desired": decision.desired,
        "bound": decision.bound.value,
        "explanation": decision.explanation[:MAX_TEXT],
        "computedAt": at,
    }
    return made | {"arithmetic": decision.arithmetic[:MAX_TEXT]} if decision.arithmetic else made


def _queue(snapshot: QueueSnapshot, at: str) -> dict[str, Any]:
    found: dict[str, Any] = {
        "ready": snapshot.ready,
        "deferred": snapshot.deferred,
        "inFlight": snapshot.in_flight,
        "dead": snapshot.dead,
        "sampledAt": at,
    }
    if snapshot.oldest_ready_seconds is not None:
        found["oldestReadySeconds"] = max(0, round(snapshot.oldest_ready_seconds))
    return found


def _throughput(snapshot: QueueSnapshot, waited: float | None) -> dict[str, int]:
    rates = {
        "p95WaitMilliseconds": (waited, 1000),
        "arrivalsPerMinute": (snapshot.arrivals_per_second, 60),
        "completionsPerMinute": (snapshot.completions_per_second, 60),
        "meanServiceMilliseconds": (snapshot.mean_service_seconds, 1000),
    }
    if not snapshot.arrivals_per_second and not snapshot.completions_per_second:
        # No job moves; rates that are not measured yet are zero too.
        rates = {"p95WaitMilliseconds": rates["p95WaitMilliseconds"]}
    return {name: round(rate * factor) for name, (rate, factor) in rates.items() if rate is not None}


def spread_of(uid: str) -> float:
    """By how many seconds sooner than the others' the status of that JobQueue is written again."""
    return zlib.crc32(uid.encode()) % 1000 / 1000 * SPREAD_SECONDS


def observe_at(uid: str, status: Mapping[str, Any]) -> float:
    """When this status of that JobQueue has to be written again at the latest, in seconds since the epoch."""
    return epoch(status.get("observedAt")) + OBSERVE_SECONDS - spread_of(uid)


def worth_writing(made: Mapping[str, Any], current: Mapping[str, Any], *, since: float) -> bool:
    """Return True if `made` should replace `current`, `since` seconds after the last write."""
    new, old = _timeless(made), _timeless(current)
    if new == old:
        return False
    return since >= QUIET_SECONDS or _urgent_part(new) != _urgent_part(old)


def _timeless(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _timeless(one) for key, one in value.items() if key not in _TIMES}
    if isinstance(value, list | tuple):
        return [_timeless(one) for one in value]
    return value


def _urgent_part(status: Any) -> Any:
    """The part that is written at once; messages follow the counts and do not cause a write."""
    kept = {key: value for key, value in status.items() if key not in _COUNTS}
    if "decision" in kept:
        kept["decision"] = (kept["decision"].get("desired"), kept["decision"].get("bound"))
    kept["conditions"] = [(one["type"], one["status"], one["reason"]) for one in kept.get("conditions") or ()]
    return kept
