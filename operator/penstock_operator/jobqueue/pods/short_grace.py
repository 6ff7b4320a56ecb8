"""Workers whose pod is deleted with less time than their drain was given are told when they are killed.

A spot notice, Karpenter's `terminationGracePeriod` and `kubectl drain --grace-period` delete a pod with a grace period
of their own, which the process in it cannot see. With the time it releases what still runs instead of being killed
with it. A kubelet that shuts its node down deletes no pod, and nobody here can see that.
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

TELL_SECONDS: Final = 5.0


@dataclass(slots=True)
class ShortGraces:
    """The pods of one queue that were told, each with the time that they were told."""

    _told: dict[str, float] = field(default_factory=dict)

    async def write(self, database: DatabaseClient, queue: int, pods: Iterable[Pod]) -> None:
        """Tell the workers of pods that are new, or whose time has become shorter.

        Args:
            database: of the queue.
            queue: the queue's id.
            pods: on their way out.
        """
        due = {pod.uid: (pod.name, pod.killed_at) for pod in pods if pod.killed_at is not None}
        self._told = {uid: at for uid, at in self._told.items() if uid in due}
        for uid, (name, at) in due.items():
            if self._told.get(uid) == at:
                continue
            try:
                async with asyncio.timeout(TELL_SECONDS):
                    await database.shorten_grace(queue, pod=name, seconds=max(0.0, at - time.time()))
            except (StoreError, TimeoutError) as error:
                logger.debug("pod %s: its workers could not be told that it is killed: %s", name, error)
                return
            self._told[uid] = at
