"""JobQueues without a database address: the reason for each, and the loop that they share. Pure.

Their Secrets are missing, their specs are invalid, or they are too many. There may be thousands of them, each with a
sentence of its own, so a loop is shared by those of one reason in one namespace. A tenant's mistakes cost a few loops.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..database.address import Address
from ..resources.conditions import Problem
from ..resources.resource import JobQueue
from .database_quota import LoopKey
from .ownership import without_database
from .scheduled_queue import ScheduledQueue


class Unaddressed:
    """The problem of each JobQueue without an address."""

    def __init__(self) -> None:
        self._problems: dict[str, Problem] = {}

    def keys(self, queues: Sequence[JobQueue], found: Sequence[LoopKey]) -> tuple[list[LoopKey], set[str]]:
        """The keys of the JobQueues' loops, and the uids of those whose problem is new or another.

        Args:
            queues: all JobQueues.
            found: the address of each, or reason and sentence why it has none.
        """
        pairs = list(zip(queues, found, strict=True))
        problems = {queue.uid: one for queue, one in pairs if not isinstance(one, Address)}
        news = {uid for uid, problem in problems.items() if self._problems.get(uid) != problem}
        self._problems = problems
        return [one if isinstance(one, Address) else (one[0], queue.namespace) for queue, one in pairs], news

    def problem(self, queue: JobQueue) -> Problem | None:
        """Reason and sentence, None where it has an address."""
        return self._problems.get(queue.uid)

    def members(self, queues: Sequence[JobQueue]) -> list[ScheduledQueue]:
        """The JobQueues of one of the loops, each refused with its own sentence where its spec is the reason."""
        known = [(queue, self.problem(queue)) for queue in queues]
        return [one for queue, why in known if why is not None for one in without_database(why, [queue])]
