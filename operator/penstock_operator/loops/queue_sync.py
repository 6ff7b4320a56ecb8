"""Keeps the queues' rows in the database in sync with their JobQueues.

Owns what is known to be declared. A new leader knows nothing and reads all declarations once: it finds nearly all of
them as its predecessor wrote them, and writes only those that differ.

Once a minute all are compared again. Another server may answer by then, or one restored from a backup, and a queue
without a row is never sampled.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from penstock.errors import RejectedByDatabase, RowLocked
from penstock.jobqueue.declaration import QueueDeclaration
from penstock.jobqueue.worker_settings import declaration, worker_settings
from penstock.settings import Settings

from ..database.client import DatabaseClient
from ..log_fields import log_fields
from ..resources.resource import JobQueue

logger = logging.getLogger("penstock.operator.queue_sync")

COMPARE_SECONDS: Final = 60.0
LOCKED_SECONDS: Final = (5.0, 10.0, 20.0, 40.0, 60.0)
"""Pauses before a retry if another transaction holds the queue's row. A client that enqueues may keep an uncommitted
row for as long as its transaction lasts, and the other JobQueues of the database must not wait for that."""


class QueueSync:
    """The declarations of one database.

    Args:
        clock: monotonic seconds.

    `refused` has, by uid, the reason and message why a JobQueue could not be declared.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._compared_at = clock, float("-inf")
        self._known: dict[str, int] = {}
        self._ours: set[str] = set()
        self._locked: dict[str, tuple[int, float]] = {}
        self.refused: dict[str, tuple[str, str]] = {}

    def forget(self, uid: str | None = None) -> None:
        """Forget one JobQueue, or all of them."""
        if uid is None:
            self._known.clear()
            self._ours.clear()
            self._locked.clear()
            self.refused.clear()
            self._compared_at = float("-inf")
        else:
            self._known.pop(uid, None)
            self._ours.discard(uid)
            self._locked.pop(uid, None)
            self.refused.pop(uid, None)

    async def sync(self, database: DatabaseClient, queues: Iterable[JobQueue], *, moved: Callable[[], None]) -> None:
        """Declare the queues whose rows differ from their JobQueues.

        Args:
            database: connected.
            queues: those of this database.
            moved: called after each answer, as a sign of progress.

        Raises:
            StoreError: the database cannot be asked.
            NotLeader: another replica leads.
        """
        stale = self._clock() - self._compared_at >= COMPARE_SECONDS
        due = [one for one in queues if one.policy and (stale or self._known.get(one.uid) != one.generation)]
        due = [one for one in due if self._locked.get(one.uid, (0, 0.0))[1] <= self._clock()]
        names = [one.policy.queue_name for one in due if one.policy is not None]
        standing: Mapping[str, QueueDeclaration] = await database.declarations(names) if stale or len(due) > 1 else {}
        if stale:
            self._compared_at = self._clock()
        base = Settings()
        for queue in due:
            assert queue.policy is not None
            settings = worker_settings(queue.policy, base=base)
            made = declaration(queue.policy, settings, declared_by=queue.uid, generation=queue.generation)
            found = standing.get(queue.policy.queue_name)
            if found is not None and found.declared_by != queue.uid and queue.uid in self._ours:
                logger.warning(
                    "queue was declared by another operator; two operators may serve it", extra=log_fields(queue)
                )
            if found is None or not found.matches(made):
                declared = await self._declare(database, queue, made)
                moved()
                if not declared:
                    continue
            self._known[queue.uid] = queue.generation
            self._ours.add(queue.uid)

    async def _declare(self, database: DatabaseClient, queue: JobQueue, made: QueueDeclaration) -> bool:
        """Write one declaration; False if another transaction holds the row, which is retried later."""
        assert queue.policy is not None
        try:
            await database.declare(queue.policy.queue_name, made)
        except RowLocked as error:
            times = self._locked.get(queue.uid, (0, 0.0))[0]
            pause = LOCKED_SECONDS[min(times, len(LOCKED_SECONDS) - 1)]
            self._locked[queue.uid] = times + 1, self._clock() + pause
            cause = (
                f"Queue {queue.policy.queue_name} cannot be declared: a transaction that enqueued to it is still open"
            )
            what = "Commit or roll it back (`penstock doctor` names the oldest transaction)."
            self.refused[queue.uid] = "QueueLocked", f"{cause}. {what}"
            if times == 0:
                logger.warning("queue not declared, retrying", extra=log_fields(queue, error))
            return False
        except RejectedByDatabase as error:
            logger.error("queue not declared", extra=log_fields(queue, error))
        self._locked.pop(queue.uid, None)
        self.refused.pop(queue.uid, None)
        return True
