"""Busy pods ask node autoscalers to leave their nodes alone; idle ones do not.

Owns two annotations of the worker pods, Karpenter's and the cluster autoscaler's, under a field manager of its own. A
pod gets them a second after it was first seen busy, and loses them after 45 idle seconds, so that short jobs cause few
writes, or at once when it has drained. An annotation that the template or somebody else has set is left alone.

Surprising: the writes go beside the reconciliation, in one task of the queue, and through the gate of repairs: a slow
API server never holds up scaling for them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from .cache import Cache
from .cluster import Cluster
from .errors import ClusterError, Deposed, NotFound
from .fleet import WorkerRow
from .resource import JobQueue, Pod, Protection

logger = logging.getLogger("penstock.operator.disruption")

BUSY_SECONDS: Final = 1.0
"""A pod that holds jobs for so long is protected."""
IDLE_SECONDS: Final = 45.0
"""A pod that holds none for so long is not any more."""
_NO_ROW: Final = WorkerRow(id=0, pod="", state="lost", in_flight=0)


@dataclass(slots=True)
class BusyPods:
    """Which pods of one queue are to be protected, by what each look shows. Pure but for its memory."""

    _busy_since: dict[str, float] = field(default_factory=dict)
    _idle_since: dict[str, float] = field(default_factory=dict)

    def changes(self, pods: Sequence[Pod], workers: Mapping[str, WorkerRow], now: float) -> list[tuple[Pod, bool]]:
        """The pods whose annotations are to be set (True) or removed (False).

        Args:
            pods: that are not on their way out.
            workers: by pod name, from the latest look.
            now: monotonic seconds.
        """
        found = []
        here = {pod.uid for pod in pods}
        for since in (self._busy_since, self._idle_since):
            for uid in since.keys() - here:
                del since[uid]
        for pod in pods:
            row = workers.get(pod.name, _NO_ROW)
            if row.in_flight:
                self._idle_since.pop(pod.uid, None)
                long = now - self._busy_since.setdefault(pod.uid, now) >= BUSY_SECONDS
                wanted = pod.protection is Protection.NONE and long
            else:
                self._busy_since.pop(pod.uid, None)
                long = now - self._idle_since.setdefault(pod.uid, now) >= IDLE_SECONDS
                wanted = pod.protection is Protection.OURS and (long or row.state == "drained")
            if wanted:
                found.append((pod, bool(row.in_flight)))
        return found


@dataclass(slots=True, kw_only=True)
class Disruption:
    """Protects the busy pods of one queue."""

    cluster: Cluster
    cache: Cache
    _busy: BusyPods = field(default_factory=BusyPods)
    _task: asyncio.Task[None] | None = None

    def observe(self, queue: JobQueue, workers: Mapping[str, WorkerRow] | None, now: float) -> bool:
        """Start what is to be written, unless a write is under way; whether a pod is protected, or is to be.

        Args:
            queue: whose pods; where its policy turns this off, what was written before is removed.
            workers: by pod name; None without a look, when nothing changes.
            now: monotonic seconds.
        """
        pods = self.cache.pods_of(queue)
        ours = [pod for pod in pods if pod.protection is Protection.OURS]
        if queue.policy is None or workers is None:
            return bool(ours)
        if queue.policy.worker.protects_busy_pods:
            changes = self._busy.changes(pods, workers, now)
        else:
            changes = [(pod, False) for pod in ours]
        if changes and (self._task is None or self._task.done()):
            self._task = asyncio.create_task(self._write(queue, changes), name=f"protect {queue.where}")
        return bool(ours or changes)

    def cancel(self) -> None:
        """The queue is gone: nothing is to be written any more."""
        if self._task is not None:
            self._task.cancel()

    async def _write(self, queue: JobQueue, changes: Sequence[tuple[Pod, bool]]) -> None:
        for pod, protect in changes:
            try:
                async with self.cluster.bulk:
                    self.cache.pods.observe(await self.cluster.protect(pod, protect=protect))
            except NotFound:
                continue
            except (ClusterError, Deposed) as error:
                logger.info("%s: pod %s: disruption annotations not written: %s", queue.where, pod.name, error)
                return
