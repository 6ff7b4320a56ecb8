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
from typing import Final

from penstock.errors import RejectedByDatabase
from penstock.scaling import declaration, worker_settings
from penstock.settings import Settings
from penstock.store.declared import Declared

from .resource import JobQueue
from .sampling import Database

logger = logging.getLogger("penstock.operator.declaring")

COMPARE_SECONDS: Final = 60.0


class Declaring:
    """The declarations of one database.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._compared_at = clock, float("-inf")
        self._known: dict[str, int] = {}
        self._ours: set[str] = set()

    def forget(self, uid: str | None = None) -> None:
        """This JobQueue is not ours any more; without one, nothing is known of any."""
        if uid is None:
            self._known.clear()
            self._ours.clear()
            self._compared_at = float("-inf")
        else:
            self._known.pop(uid, None)
            self._ours.discard(uid)

    async def mirror(self, database: Database, queues: Iterable[JobQueue], *, moved: Callable[[], None]) -> None:
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
        standing: Mapping[str, Declared] = await database.declarations() if stale or len(due) > 1 else {}
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
                try:
                    await database.declare(queue.policy.queue_name, **made)
                except RejectedByDatabase as error:
                    logger.error("%s: not declared: %s", queue.where, error)
                moved()
            self._known[queue.uid] = queue.generation
            self._ours.add(queue.uid)
