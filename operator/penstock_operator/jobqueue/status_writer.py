"""Writes one JobQueue's status, and posts an event for each transition.

Owns the pace of status writes: none at rest, one at once for a transition, at most one in ten seconds for counts. An
event that cannot be posted is logged and dropped, because it is news and not state. A status that conflicts with
another writer's change is written by the next reconciliation.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from penstock.scaling import Decision

from ..error_reasons import summary
from ..errors import ClusterError, Conflict, NotFound, Refused
from ..kube.cache import Cache
from ..kube.client import Cluster
from ..kube.priority_gate import PriorityGate
from ..log_fields import log_fields
from ..resources.conditions import ObservedState
from ..resources.resource import JobQueue
from .failure_backoff import FailureBackoff
from .status import OBSERVE_SECONDS, LastScale, observe_at, spread_of, status_of, worth_writing
from .unknown_fields import undeclared, without

logger = logging.getLogger("penstock.operator.status_writer")

TOGETHER_SECONDS: Final = 15.0
"""Statuses that become due within one interval are written together, because each sample reads all queues."""
_TRANSITIONS: Final = {
    ("DatabaseReachable", "False"): ("SignalLost", True),
    ("DatabaseReachable", "True"): ("SignalRestored", False),
    ("WorkersAvailable", "False"): ("WorkersUnavailable", True),
    ("WorkersAvailable", "True"): ("WorkersRestored", False),
    ("LatencyTargetMet", "False"): ("LatencyTargetViolated", True),
    ("LatencyTargetMet", "True"): ("LatencyTargetRestored", False),
    ("SchedulesValid", "False"): ("SchedulesInvalid", True),
    ("SchedulesValid", "True"): ("SchedulesCorrected", False),
    ("Draining", "True"): ("DrainStarted", False),
    ("Draining", "False"): ("DrainCompleted", False),
}
"""Condition and new status -> reason of the event, and whether it is a warning."""
_WARNINGS: Final = {
    ("Ready", "InvalidSpec"): "SpecRejected",
    ("Ready", "DuplicateQueue"): "DuplicateQueue",
    ("Draining", "ForeignDeletionCost"): "ForeignDeletionCost",
    ("ScalingActive", "ForeignScaler"): "ForeignScaler",
    ("WorkersAvailable", "RolloutPaused"): "RolloutPaused",
}
"""Condition and new reason -> reason of a warning, whatever the status was before."""


class StatusWriter:
    """Status and events of one JobQueue."""

    def __init__(self, *, cluster: Cluster, cache: Cache, gate: PriorityGate) -> None:
        self._cluster, self._cache, self._gate = cluster, cache, gate
        self._written_at = float("-inf")
        self._rest, self._logged = FailureBackoff(), ""
        self._unknown: frozenset[str] = frozenset()
        self._named: frozenset[str] = frozenset()
        self.due_at = math.inf
        """When the status has to be written again even without a change, by the monotonic clock."""

    async def write(self, queue: JobQueue, state: ObservedState, *, busy: int, scaled: LastScale | None) -> bool:
        """Write the status if it is worth a write, and post an event for each transition.

        Args:
            queue: the JobQueue; its status is the one to compare with.
            state: what to report.
            busy: workers with jobs in flight.
            scaled: the last change of the replica count since this process started.

        Returns:
            Whether nothing is left to write now.
        """
        made = status_of(queue, state, now=time.time(), busy=busy, scaled=scaled)
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
            return False  # the JobQueue has changed or was deleted; the next reconciliation sees that
        except ClusterError as error:
            if self._rest.failed(queue.resource_version, error) and summary(error) != self._logged:
                self._logged = summary(error)
                logger.warning("status not written", extra=log_fields(queue, error))
            self.due_at = self._rest.until or math.inf
            return True
        self._rest.succeeded()
        self._logged, self._written_at = "", time.monotonic()
        self.due_at = self._observe_at(queue)
        for reason, note, warning in transitions(queue.status.get("conditions") or (), made.get("conditions", ())):
            await self._post(queue, reason=reason, note=note, warning=warning, action="Reconcile")
        return True

    def _observe_at(self, queue: JobQueue) -> float:
        """When the status is due again. A cluster that drops or delays `observedAt` must not cause repeated writes."""
        shown = time.monotonic() + observe_at(queue.uid, queue.status) - time.time()
        due = max(shown, self._written_at + OBSERVE_SECONDS - spread_of(queue.uid))
        return due // TOGETHER_SECONDS * TOGETHER_SECONDS

    async def _write(self, queue: JobQueue, made: dict[str, Any]) -> dict[str, Any]:
        """Write it without the fields that the installed definition lacks; the status written."""
        while True:
            try:
                async with self._gate.through(self._cluster.status_gate):
                    self._cache.jobqueues.observe(await self._cluster.apply_status(queue, made))
            except Refused as error:
                smaller = without(made, found := undeclared(str(error)))
                if smaller == made:
                    raise
                if not found <= self._named:
                    names = ", ".join(f"status.{name}" for name in sorted(found))
                    logger.warning(
                        "the installed JobQueue definition lacks status fields, which are not written; "
                        "install the definition of this release",
                        extra=log_fields(queue) | {"fields": names},
                    )
                made = smaller
                self._unknown |= found
                self._named |= found
            else:
                return made

    async def post_scaling(self, queue: JobQueue, before: int, after: int, decision: Decision) -> None:
        """Log and post a change of the replica count with its explanation."""
        reason = "ScaledUp" if after > before else "ScaledDown" if after else "ScaledToZero"
        reason = "Activated" if before == 0 else reason
        bound = decision.bound.value
        note = f"Scaled from {before} to {after} ({bound}). {decision.explanation}"
        fields = {"from": before, "to": after, "bound": bound, "explanation": decision.explanation}
        logger.info("deployment scaled", extra=log_fields(queue) | fields)
        await self._post(queue, reason=reason, note=note, warning=False, action="Scale")

    async def _post(self, queue: JobQueue, *, reason: str, note: str, warning: bool, action: str) -> None:
        try:
            await self._cluster.post_event(queue, reason=reason, note=note, warning=warning, action=action)
        except ClusterError as error:
            logger.warning("event not posted", extra=log_fields(queue, error) | {"reason": reason})


def transitions(before: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]]) -> list[tuple[str, str, bool]]:
    """Reason, note and kind (True: a warning) of an event for each change of a condition.

    A condition that did not exist before is reported only if it is a warning.
    """
    old = {one["type"]: one for one in before}
    found = []
    for one in after:
        previous = old.get(one["type"], {})
        warning = _WARNINGS.get((one["type"], one["reason"]))
        if warning is not None and previous.get("reason") != one["reason"]:
            found.append((warning, str(one["message"]), True))
        news = _TRANSITIONS.get((one["type"], one["status"]))
        if "Starting" in {one["reason"], previous.get("reason")} and one["type"] == "WorkersAvailable":
            news = None  # that the first workers of a queue start, and have started, is neither a problem nor news
        known = previous.get("status") in {"True", "False"}
        if news is None or previous.get("status") == one["status"] or (not known and not news[1]):
            continue
        found.append((news[0], str(one["message"]), news[1]))
    return found
