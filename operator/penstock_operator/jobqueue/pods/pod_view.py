"""The pods of one queue with their roles, and their history between observations.

Joins the pods of the cluster with the workers of the database. Lost workers are queried only while a pod lacks the live
worker it should have; a queue at rest, and one that starts, costs no extra query.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from penstock.errors import StoreError
from penstock.store import QueueState
from penstock.store.operator_queries import LostWorker

from ...database.client import DatabaseClient
from ...resources.process_message import harmless
from ...resources.resource import Pod
from .pod_history import PodHistory
from .startup_time import StartupTimeEstimator
from .worker_pods import PodRole, WorkerPod, members, worker_rows

logger = logging.getLogger("penstock.operator.fleet")
_NAMED = 3


class FleetView:
    """One queue's pods."""

    def __init__(self) -> None:
        self._startup = StartupTimeEstimator()
        self._history = PodHistory()
        self._lost: Mapping[str, LostWorker] = {}

    @property
    def startup_seconds(self) -> float | None:
        """Seconds from a pod's start until it serves; None until one was observed."""
        return self._startup.seconds

    @property
    def waiting(self) -> dict[str, float]:
        """Seconds for which each pod that never served has existed, by uid."""
        return {uid: one.waiting for uid, one in self._history.seen.items() if one.waiting}

    async def observe(
        self, pods: Sequence[Pod], state: QueueState | None, database: DatabaseClient | None, now: float
    ) -> None:
        """Record the pods and their workers.

        Args:
            pods: not terminating.
            state: of the queue; None if it could not be sampled, and then nothing is recorded.
            database: source of the state; None if it must not be queried.
            now: monotonic seconds.
        """
        if state is None:
            return
        rows = worker_rows(state.workers)
        drained = {name for name, row in rows.items() if row.state == "drained"}
        # A worker's registration is seen before the probe's next turn.
        self._startup.observe([(pod.uid, pod.ready or pod.name in rows) for pod in pods], now)
        self._history.observe(pods, registered={name: row.id for name, row in rows.items()}, drained=drained, now=now)
        if database is None or not self._history.may_be_lost(rows, pods):
            self._lost = {}
        else:
            try:  # on failure the last result stays; otherwise a lost pod would seem to serve for a moment
                self._lost = await database.lost_workers(state.id)
            except StoreError as error:
                logger.warning("lost workers not read, retrying", extra={"queue": state.name, "error": str(error)})

    def members(self, pods: Sequence[Pod], state: QueueState | None) -> list[WorkerPod]:
        """Every pod with its role; without a sample no worker is known to be lost."""
        rows = {} if state is None else worker_rows(state.workers)
        return members(pods, rows, {} if state is None else self._lost, self._history.seen)


def lost_text(found: Sequence[WorkerPod]) -> str:
    """A message that names the pods whose worker is lost; empty if there is none."""
    lost = [one for one in found if one.role is PodRole.LOST]
    parts = []
    for one in lost[:_NAMED]:
        node = one.pod.node or (one.lost.node if one.lost else None)
        where = f" on node {harmless(node)}" if node else ""
        silent = one.lost.silent if one.lost else one.seen.missing
        since = (
            f" has not renewed its lease for {silent:.0f} s"
            if silent
            else " has no worker, and its node is unreachable"
        )
        parts.append(f"pod {one.pod.name}{where}{since}")
    if not parts:
        return ""
    more = f"; {len(lost) - _NAMED} more" if len(lost) > _NAMED else ""
    text = "; ".join(parts) + more
    return f"{text[:1].upper()}{text[1:]}. Their jobs go to other workers when the leases expire."
