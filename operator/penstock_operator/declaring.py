"""The queues' rows in the database, kept as their JobQueues say.

Owns what is known to stand there. Whoever has just connected knows nothing and asks for all of it once: a new leader
finds nearly everything as its predecessor declared it, and writes only what differs.

Surprising: after each connection everything is compared again. Another server may answer then, or one that was restored
from a backup, and a queue without a row is a queue that nobody looks at.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

from penstock.errors import RejectedByDatabase
from penstock.scaling import declaration, worker_settings
from penstock.settings import Settings

from .resource import JobQueue
from .sampling import Database

logger = logging.getLogger("penstock.operator.declaring")


class Declaring:
    """The declarations of one database."""

    def __init__(self) -> None:
        self._known: dict[str, int] = {}

    def forget(self, uid: str | None = None) -> None:
        """Nothing is known any more of this JobQueue's declaration, or of any."""
        if uid is None:
            self._known.clear()
        else:
            self._known.pop(uid, None)

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
        due = [queue for queue in queues if queue.policy and self._known.get(queue.uid) != queue.generation]
        standing = await database.declarations() if len(due) > 1 else {}
        base = Settings()
        for queue in due:
            assert queue.policy is not None
            settings = worker_settings(queue.policy, base=base)
            made = declaration(queue.policy, settings, declared_by=queue.uid, generation=queue.generation)
            found = standing.get(queue.policy.queue_name)
            if found is None or not found.stands(**made):
                try:
                    await database.declare(queue.policy.queue_name, **made)
                except RejectedByDatabase as error:
                    logger.error("%s: not declared: %s", queue.where, error)
                moved()
            self._known[queue.uid] = queue.generation
