"""Ownership of queues: if two JobQueues name one queue of one database, by any URLs, the older one owns it.

Owns the identity of the database that each address leads to. Decides nothing else about a queue.

While it is unknown where the URL of an older JobQueue leads, it may lead here. A JobQueue that was refused because of
it stays refused, and one that was served stays served: a new operator that reaches one of two URLs first changes
nothing that was right. Only a JobQueue without a status waits until the older one was tried once, by any URL, and not
longer than `WAIT_SECONDS`: repeated edits of the older one must not keep others from starting.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Final

from ..database.address import Address
from ..resources.resource import JobQueue
from .database_quota import LoopKey
from .scheduled_queue import ScheduledQueue

Groups = Mapping[LoopKey, Sequence[JobQueue]]
WAIT_SECONDS: Final = 20.0
"""A JobQueue without a status waits at most this long for older ones, from when it was first seen."""
_REFUSED = ("Ready", "DuplicateQueue")


class QueueOwnership:
    """The known identities of the addresses."""

    def __init__(self) -> None:
        self._identities: dict[LoopKey, str | None] = {}
        self._tried: set[str] = set()
        self._seen: dict[str, float] = {}

    def learn(self, key: LoopKey, identity: str | None) -> bool:
        """Record the identity that a key leads to, None after a failure; whether that changes anything."""
        if key in self._identities and identity in {None, self._identities[key]}:
            return False
        self._identities[key] = identity
        return True

    def forget(self, key: LoopKey) -> None:
        """Drop a key that no JobQueue has any more."""
        self._identities.pop(key, None)

    def has_left(self, uid: str, key: LoopKey, keys: Mapping[str, LoopKey]) -> bool:
        """Whether a JobQueue is gone from the database of a key: deleted, or moved to another one.

        Args:
            uid: of the JobQueue.
            key: the address it had; False unless it is known that another one leads to another database.
            keys: of all JobQueues that exist, by uid.
        """
        if uid not in keys:
            return True
        here, there = self._identities.get(key), self._identities.get(keys[uid])
        return here is not None and there is not None and here != there

    def members(self, key: LoopKey, groups: Groups, now: float | None = None) -> list[ScheduledQueue]:
        """The JobQueues of a key, refused ones with the reason; without those that cannot be decided yet.

        Args:
            key: whose.
            groups: the JobQueues of every key.
            now: monotonic seconds; the clock's by default.
        """
        now = time.monotonic() if now is None else now
        self._note(groups, now)
        ours = groups.get(key, ())
        if not isinstance(key, Address):
            return without_database(key, ours)
        uids = {queue.uid for queue in ours}
        found = without_duplicates([queue for one in self._same(key) for queue in groups.get(one, ())])
        elsewhere = self._elsewhere(key, groups)
        made = []
        for queue, refusal in found:
            if queue.uid in uids:
                name = "" if queue.policy is None or refusal else queue.policy.queue_name
                elders = [(one, elder) for one, elder in elsewhere.get(name, ()) if _age(elder) < _age(queue)]
                reported = queue.status.get("conditions") or ()
                if elders and any((one.get("type"), one.get("reason")) == _REFUSED for one in reported):
                    made.append(ScheduledQueue(queue, _refusal(queue, elders[0][1])))
                elif reported or now - self._seen[queue.uid] >= WAIT_SECONDS or self._all_tried(elders):
                    made.append(ScheduledQueue(queue, refusal))
        return made

    def _all_tried(self, elders: Sequence[tuple[LoopKey, JobQueue]]) -> bool:
        return all(elder.uid in self._tried or not isinstance(one, Address) for one, elder in elders)

    def _note(self, groups: Groups, now: float) -> None:
        """Record which JobQueues exist, and which were tried, by any key they had."""
        here = {queue.uid for queues in groups.values() for queue in queues}
        self._seen = {uid: self._seen.get(uid, now) for uid in here}
        self._tried &= here
        self._tried |= {queue.uid for one in self._identities for queue in groups.get(one, ())}

    def _elsewhere(self, key: LoopKey, groups: Groups) -> dict[str, list[tuple[LoopKey, JobQueue]]]:
        """By queue name: the JobQueues of other keys whose database is unknown."""
        found: dict[str, list[tuple[LoopKey, JobQueue]]] = {}
        for one, queues in groups.items():
            if one != key and self._identities.get(one) is None:
                for queue in queues:
                    if queue.policy is not None and not queue.deleting:
                        found.setdefault(queue.policy.queue_name, []).append((one, queue))
        return found

    def _same(self, key: LoopKey) -> list[LoopKey]:
        """The keys that lead to one database with this one, itself included."""
        identity = self._identities.get(key)
        others = [] if identity is None else [one for one, known in self._identities.items() if known == identity]
        return [key, *(one for one in others if one != key)]


def without_database(problem: tuple[str, str], queues: Sequence[JobQueue]) -> list[ScheduledQueue]:
    """JobQueues without an address, for `problem`; refused only if their spec is the cause."""
    return [ScheduledQueue(queue, problem if problem[0] == "InvalidSpec" else None) for queue in queues]


def _age(queue: JobQueue) -> tuple[str, str]:
    return queue.created, queue.uid


def _refusal(queue: JobQueue, holder: JobQueue) -> tuple[str, str]:
    name = "" if queue.policy is None else queue.policy.queue_name
    return "DuplicateQueue", f"Queue {name} of this database belongs to the older JobQueue {holder.where}."


def without_duplicates(queues: Sequence[JobQueue]) -> list[tuple[JobQueue, tuple[str, str] | None]]:
    """Each JobQueue with its refusal if an older one has the same queue of this database."""
    elder: dict[str, JobQueue] = {}
    for queue in sorted(queues, key=_age):
        if queue.policy is not None and not queue.deleting:
            elder.setdefault(queue.policy.queue_name, queue)
    made: list[tuple[JobQueue, tuple[str, str] | None]] = []
    for queue in queues:
        holder = None if queue.policy is None else elder.get(queue.policy.queue_name)
        made.append((queue, None if holder is None or holder.uid == queue.uid else _refusal(queue, holder)))
    return made
