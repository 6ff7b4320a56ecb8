"""The partition dispatcher, pure: a hash function names the one partition, and so the one consumer, of each event.

`deliverable` is the demand over all partitions together, because the partition is known only once there is an
event. So events of a busy partition wait in that partition's own queue, and a partition without a consumer queues
too. It must not lose what is queued: a cancel returns the queue for release and asks for as many again. The default
hash is CRC-32 of the event's `repr` bytes (of its own bytes for bytes and str), not `hash()`, which differs from
process to process.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any
from zlib import crc32

from ..errors import BadOption, SubscriptionRefused
from .base import Deliveries, Dispatcher

logger = logging.getLogger(__name__)

HashFunction = Callable[[Any], "tuple[Any, Hashable] | None"]


def stable_hash(event: object) -> int:
    """CRC-32 of an event: the same in every process, unlike `hash()` of a str."""
    if isinstance(event, str):
        return crc32(event.encode())
    if isinstance(event, (bytes, bytearray)):
        return crc32(event)
    return crc32(repr(event).encode())


class _Info:
    """An info held back: due once it has left the queue of every partition that was backed up when it came."""

    __slots__ = ("marker", "open")

    def __init__(self, marker: Any, queues: int) -> None:
        self.marker = marker
        self.open = queues


class _Partition:
    __slots__ = ("demand", "queue", "subscription")

    def __init__(self) -> None:
        self.subscription: Any = None
        self.demand = 0
        self.queue: deque[Any] = deque()


class PartitionDispatcher(Dispatcher):
    """One consumer per partition.

    Args:
        partitions: a count (partitions 0 to n-1) or names.
        hash: event -> (event to deliver, partition), or None to discard the event. Default: `stable_hash` modulo the
            count. Required with names. When it raises or names no known partition, that event alone is released.

    Each consumer subscribes with `partition=`; a missing, unknown or taken one is refused.
    """

    holds_back = True

    def __init__(self, partitions: int | Iterable[Hashable], *, hash: HashFunction | None = None) -> None:  # noqa: A002
        super().__init__()
        if isinstance(partitions, bool) or (isinstance(partitions, int) and partitions < 1):
            raise BadOption.of("PartitionDispatcher", "partitions", "a count of at least 1, or names", partitions)
        names = list(range(partitions)) if isinstance(partitions, int) else list(partitions)
        if not names:
            raise BadOption.of("PartitionDispatcher", "partitions", "a count of at least 1, or names", names)
        if hash is None and any(not isinstance(name, int) for name in names):
            rule = "given when partitions have names"
            raise BadOption.of("PartitionDispatcher", "hash", rule, hash)
        self.pending = 0
        self._count = len(names)
        self._hash: HashFunction = hash or (lambda event: (event, stable_hash(event) % self._count))
        self._partitions: dict[Hashable, _Partition] = {name: _Partition() for name in names}
        self._of: dict[Any, _Partition] = {}

    def subscribe(self, subscription: Any) -> int:
        """Add a subscription; see `Dispatcher`."""
        name = subscription.options.partition
        if name is None:
            raise SubscriptionRefused(f"{subscription!r}: option partition is required by a partition dispatcher")
        partition = self._partitions.get(name)
        if partition is None:
            known = list(self._partitions)
            raise SubscriptionRefused(f"{subscription!r}: option partition must be one of {known}, got {name!r}")
        if partition.subscription is not None:
            taken = partition.subscription
            raise SubscriptionRefused(f"{subscription!r}: partition {name!r} is already taken by {taken!r}")
        partition.subscription = subscription
        self._of[subscription] = partition
        return 0

    def cancel(self, subscription: Any) -> tuple[int, list[Any], list[Any]]:
        """Remove a subscription; see `Dispatcher`."""
        partition = self._of.pop(subscription)
        partition.subscription = None
        if partition.demand:
            self.pending += partition.demand
            partition.demand = 0
            return 0, [], []
        events, infos = _clear(partition)
        self.deliverable += len(events)
        return len(events), events, infos

    def ask(self, count: int, subscription: Any) -> int:
        """Enter demand; see `Dispatcher`."""
        self._of[subscription].demand += count
        covered = min(self.pending, count)
        self.pending -= covered
        self.deliverable += count - covered
        return count - covered

    def refund(self, count: int) -> None:
        """Keep demand owed; see `Dispatcher`."""
        self.pending += count
        self.deliverable += count

    def collect(self, subscription: Any) -> tuple[Deliveries, list[Any]]:
        """Serve what is held back; see `Dispatcher`."""
        partition = self._of[subscription]
        return _drain(partition) if partition.queue else ([], [])

    def dispatch(self, events: Sequence[Any]) -> tuple[Deliveries, Sequence[Any]]:
        """Place events; see `Dispatcher`."""
        touched: dict[int, _Partition] = {}
        position = 0
        for event in events:
            if not self.deliverable:
                break
            position += 1
            placed = self._placed(event)
            if placed is None:
                continue
            self.deliverable -= 1
            partition, event_to_deliver = placed
            partition.queue.append(event_to_deliver)
            touched[id(partition)] = partition
        deliveries: Deliveries = []
        for partition in touched.values():
            deliveries.extend(_drain(partition)[0])
        return deliveries, events[position:]

    def info(self, marker: Any) -> bool:
        """Queue an info after what is held back; see `Dispatcher`."""
        backed_up = [partition for partition in self._partitions.values() if partition.queue]
        if not backed_up:
            return True
        entry = _Info(marker, len(backed_up))
        for partition in backed_up:
            partition.queue.append(entry)
        return False

    def close(self) -> list[Any]:
        """Return what is held back; see `Dispatcher`."""
        return [event for partition in self._partitions.values() for event in _clear(partition)[0]]

    def queued(self) -> int:
        """Events held back for busy or absent consumers."""
        return sum(
            1 for partition in self._partitions.values() for entry in partition.queue if type(entry) is not _Info
        )

    def _placed(self, event: Any) -> tuple[_Partition, Any] | None:
        try:
            answer = self._hash(event)
            if answer is None:
                return None
            rewritten, name = answer
            return self._partitions[name], rewritten
        except KeyError:
            logger.error("unknown partition from hash; releasing event %r (known=%s)", event, list(self._partitions))
        except Exception:
            logger.exception("hash failed; releasing event %r (it must return (event, partition) or None)", event)
        self.undeliverable.append(event)
        return None


def _drain(partition: _Partition) -> tuple[Deliveries, list[Any]]:
    """Move events from a partition's queue to its consumer, as far as its demand goes; infos split deliveries."""
    deliveries: Deliveries = []
    due: list[Any] = []
    batch: list[Any] = []
    queue = partition.queue
    while queue and (partition.demand or type(queue[0]) is _Info):
        entry = queue.popleft()
        if type(entry) is not _Info:
            partition.demand -= 1
            batch.append(entry)
            continue
        if batch:
            deliveries.append((partition.subscription, batch))
            batch = []
        _passed(entry, due)
    if batch:
        deliveries.append((partition.subscription, batch))
    return deliveries, due


def _clear(partition: _Partition) -> tuple[list[Any], list[Any]]:
    events: list[Any] = []
    due: list[Any] = []
    for entry in partition.queue:
        if type(entry) is _Info:
            _passed(entry, due)
        else:
            events.append(entry)
    partition.queue.clear()
    return events, due


def _passed(info: _Info, due: list[Any]) -> None:
    info.open -= 1
    if not info.open:
        due.append(info.marker)
