"""Records in the database how worker pods exited, for the history of their jobs.

A lost worker cannot report why it is gone, and the worker that rescues its jobs knows only its lease; the cluster knows
that it was OOM-killed or evicted. Each exit is recorded once, by the first reconciliation after it. A failed write is
retried by the next one, and none takes longer than five seconds.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from penstock.errors import StoreError

from ...database.client import DatabaseClient
from ...kube.cache import Cache
from ...resources.resource import JobQueue, Pod
from ..status import stamp
from .short_grace import ShortGraces

logger = logging.getLogger("penstock.operator.pod_ends")

NOTE_SECONDS: Final = 5.0


def end_of(pod: Pod) -> tuple[str, str] | None:
    """When (RFC 3339) and how the worker of a pod ended; None if it never did."""
    if pod.ended is None:
        return pod.last_exit
    reason, sentence, at = pod.ended
    process = "" if pod.last_exit is None else f"; {pod.last_exit[1]}"
    return stamp(at), f"{reason} ({sentence}){process}"


@dataclass(slots=True)
class PodEnds:
    """The ends of one queue's pods that were noted."""

    _noted: set[tuple[str, str]] = field(default_factory=set)

    async def note(self, database: DatabaseClient, queue: int, pods: Iterable[Pod]) -> None:
        """Record new exits of pods.

        Args:
            database: of the queue.
            queue: the queue's id.
            pods: all that are listed, those on their way out included.
        """
        ends = {(pod.uid, end[0]): (pod.name, *end) for pod in pods if (end := end_of(pod)) is not None}
        self._noted &= ends.keys()
        for key in ends.keys() - self._noted:
            name, at, how = ends[key]
            try:
                async with asyncio.timeout(NOTE_SECONDS):
                    await database.note_end(queue, pod=name, at=at, how=how)
            except (StoreError, TimeoutError) as error:
                logger.debug("exit of the pod not recorded", extra={"pod": name, "error": str(error)})
                return
            self._noted.add(key)


@dataclass(slots=True)
class PodNews:
    """Exits of one queue's pods as the cluster reports them, for their workers and for the history of their jobs."""

    _graces: ShortGraces = field(default_factory=ShortGraces)
    _ends: PodEnds = field(default_factory=PodEnds)

    async def write(self, database: DatabaseClient, number: int, queue: JobQueue, cache: Cache) -> None:
        """Write what is new about the pods of `queue`, whose id is `number`."""
        gone = cache.gone_pods_of(queue)
        await self._graces.write(database, number, gone)
        await self._ends.note(database, number, [*cache.pods_of(queue), *gone])
