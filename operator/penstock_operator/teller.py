"""What a JobQueue's people are told: its status, and an event when something turns.

Owns the pace of status writes and the one event for each turn. An event that cannot be posted is logged and dropped: it
is news, not state. A status that was changed by another meanwhile is written at the next look.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from penstock.scaling import Decision

from .cache import Cache
from .cluster import Cluster
from .conditions import Facts
from .errors import ClusterError, Conflict, NotFound, Refused
from .failure import summary
from .resource import JobQueue
from .rest import Rest
from .status import OBSERVE_SECONDS, LastScale, observe_at, spread_of, status_of, worth_writing
from .turns import Turn
from .undeclared import undeclared, without

logger = logging.getLogger("penstock.operator.teller")

TOGETHER_SECONDS: Final = 15.0
"""Statuses that fall due within the same so many seconds are written at one look: each look is at all the queues."""
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
        self._rest, self._told = Rest(), ""
        self._unknown: frozenset[str] = frozenset()
        self._named: frozenset[str] = frozenset()
        self.due_at = math.inf
        """When the status has to be written though nothing changes, by the monotonic clock."""

    async def tell(self, queue: JobQueue, facts: Facts, *, busy: int, scaled: LastScale | None) -> bool:
        """Write the status if it is worth a write, and post what has turned; whether nothing is left to write now."""
        made = status_of(queue, facts, now=time.time(), busy=busy, scaled=scaled)
        now = time.monotonic()
        since = now - self._written_at
        self.due_at = self._observe_at(queue)
        stale = now >= self.due_at
        if stale:
            self._unknown = frozenset()  # the definition may be a newer one by now
        made = without(made, self._unknown)
        if not stale and not worth_writing(made, queue.status, since=since):
            return not worth_writing(made, queue.status, since=math.inf)
        try:
            self._rest.check(queue.resource_version)
            made = await self._write(queue, made)
        except (Conflict, NotFound):
            return False  # the queue has changed or is gone; the next look knows
        except ClusterError as error:
            if self._rest.failed(queue.resource_version, error) and summary(error) != self._told:
                self._told = summary(error)
                logger.warning("%s: status not written: %s", queue.where, error)
            self.due_at = self._rest.until or math.inf
            return True
        self._rest.succeeded()
        self._told, self._written_at = "", time.monotonic()
        self.due_at = self._observe_at(queue)
        for reason, note, warning in turns(queue.status.get("conditions") or (), made.get("conditions", ())):
            await self._post(queue, reason=reason, note=note, warning=warning, action="Reconcile")
        return True

    def _observe_at(self, queue: JobQueue) -> float:
        """A time that the cluster does not keep, or shows late, is no reason to write again and again."""
        shown = time.monotonic() + observe_at(queue.uid, queue.status) - time.time()
        due = max(shown, self._written_at + OBSERVE_SECONDS - spread_of(queue.uid))
        return due // TOGETHER_SECONDS * TOGETHER_SECONDS

    async def _write(self, queue: JobQueue, made: dict[str, Any]) -> dict[str, Any]:
        """Write it, without what the installed definition does not know; what was written."""
        while True:
            try:
                async with self._turn.at(self._cluster.telling):
                    self._cache.jobqueues.observe(await self._cluster.apply_status(queue, made))
            except Refused as error:
                smaller = without(made, found := undeclared(str(error)))
                if smaller == made:
                    raise
                if not found <= self._named:
                    names = ", ".join(f"status.{name}" for name in sorted(found))
                    logger.warning(
                        "%s: the installed JobQueue definition does not have %s: the rest of the status is written. "
                        "Install the definition of this release.", queue.where, names,
                    )  # fmt: skip
                made, self._unknown, self._named = smaller, self._unknown | found, self._named | found
            else:
                return made

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
