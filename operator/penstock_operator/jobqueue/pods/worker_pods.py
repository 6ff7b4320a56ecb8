"""Classifies each worker pod for the autoscaler, from its object, its worker's row and its history. Pure.

The database says who serves; the pod's readiness alone says nothing about that. It lags by seconds at a start and at a
drain, and the pod of a node that lost power stays Ready for almost a minute. The replica set, however, chooses its
victims by readiness, so both are kept here.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from penstock.store.operator_queries import LostWorker

from ...resources.resource import Pod
from .pod_history import UNSEEN, Seen

STARTING_SECONDS: Final = 30.0
"""A pod that is neither ready nor registered for so long is stuck, not starting; it holds nothing and may go."""
REPLACE_SECONDS: Final = 120.0
"""A stuck pod without a known problem is replaced only after so long: its process may take long to start."""
LOST_SECONDS: Final = 10.0
"""A container that ended, with claims or without, or whose worker drains in place, gets so long to start again."""
UNREADY_SECONDS: Final = 60.0
"""A worker whose pod was not ready for so long leaves before idle ones: it would keep all of them from leaving."""
_BEING_MADE: Final = frozenset({"ContainerCreating", "PodInitializing"})
_NO_ROOM: Final = frozenset({"Unschedulable", "SchedulingGated"})


class PodRole(enum.Enum):
    """The role of a pod for its queue."""

    SERVING = "serving"
    """Its worker is registered and claims jobs."""
    LEAVING = "leaving"
    """Its worker is cordoned or drained, and can be called back."""
    DRAINING = "draining"
    """Its worker got SIGTERM though the pod stays, for example from a failed liveness probe."""
    STARTING = "starting"
    STUCK = "stuck"
    """It never served, and has a problem or takes too long; it holds nothing."""
    LOST = "lost"
    """Its worker's lease ran out: its jobs run elsewhere, and it serves nothing until it registers again."""
    UNREGISTERED = "unregistered"
    """Ready, though the database does not know its worker; it cannot be drained, so it stays."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PodWorker:
    """A worker as the database knows it."""

    id: int
    pod: str
    state: str
    in_flight: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerPod:
    """One pod of the queue that is not terminating.

    Args:
        pod: as last seen.
        role: what it does.
        worker: its row, None if the database knows no live one.
        lost: its lost row, if that is why it is lost.
        seen: what was seen of it so far.
    """

    pod: Pod
    role: PodRole
    worker: PodWorker | None = None
    lost: LostWorker | None = None
    seen: Seen = UNSEEN

    @property
    def removable(self) -> bool:
        """True if it can go without a drain, because it holds no job."""
        return self.role in {PodRole.STUCK, PodRole.LOST}

    @property
    def drained(self) -> bool:
        """True if its worker has reported that it holds nothing and takes nothing."""
        return self.worker is not None and self.worker.state == "drained"

    @property
    def may_go(self) -> bool:
        """Drained, and known to the API server as not ready for good.

        A pod that was never Ready may become so late, when the kubelet publishes a success from before the drain.
        """
        settled = self.seen.was_ready or self.seen.drained >= self.pod.probe_seconds
        return self.drained and not self.pod.ready and settled

    def replaceable(self, *, startup_seconds: float | None, deadline: float) -> bool:
        """Return True if another pod can do what this one does not. Where no node has room, one more helps nobody.

        A worker that drains in place takes no jobs until its container has been started again.

        Args:
            startup_seconds: how long a pod of this queue takes until it serves; None while that is not known.
            deadline: seconds for which a pod may pull its image, mount its volumes and run its init containers.
        """
        if self.role is PodRole.DRAINING:
            return self.seen.unready >= LOST_SECONDS
        if self.role is PodRole.STUCK and self.pod.problem is None:
            patience = max(REPLACE_SECONDS, 2 * (startup_seconds or 0.0))
            if self.pod.pending is not None and self.pod.pending[0] in _BEING_MADE:
                patience = max(patience, deadline)
            return self.seen.waiting > patience
        if self.role is PodRole.STUCK and self.pod.problem is not None:
            return self.pod.problem[0] not in _NO_ROOM and self.seen.unready >= LOST_SECONDS
        return self.role is PodRole.LOST


def worker_rows(workers: Sequence[Mapping[str, Any]]) -> dict[str, PodWorker]:
    """The workers of a sample by pod; the newest row of a pod counts, because a container may have been restarted.

    Their counts of jobs in flight are what they last reported, which lags.
    """
    found: dict[str, PodWorker] = {}
    for one in sorted(workers, key=lambda worker: int(worker["id"])):
        if one.get("pod"):
            row = PodWorker(
                id=int(one["id"]), pod=one["pod"], state=one["state"], in_flight=int(one.get("in_flight") or 0)
            )
            found[row.pod] = row
    return found


def members(
    pods: Sequence[Pod],
    workers: Mapping[str, PodWorker],
    lost: Mapping[str, LostWorker],
    seen: Mapping[str, Seen],
) -> list[WorkerPod]:
    """Every pod with its role.

    Args:
        pods: of the queue, not terminating.
        workers: live rows by pod name, from the latest snapshot.
        lost: lost workers by pod name.
        seen: by the pod's uid.
    """
    found = []
    for pod in pods:
        row, gone, history = workers.get(pod.name), lost.get(pod.name), seen.get(pod.uid, UNSEEN)
        found.append(WorkerPod(pod=pod, worker=row, lost=gone, seen=history, role=_role(pod, row, gone, history)))
    return found


def _role(pod: Pod, row: PodWorker | None, gone: LostWorker | None, seen: Seen) -> PodRole:
    if row is not None:
        states = {"running": PodRole.SERVING, "draining": PodRole.DRAINING, "lost": PodRole.LOST}
        return states.get(row.state, PodRole.LEAVING)
    if (gone is not None and gone.silent >= LOST_SECONDS) or pod.unreachable:
        return PodRole.LOST
    if pod.ready:  # it holds a lease somewhere: `registrations` says what to do
        return PodRole.UNREGISTERED
    if seen.missing > STARTING_SECONDS:
        return PodRole.LOST
    return PodRole.STUCK if pod.problem is not None or seen.waiting > STARTING_SECONDS else PodRole.STARTING
