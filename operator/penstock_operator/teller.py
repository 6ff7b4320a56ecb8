"""What a JobQueue's people are told: its status, and an event when something turns.

Owns the pace of status writes and the one event for each turn. An event that cannot be posted is logged and dropped: it
is news, not state. A status that was changed by another meanwhile is written at the next look.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from penstock.scaling import Decision

from .cache import Cache
from .cluster import Cluster
from .conditions import Facts
from .errors import ClusterError, Conflict, NotFound
from .resource import JobQueue
from .status import QUIET_SECONDS, LastScale, observe_at, status_of, worth_writing
from .turns import Turn

logger = logging.getLogger("penstock.operator.teller")

_TURNS: Final = {
    ("DatabaseReachable", "False"): ("SignalLost", True),
    ("DatabaseReachable", "True"): ("SignalRestored", False),
    ("WorkersAvailable", "False"): ("WorkersUnavailable", True),
    ("WorkersAvailable", "True"): ("WorkersRestored", False),
    ("LatencyTargetMet", "False"): ("LatencyTargetViolated", True),
    ("LatencyTargetMet", "True"): ("LatencyTargetRestored", False),
    ("Draining", "True"): ("DrainStarted", False),
    ("Draining", "False"): ("DrainCompleted", False),
}
"""Condition and new status -> the event's reason, and whether it is a warning."""
_REASONS: Final = {
    ("Ready", "InvalidSpec"): "SpecRejected",
    ("Ready", "DuplicateQueue"): "DuplicateQueue",
    ("Draining", "ForeignDeletionCost"): "ForeignDeletionCost",
    ("ScalingActive", "ForeignScaler"): "ForeignScaler",
    ("WorkersAvailable", "RolloutPaused"): "RolloutPaused",
}
"""Condition and new reason -> a warning's reason, whatever the status was."""


class Teller:
    """Status and events of one JobQueue."""

    def __init__(self, *, cluster: Cluster, cache: Cache, turn: Turn) -> None:
        self._cluster, self._cache, self._turn = cluster, cache, turn
        self._written_at = float("-inf")
        self.observe_at = float("inf")
        """When the status has to be written again though nothing changes, in seconds since the epoch."""

    async def tell(self, queue: JobQueue, facts: Facts, *, busy: int, scaled: LastScale | None) -> bool:
        """Write the status if it is worth a write, and post what has turned; whether nothing is left to write."""
        made = status_of(queue, facts, now=time.time(), busy=busy, scaled=scaled)
        since, self.observe_at = time.monotonic() - self._written_at, observe_at(queue.uid, queue.status)
        stale = time.time() >= self.observe_at
        if not worth_writing(made, queue.status, since=since) and not (stale and since > QUIET_SECONDS):
            return not worth_writing(made, queue.status, since=float("inf"))
        try:
            async with self._turn.at(self._cluster.telling):
                self._cache.jobqueues.observe(await self._cluster.apply_status(queue, made))
        except (Conflict, NotFound):
            return False  # the queue has changed or is gone; the next look knows
        except ClusterError as error:
            logger.warning("%s: status not written: %s", queue.where, error)
            return False
        self._written_at, self.observe_at = time.monotonic(), observe_at(queue.uid, made)
        for reason, note, warning in turns(queue.status.get("conditions") or (), made["conditions"]):
            await self._post(queue, reason=reason, note=note, warning=warning, action="Reconcile")
        return True

    async def scaled(self, queue: JobQueue, before: int, after: int, decision: Decision) -> None:
        """Post a change of the replica count with its arithmetic."""
        reason = "ScaledUp" if after > before else "ScaledDown" if after else "ScaledToZero"
        reason = "Activated" if before == 0 else reason
        note = f"From {before} to {after} ({decision.bound.value}). {decision.explanation}"
        logger.info("%s: %s: %s", queue.where, reason, note)
        await self._post(queue, reason=reason, note=note, warning=False, action="Scale")

    async def _post(self, queue: JobQueue, *, reason: str, note: str, warning: bool, action: str) -> None:
        try:
            await self._cluster.post_event(queue, reason=reason, note=note, warning=warning, action=action)
        except ClusterError as error:
            logger.warning("%s: event %s not posted: %s", queue.where, reason, error)


def turns(before: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]]) -> list[tuple[str, str, bool]]:
    """Reason, note and kind of the events that a change of conditions is worth.

    A condition that comes into being is news only where it is bad.
    """
    old = {one["type"]: one for one in before}
    found = []
    for one in after:
        held = old.get(one["type"], {})
        warning = _REASONS.get((one["type"], one["reason"]))
        if warning is not None and held.get("reason") != one["reason"]:
            found.append((warning, str(one["message"]), True))
        news = _TURNS.get((one["type"], one["status"]))
        if "Starting" in {one["reason"], held.get("reason")} and one["type"] == "WorkersAvailable":
            news = None  # the first workers of a queue on their way are no trouble, nor is it news that they have come
        known = held.get("status") in {"True", "False"}
        if news is None or held.get("status") == one["status"] or (not known and not news[1]):
            continue
        found.append((news[0], str(one["message"]), news[1]))
    return found
