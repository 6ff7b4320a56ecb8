"""Asks node autoscalers not to evict busy pods.

Owns two annotations of the worker pods, Karpenter's and the cluster autoscaler's, under a field manager of its own. A
pod gets them after one busy second, and loses them after 45 idle seconds or as soon as it has drained; short jobs
therefore cause few writes. An annotation that the template or another writer set is left alone.

The writes run in a task of their own and pass the gate of repairs: a slow API server does not delay scaling for them.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from ...errors import ClusterError, NotFound, NotLeader, Refused
from ...kube.cache import Cache
from ...kube.client import Cluster
from ...log_fields import log_fields
from ...resources.resource import JobQueue, Pod, Protection
from ..failure_backoff import FailureBackoff
from ..pods.worker_pods import PodWorker

logger = logging.getLogger("penstock.operator.disruption")

BUSY_SECONDS: Final = 1.0
"""A pod with jobs for this long is protected."""
IDLE_SECONDS: Final = 45.0
"""A pod without jobs for this long is not protected any more."""
_ALL: Final = ""
"""In place of a pod's uid: what every write of the queue would meet, such as a right that is missing."""
_NO_ROW: Final = PodWorker(id=0, pod="", state="lost", in_flight=0)


@dataclass(slots=True)
class BusyPods:
    """Which pods of one queue are to be protected, from each sample. Pure but for its memory."""

    _busy_since: dict[str, float] = field(default_factory=dict)
    _idle_since: dict[str, float] = field(default_factory=dict)

    def changes(self, pods: Sequence[Pod], workers: Mapping[str, PodWorker], now: float) -> list[tuple[Pod, bool]]:
        """The pods whose annotations are to be set (True) or removed (False).

        Args:
            pods: that are not on their way out.
            workers: by pod name, from the latest sample.
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
    _rests: dict[str, FailureBackoff] = field(default_factory=dict)
    _task: asyncio.Task[None] | None = None

    def observe(self, queue: JobQueue, workers: Mapping[str, PodWorker] | None, now: float) -> bool:
        """Start what is to be written, unless a write is under way; whether a pod is protected, or is to be.

        Args:
            queue: whose pods; where its policy turns this off, what was written before is removed.
            workers: by pod name; None without a sample; nothing changes then.
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
        for uid in self._rests.keys() - {pod.uid for pod in pods} - {_ALL}:
            del self._rests[uid]
        due = [] if self._rests_now(_ALL) else [one for one in changes if not self._rests_now(one[0].uid)]
        if due and (self._task is None or self._task.done()):
            self._task = asyncio.create_task(self._write(queue, due), name=f"protect {queue.where}")
        return bool(ours or changes)

    def cancel(self) -> None:
        """The queue is gone: nothing is to be written any more."""
        if self._task is not None:
            self._task.cancel()

    async def _write(self, queue: JobQueue, changes: Sequence[tuple[Pod, bool]]) -> None:
        for pod, protect in changes:
            try:
                async with self.cluster.bulk_gate:
                    self.cache.pods.observe(await self.cluster.protect(pod, protect=protect))
            except NotFound:
                continue
            except NotLeader:
                return
            except Refused as error:  # of this pod, by an admission policy say
                self._failed(pod.uid, queue, pod, error)
            except ClusterError as error:
                self._failed(_ALL, queue, pod, error)
                return
            else:
                self._rests.pop(pod.uid, None)
                self._rests.pop(_ALL, None)

    def _failed(self, what: str, queue: JobQueue, pod: Pod, error: ClusterError) -> None:
        if self._rests.setdefault(what, FailureBackoff()).failed(what, error):
            logger.info("disruption annotations not written", extra=log_fields(queue, error) | {"pod": pod.name})

    def _rests_now(self, what: str) -> bool:
        rest = self._rests.get(what)
        return rest is not None and rest.until is not None and time.monotonic() < rest.until
