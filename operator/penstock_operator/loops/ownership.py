"""Which JobQueue has which queue: of two on one queue of one database the elder, however their URLs are written.

Owns what each address was found to lead to. Decides nothing else about a queue.

Surprising: while it is not known where an elder's URL leads, it may be here. Whoever was refused for its sake stays
refused then, and whoever was served stays served: a new operator that reaches one of two URLs first changes nothing
that was right. Only who has no status yet waits until the elder was tried once, whatever its URL was, and not for long:
whoever edits an elder again and again must not keep others from starting.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Final

from ..database.address import Address
from ..resources.resource import JobQueue
from .database_quota import Key
from .scheduled_queue import Member

Groups = Mapping[Key, Sequence[JobQueue]]
WAIT_SECONDS: Final = 20.0
"""A JobQueue without a status waits for its elders at most so long after it was first seen."""
_REFUSED = ("Ready", "DuplicateQueue")


class Belonging:
    """What is known of the addresses."""

    def __init__(self) -> None:
        self._identities: dict[Key, str | None] = {}
        self._tried: set[str] = set()
        self._seen: dict[str, float] = {}

    def learn(self, key: Key, identity: str | None) -> bool:
        """Where a key leads, None if it was tried in vain; whether that is news for anybody."""
        if key in self._identities and identity in {None, self._identities[key]}:
            return False
        self._identities[key] = identity
        return True

    def forget(self, key: Key) -> None:
        """Nobody has this key any more."""
        self._identities.pop(key, None)

    def members(self, key: Key, groups: Groups, now: float | None = None) -> list[Member]:
        """The JobQueues of a key, the refused with the reason; without those of which it is not known yet.

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
                told = queue.status.get("conditions") or ()
                if elders and any((one.get("type"), one.get("reason")) == _REFUSED for one in told):
                    made.append(Member(queue, _refusal(queue, elders[0][1])))
                elif told or now - self._seen[queue.uid] >= WAIT_SECONDS or self._all_tried(elders):
                    made.append(Member(queue, refusal))
        return made

    def _all_tried(self, elders: Sequence[tuple[Key, JobQueue]]) -> bool:
        return all(elder.uid in self._tried or not isinstance(one, Address) for one, elder in elders)

    def _note(self, groups: Groups, now: float) -> None:
        """Which JobQueues are there, and which of them were tried, by whatever key they had then."""
        here = {queue.uid for queues in groups.values() for queue in queues}
        self._seen = {uid: self._seen.get(uid, now) for uid in here}
        self._tried &= here
        self._tried |= {queue.uid for one in self._identities for queue in groups.get(one, ())}

    def _elsewhere(self, key: Key, groups: Groups) -> dict[str, list[tuple[Key, JobQueue]]]:
        """By queue: whoever has another key of which it is not known where it leads."""
        found: dict[str, list[tuple[Key, JobQueue]]] = {}
        for one, queues in groups.items():
            if one != key and self._identities.get(one) is None:
                for queue in queues:
                    if queue.policy is not None and not queue.deleting:
                        found.setdefault(queue.policy.queue_name, []).append((one, queue))
        return found

    def _same(self, key: Key) -> list[Key]:
        """The keys that lead to one database with this one, itself included."""
        identity = self._identities.get(key)
        others = [] if identity is None else [one for one, held in self._identities.items() if held == identity]
        return [key, *(one for one in others if one != key)]


def without_database(problem: tuple[str, str], queues: Sequence[JobQueue]) -> list[Member]:
    """The JobQueues without an address, by the reason and sentence why; refused only where their spec is the reason."""
    return [Member(queue, problem if problem[0] == "InvalidSpec" else None) for queue in queues]


def _age(queue: JobQueue) -> tuple[str, str]:
    return queue.created, queue.uid


def _refusal(queue: JobQueue, holder: JobQueue) -> tuple[str, str]:
    name = "" if queue.policy is None else queue.policy.queue_name
    return "DuplicateQueue", f"Queue {name} of this database belongs to the elder JobQueue {holder.where}."


def without_duplicates(queues: Sequence[JobQueue]) -> list[tuple[JobQueue, tuple[str, str] | None]]:
    """Each JobQueue with the refusal of the younger one where two have one queue of this database."""
    elder: dict[str, JobQueue] = {}
    for queue in sorted(queues, key=_age):
        if queue.policy is not None and not queue.deleting:
            elder.setdefault(queue.policy.queue_name, queue)
    made: list[tuple[JobQueue, tuple[str, str] | None]] = []
    for queue in queues:
        holder = None if queue.policy is None else elder.get(queue.policy.queue_name)
        made.append((queue, None if holder is None or holder.uid == queue.uid else _refusal(queue, holder)))
    return made
