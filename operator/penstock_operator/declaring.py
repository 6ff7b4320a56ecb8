"""The queues' rows in the database, kept as their JobQueues say.

Owns what is known to stand there. Whoever has just come knows nothing and asks for all of it once: a new leader finds
nearly everything as its predecessor declared it, and writes only what differs.

Surprising: once a minute everything is compared again. Another server may answer by then, or one that was restored from
a backup, and a queue without a row is a queue that nobody looks at.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from penstock.errors import RejectedByDatabase, RowLocked
from penstock.jobqueue.worker_settings import declaration, worker_settings
from penstock.settings import Settings
from penstock.store.queue_declarations import Declared

from .database.client import DatabaseClient
from .resource import JobQueue

logger = logging.getLogger("penstock.operator.declaring")

COMPARE_SECONDS: Final = 60.0
LOCKED_SECONDS: Final = (5.0, 10.0, 20.0, 40.0, 60.0)
"""Pauses before a queue is declared again whose row somebody holds. Whoever may enqueue can hold one that is not
committed yet for as long as a transaction lasts; the other JobQueues of the database must not wait for that."""


class Declaring:
    """The declarations of one database.

    Args:
        clock: monotonic seconds.

    `refused` has, by uid, the reason and sentence why a JobQueue could not be declared.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._compared_at = clock, float("-inf")
        self._known: dict[str, int] = {}
        self._ours: set[str] = set()
        self._locked: dict[str, tuple[int, float]] = {}
        self.refused: dict[str, tuple[str, str]] = {}

    def forget(self, uid: str | None = None) -> None:
        """This JobQueue is not ours any more; without one, nothing is known of any."""
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

    async def mirror(self, database: DatabaseClient, queues: Iterable[JobQueue], *, moved: Callable[[], None]) -> None:
        """Declare what does not stand yet.

        Args:
            database: connected.
            queues: those that this database serves.
            moved: called after each answer, for whoever waits only while nothing moves.

        Raises:
            StoreError: the database cannot be asked.
            Deposed: another replica leads.
        """
        stale = self._clock() - self._compared_at >= COMPARE_SECONDS
        due = [one for one in queues if one.policy and (stale or self._known.get(one.uid) != one.generation)]
        due = [one for one in due if self._locked.get(one.uid, (0, 0.0))[1] <= self._clock()]
        names = [one.policy.queue_name for one in due if one.policy is not None]
        standing: Mapping[str, Declared] = await database.declarations(names) if stale or len(due) > 1 else {}
        if stale:
            self._compared_at = self._clock()
        base = Settings()
        for queue in due:
            assert queue.policy is not None
            settings = worker_settings(queue.policy, base=base)
            made = declaration(queue.policy, settings, declared_by=queue.uid, generation=queue.generation)
            found = standing.get(queue.policy.queue_name)
            if found is not None and found.declared_by != queue.uid and queue.uid in self._ours:
                logger.warning("%s: its queue was declared by another: is it served by two operators?", queue.where)
            if found is None or not found.stands(**made):
                declared = await self._declare(database, queue, made)
                moved()
                if not declared:
                    continue
            self._known[queue.uid] = queue.generation
            self._ours.add(queue.uid)

    async def _declare(self, database: DatabaseClient, queue: JobQueue, made: Mapping[str, Any]) -> bool:
        """Write one declaration; False if the row is held by somebody, who is asked again later."""
        assert queue.policy is not None
        try:
            await database.declare(queue.policy.queue_name, **made)
        except RowLocked as error:
            times = self._locked.get(queue.uid, (0, 0.0))[0]
            pause = LOCKED_SECONDS[min(times, len(LOCKED_SECONDS) - 1)]
            self._locked[queue.uid] = times + 1, self._clock() + pause
            said = f"Queue {queue.policy.queue_name} cannot be declared: a transaction that enqueued first is open"
            self.refused[queue.uid] = "QueueLocked", f"{said}; end it (`penstock doctor` names the oldest)."
            if times == 0:
                logger.warning("%s: not declared: %s", queue.where, error)
            return False
        except RejectedByDatabase as error:
            logger.error("%s: not declared: %s", queue.where, error)
        self._locked.pop(queue.uid, None)
        self.refused.pop(queue.uid, None)
        return True
