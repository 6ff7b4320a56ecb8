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

logger = logging.getLogger("penstock.operator.pod_exits")

WRITE_SECONDS: Final = 5.0


def exit_of(pod: Pod) -> tuple[str, str] | None:
    """When (RFC 3339) and how the worker of a pod exited; None if it never did."""
    if pod.ended is None:
        return pod.last_exit
    reason, sentence, at = pod.ended
    process = "" if pod.last_exit is None else f"; {pod.last_exit[1]}"
    return stamp(at), f"{reason} ({sentence}){process}"


@dataclass(slots=True)
class RecordedExits:
    """The exits of one queue's pods that are in the database."""

    _recorded: set[tuple[str, str]] = field(default_factory=set)

    async def record(self, database: DatabaseClient, queue: int, pods: Iterable[Pod]) -> None:
        """Record new exits of pods.

        Args:
            database: of the queue.
            queue: the queue's id.
            pods: all that are listed, those on their way out included.
        """
        exits = {(pod.uid, last[0]): (pod.name, *last) for pod in pods if (last := exit_of(pod)) is not None}
        self._recorded &= exits.keys()
        for key in exits.keys() - self._recorded:
            name, at, how = exits[key]
            try:
                async with asyncio.timeout(WRITE_SECONDS):
                    await database.note_end(queue, pod=name, at=at, how=how)
            except (StoreError, TimeoutError) as error:
                logger.debug("exit of the pod not recorded", extra={"pod": name, "error": str(error)})
                return
            self._recorded.add(key)


@dataclass(slots=True)
class PodExits:
    """Exits of one queue's pods as the cluster reports them, for their workers and for the history of their jobs."""

    _graces: ShortGraces = field(default_factory=ShortGraces)
    _exits: RecordedExits = field(default_factory=RecordedExits)

    async def write(self, database: DatabaseClient, number: int, queue: JobQueue, cache: Cache) -> None:
        """Write what is new about the pods of `queue`, whose id is `number`."""
        gone = cache.gone_pods_of(queue)
        await self._graces.write(database, number, gone)
        await self._exits.record(database, number, [*cache.pods_of(queue), *gone])
