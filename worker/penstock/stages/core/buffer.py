"""The buffer of a producer, pure: events without demand, and info markers between them.

It owns order and bound. It must not deliver anything: `store`, `mark` and `take` return what left and what is due.
A marker follows the events that were stored before it and is due once they have left, delivered or dropped; it is
never dropped and does not count in the size. `take` stops at a marker, so one call may return fewer events than there
are, and the caller calls again.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Literal

from ..errors import BadOption
from .window import is_count

Keep = Literal["first", "last"]


class Buffer:
    """A FIFO of at most `size` events (None: without bound, 0: keeps nothing).

    On overflow `keep="last"` drops the oldest events and `keep="first"` the newcomers.
    """

    __slots__ = ("_left", "_markers", "events", "keep", "size")

    def __init__(self, size: int | None = 10_000, keep: Keep = "last", *, owner: object = "buffer") -> None:
        """Check the options. Raises BadOption, naming `owner`."""
        if size is not None and not (is_count(size) and size >= 0):
            raise BadOption.of(owner, "buffer_size", "None or an integer greater than or equal to 0", size)
        if keep not in ("first", "last"):
            raise BadOption.of(owner, "buffer_keep", "'first' or 'last'", keep)
        self.size = size
        self.keep = keep
        self.events: deque[Any] = deque()
        """The stored entries, to be read only."""
        self._left = 0  # events that ever left; a marker's place is an absolute count of events
        self._markers: deque[tuple[int, Any]] = deque()

    def __len__(self) -> int:
        return len(self.events)

    def store(self, events: Any) -> tuple[list[Any], list[Any]]:
        """Append events. Returns (events dropped for lack of room, markers that became due by it)."""
        kept = self.events
        room = len(events) if self.size is None else self.size - len(kept)
        if len(events) <= room:
            kept.extend(events)
            return [], []
        if self.keep == "first":
            kept.extend(events[:room])
            return list(events[room:]), []
        kept.extend(events)
        return self._pop(len(kept) - (self.size or 0)), self._due()

    def mark(self, marker: Any) -> bool:
        """Place a marker after everything stored so far. False: nothing is stored, the marker is due at once."""
        if not self.events:
            return False
        self._markers.append((self._left + len(self.events), marker))
        return True

    def take(self, count: int) -> tuple[list[Any], list[Any]]:
        """Remove up to `count` events from the head, stopping at a marker. Returns (events, markers due)."""
        count = min(count, len(self.events))
        if self._markers:
            count = min(count, self._markers[0][0] - self._left)
        return self._pop(count), self._due()

    def clear(self) -> tuple[list[Any], list[Any]]:
        """Remove everything. Returns (events, markers)."""
        return self._pop(len(self.events)), self._due()

    def _pop(self, count: int) -> list[Any]:
        self._left += count
        if count == len(self.events):
            events = list(self.events)
            self.events.clear()
            return events
        pop = self.events.popleft
        return [pop() for _ in range(count)]

    def _due(self) -> list[Any]:
        due: list[Any] = []
        while self._markers and self._markers[0][0] <= self._left:
            due.append(self._markers.popleft()[1])
        return due
