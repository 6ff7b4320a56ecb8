"""Notifies workers of their kill time if their pod is deleted with less time than their drain needs.

A spot notice, Karpenter's `terminationGracePeriod` and `kubectl drain --grace-period` delete a pod with a grace period
of their own, which its process cannot see. If it knows, it releases the jobs that still run instead of being killed
with them. A kubelet that shuts its node down deletes no pod, so this cannot cover that case.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from penstock.errors import StoreError

from ...database.client import DatabaseClient
from ...resources.resource import Pod

logger = logging.getLogger("penstock.operator.short_grace")

WRITE_SECONDS: Final = 5.0


@dataclass(slots=True)
class ShortGraces:
    """The pods of one queue that were notified, each with its kill time."""

    _notified: dict[str, float] = field(default_factory=dict)

    async def write(self, database: DatabaseClient, queue: int, pods: Iterable[Pod]) -> None:
        """Notify the workers of pods that are new, or whose kill time has changed.

        Args:
            database: of the queue.
            queue: the queue's id.
            pods: that are terminating.
        """
        due = {pod.uid: (pod.name, pod.killed_at) for pod in pods if pod.killed_at is not None}
        self._notified = {uid: at for uid, at in self._notified.items() if uid in due}
        for uid, (name, at) in due.items():
            if self._notified.get(uid) == at:
                continue
            try:
                async with asyncio.timeout(WRITE_SECONDS):
                    await database.shorten_grace(queue, pod=name, seconds=max(0.0, at - time.time()))
            except (StoreError, TimeoutError) as error:
                logger.debug(
                    "workers not notified of the kill time of their pod", extra={"pod": name, "error": str(error)}
                )
                return
            self._notified[uid] = at
